/** What an agent is given that cannot work fails where it is written. Types forbid much of it; JavaScript nothing. */
import { Tool, Toolkit } from "@effect/ai"
import { describe, expect, it } from "@effect/vitest"
import { Schema } from "effect"
import { Agent } from "../../src/agent/index.ts"

const toolkit = Toolkit.make(Tool.make("work", { success: Schema.String }))

// As a program without types would call it.
const refusal = (options: object) => expect(() => Agent.make("clerk", { toolkit, ...options } as any))

describe("Agent.make", () => {
  it("takes what can work", () => {
    refusal({
      silence: Number.POSITIVE_INFINITY,
      budget: {
        modelCalls: 3,
        tokens: Number.POSITIVE_INFINITY,
        usd: 0.25,
        wall: "1 minute",
        session: { toolCalls: 9, usd: undefined },
        onLimit: { ask: { deadline: 1_000, then: "proceed" } },
        lastWords: { at: 0.5, calls: 2, final: true },
        forecast: true
      },
      loops: { then: "ask", nudges: undefined },
      everyTool: { silence: "1 hour" },
      tools: { work: { timeout: "1 second", total: undefined, inDoubt: "ask" } },
      pools: { work: "heavy" },
      runsOn: { work: "gpu" }
    }).not.toThrow()
    refusal({ budget: { onLimit: "ask", lastWords: false }, loops: false, compaction: false }).not.toThrow()
    refusal({ pools: { work: undefined } }).not.toThrow()
  })

  it("refuses times that are none", () => {
    refusal({ silence: 0 }).toThrow('agent "clerk": silence must be positive, a time such as "2 minutes", not 0')
    refusal({ silence: "-3 seconds" }).toThrow('not "-3 seconds"')
    refusal({ silence: "a while" }).toThrow('agent "clerk": silence must be positive')
    refusal({ tools: { work: { timeout: 0 } } }).toThrow('agent "clerk": tools.work.timeout must be positive')
    refusal({ tools: { work: { total: "soon" } } }).toThrow("tools.work.total must be positive, a time such as")
    refusal({ everyTool: { timeout: -1 } }).toThrow("everyTool.timeout must be positive")
    refusal({ budget: { wall: "0 seconds" } }).toThrow("budget.wall must be positive")
    refusal({ budget: { onLimit: { ask: { deadline: -5 } } } }).toThrow(
      "budget.onLimit.ask.deadline must be positive, a time such as"
    )
  })

  it("refuses words that it does not know", () => {
    refusal({ loops: { then: "explode" } }).toThrow('agent "clerk": loops.then must be "stop" or "ask", not "explode"')
    refusal({ budget: { onLimit: "wat" } }).toThrow('budget.onLimit must be "end" or "ask", not "wat"')
    refusal({ budget: { onLimit: { ask: null } } }).toThrow("budget.onLimit.ask must be an object of deadline, then")
    refusal({ budget: { onLimit: { ask: { then: "wat" } } } }).toThrow('then must be "proceed" or "end", not "wat"')
    refusal({ tools: { work: { inDoubt: "maybe" } } }).toThrow('tools.work.inDoubt must be "tell" or "ask"')
  })

  it("refuses numbers that are none", () => {
    refusal({ budget: { modelCalls: 0.5 } }).toThrow(
      'agent "clerk": budget.modelCalls must be a positive whole number, not 0.5'
    )
    refusal({ budget: { usd: Number.NaN } }).toThrow("budget.usd must be a positive number, not NaN")
    refusal({ budget: { tokens: "5" } }).toThrow('budget.tokens must be a positive whole number, not "5"')
    refusal({ budget: { session: { steps: 0 } } }).toThrow("budget.session.steps must be a positive whole number")
    refusal({ budget: { lastWords: { at: 2 } } }).toThrow("budget.lastWords.at must be above 0 and at most 1, not 2")
    expect(() => Agent.asTool(Agent.make("clerk"), { budget: { usd: -1 } })).toThrow("as a tool: budget.usd")
  })

  it("refuses keys that it does not know", () => {
    refusal({ budget: { dollars: 1 } }).toThrow('agent "clerk": budget has no "dollars": it may have steps, modelCalls')
    refusal({ budget: { session: { dollars: 1 } } }).toThrow('budget.session has no "dollars"')
    refusal({ budget: 5 }).toThrow("budget must be an object of steps")
    refusal({ loops: { repeats: 5 } }).toThrow('loops has no "repeats"')
    refusal({ compaction: { windows: 5 } }).toThrow('compaction has no "windows"')
  })

  it("refuses pools and tags of tools that its toolkit does not have", () => {
    refusal({ pools: { nosuch: "heavy" } }).toThrow(
      'agent "clerk": pools says something about the tool "nosuch", which its toolkit does not have: name one of work'
    )
    refusal({ runsOn: { nosuch: "gpu" } }).toThrow('runsOn says something about the tool "nosuch"')
    refusal({ runsOn: { work: 3 } }).toThrow("runsOn.work must be a name, not 3")
  })
})
