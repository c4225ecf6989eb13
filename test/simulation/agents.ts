/**
 * Agents for the simulator, with a tool of each kind, and a model that does what it is told: a message says, as JSON, which
 * tools to call in which answer.
 *
 * ```
 * [["book", "look"], ["pay"]]     first answer: two calls; second answer: one; third answer: a text, and the turn ends
 * ```
 */
import { Tool, Toolkit } from "@effect/ai"
import type { Prompt } from "@effect/ai"
import { Context, Effect, Layer, Schema } from "effect"
import { Agent, Reconcile, ToolContext } from "../../src/agent/index.ts"
import type { Repeatable } from "../../src/domain/Entry.ts"
import { ScriptedModel, Simulation } from "../../src/testing/index.ts"

const { die, effect } = Simulation

/**
 * A service in the world outside that remembers what it has done by its key, and forgets none. Whoever asks it what became
 * of an attempt closes the door to that attempt: a request that is still on its way, or a runner that was stopped, is
 * refused after that.
 */
class Ledger extends Context.Tag("simulation/Ledger")<
  Ledger,
  {
    readonly write: (key: string, attempt: number) => Effect.Effect<string, string>
    readonly find: (key: string, attempt: number) => Effect.Effect<string | null>
  }
>() {
  static readonly layer = Layer.sync(Ledger, () => {
    const done = new Map<string, string>()
    const closed = new Map<string, number>()
    return {
      write: (key, attempt) =>
        Effect.suspend(() => {
          if (attempt < (closed.get(key) ?? 0)) return Effect.fail("you come too late")
          done.set(key, `reservation ${done.size + 1}`)
          return Effect.as(effect, done.get(key)!)
        }),
      find: (key, attempt) =>
        Effect.sync(() => {
          closed.set(key, Math.max(attempt, closed.get(key) ?? 0))
          return done.get(key) ?? null
        })
    }
  })
}

const of = <const Name extends string>(name: Name) =>
  Tool.make(name, { success: Schema.String, failure: Schema.String, dependencies: [ToolContext] })

/** May not be repeated, as long as nobody says otherwise. */
const Book = of("book")
/** Takes a while before and after its effect. */
const Slow = of("slow")
/** Has its effect, and fails. */
const Break = of("break")
/** Is refused before anything of it is sent, and then takes a while before and after its effect. */
const Ring = of("ring")
/** Starts an OS process and waits for it. */
const Shell = of("shell")
/** Starts one that lives longer than anybody waits. */
const Serve = of("serve")
const Pay = of("pay").annotate(Tool.Idempotent, true)
/** Saves how far it is, and goes on from there. */
const Stages = of("stages").annotate(Tool.Idempotent, true)
/** May not be repeated, but it can be found out what became of it. */
const Reserve = Tool.make("reserve", {
  success: Schema.String,
  failure: Schema.String,
  dependencies: [ToolContext, Ledger]
})
/** Ends the runner on which it runs, each time. */
const Poison = of("poison").annotate(Tool.Readonly, true)
const Look = of("look").annotate(Tool.Readonly, true)
/** Never ends by itself. */
const Hang = of("hang").annotate(Tool.Readonly, true)
/** Says more than a row should hold. */
const Large = of("large").annotate(Tool.Readonly, true)

const tools = Toolkit.make(Book, Slow, Break, Shell, Serve, Pay, Stages, Look, Hang, Large, Reserve, Poison, Ring)

/** What a runner must have for the tools of some. */
export const far = "far"

export type ToolName = keyof typeof tools.tools
/** What a message may name: of a boss, its clerks too. */
export type Named = ToolName | "clerk"

/** What may really be done with them, whatever a runtime makes of it. */
export const nature: Readonly<Record<ToolName, Repeatable>> = {
  book: "never",
  slow: "never",
  break: "never",
  shell: "never",
  serve: "never",
  pay: "idempotent",
  stages: "idempotent",
  look: "readonly",
  hang: "readonly",
  large: "readonly",
  reserve: "never",
  poison: "readonly",
  ring: "never"
}

const handlers = tools.toLayer({
  book: () => Effect.as(effect, "booked"),
  slow: () => Effect.sleep("700 millis").pipe(Effect.zipRight(effect), Effect.delay("300 millis"), Effect.as("slept")),
  break: () => Effect.zipRight(effect, Effect.fail("it is broken")),
  shell: () =>
    Effect.gen(function* () {
      const { spawn } = yield* ToolContext
      const running = yield* Effect.orDie(spawn({ command: "true" }))
      yield* effect
      yield* Effect.orDie(running.exit)
      return "it has run"
    }),
  serve: () =>
    Effect.gen(function* () {
      const { spawn } = yield* ToolContext
      yield* Effect.orDie(spawn({ command: "sleep", args: ["3600"] }))
      yield* effect
      yield* Effect.sleep("2 seconds")
      return "it has served"
    }),
  pay: () => Effect.as(Effect.zipRight(effect, Effect.sleep("20 millis")), "paid"),
  stages: () =>
    Effect.gen(function* () {
      const { progress, save, saved } = yield* ToolContext
      for (let stage = typeof saved === "number" ? saved : 0; stage < 3; stage++) {
        yield* progress(`stage ${stage}`)
        yield* Effect.sleep("50 millis")
        yield* save(stage + 1)
      }
      yield* effect
      return "all stages"
    }),
  look: () => Effect.as(effect, "seen"),
  hang: () => Effect.zipRight(effect, Effect.never),
  large: () => Effect.as(effect, "large ".repeat(14_000)),
  reserve: () =>
    Effect.gen(function* () {
      const { attempt, idempotencyKey } = yield* ToolContext
      yield* Effect.sleep("300 millis")
      const reserved = yield* Effect.flatMap(Ledger, ({ write }) => write(idempotencyKey, attempt))
      yield* Effect.sleep("300 millis")
      return reserved
    }),
  poison: () => Effect.as(Effect.zipRight(Effect.sleep("100 millis"), die), "it lives"),
  ring: () =>
    Effect.gen(function* () {
      const { attempt } = yield* ToolContext
      if (attempt === 1) return yield* Effect.fail("the line is engaged")
      yield* Effect.zipRight(Effect.sleep("300 millis"), effect)
      return yield* Effect.as(Effect.sleep("700 millis"), "somebody has answered")
    })
})

/** It takes its time to find out: a runner may die meanwhile. */
const reconcile = ({ idempotencyKey }: { readonly idempotencyKey: string }) =>
  Effect.gen(function* () {
    const { attempt } = yield* ToolContext
    yield* Effect.sleep("200 millis")
    const found = yield* Effect.flatMap(Ledger, ({ find }) => find(idempotencyKey, attempt))
    yield* Effect.sleep("200 millis")
    return found === null ? Reconcile.didNotHappen : Reconcile.happened(found)
  })

const textOf = (message: Prompt.Message | undefined): string =>
  message === undefined || typeof message.content === "string"
    ? ""
    : message.content.reduce((text, part) => (part.type === "text" ? text + part.text : text), "")

/** A script, and not a note of the runtime's. */
const isScript = (text: string): boolean => text.startsWith("[[") || text === "[]"

/** What a message tells the model to do. */
const scriptOf = (text: string): ReadonlyArray<ReadonlyArray<string>> => {
  const script: unknown = JSON.parse(isScript(text) ? text : "[]")
  return script as ReadonlyArray<ReadonlyArray<string>>
}

const { calls, reply, says, text } = ScriptedModel

/** For a clerk, and as far as it comes. */
const task = '[["look"],["pay","look"],["stages"],["look","large"],["book"],["look"],["pay"],["slow"]]'

/** The model that obeys. Each answer costs 20 tokens. */
export const obedient = reply((prompt) => {
  const { content } = prompt
  const asked = content.findLastIndex((message) => message.role === "user" && isScript(textOf(message)))
  const script = scriptOf(textOf(content[asked]))
  const answer = content.slice(asked).filter(({ role }) => role === "assistant").length
  const due = script[answer]
  const usage = { inputTokens: 10, outputTokens: 10 }
  if (due === undefined) return text(`That was all, after ${script.length} answers of mine.`, { tokens: 4, usage })
  return {
    ...says(`Now ${due.join(" and ")}.`, ...due.map((name) => calls(name, name === "clerk" ? { task } : {}))),
    options: { tokens: 3, usage }
  }
})

export const Busy = Agent.make("busy", {
  toolkit: tools,
  budget: { wall: "30 seconds" },
  silence: "10 seconds",
  tools: {
    large: { timeout: "20 seconds" },
    reserve: { reconcile },
    ring: { classify: (message) => ({ class: "Unreachable", message, reached: "nothing" }) }
  }
})

/** Its limits are met soon. */
export const Frugal = Agent.make("frugal", {
  toolkit: tools,
  budget: { wall: "15 seconds", modelCalls: 3, toolCalls: 4, tokens: 70 },
  silence: "5 seconds"
})

/** Has all the time in the world: nothing but a runner that remembers it wakes a session of its. */
export const Patient = Agent.make("patient", { toolkit: tools, silence: "10 seconds" })

/** What another is given to do: more than its share allows. */
const Clerk = Agent.make("clerk", { toolkit: tools, silence: "10 seconds" })

/** Gives its work to others, several at once, from one budget; somebody may allow more. */
export const Boss = Agent.make("boss", {
  toolkit: tools,
  agents: { clerk: Agent.asTool(Clerk) },
  budget: {
    wall: "60 seconds",
    tokens: 400,
    session: { tokens: 700 },
    onLimit: { ask: { deadline: "4 seconds" } }
  },
  silence: "10 seconds"
})

/** Wants to be told first what became of its bookings. */
export const Careful = Agent.make("careful", {
  toolkit: tools,
  silence: "10 seconds",
  tools: { book: { inDoubt: "ask" }, slow: { inDoubt: "ask" }, reserve: { reconcile } }
})

/** Its tools are where another runner is, but for one: those that take their time one after another. */
export const Remote = Agent.make("remote", {
  toolkit: tools,
  budget: { wall: "30 seconds" },
  silence: "10 seconds",
  tools: { hang: { timeout: "15 seconds" }, large: { timeout: "20 seconds" }, reserve: { reconcile } },
  pools: { slow: "heavy", serve: "heavy", stages: "heavy" },
  runsOn: Object.fromEntries(Object.keys(nature).map((tool) => [tool, tool === "break" ? undefined : far]))
})

export const agents = [Busy, Frugal, Patient, Boss, Clerk, Careful, Remote]

/** What these agents are given. */
export const given = {
  agents,
  model: ScriptedModel.make(obedient, { direct: true }),
  tools: Layer.provideMerge(handlers, Ledger.layer)
}
