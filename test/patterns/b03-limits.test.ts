/**
 * B3. Limits are always on; each ends the turn, says which it was, and the session goes on. Cites I8. (An agent may run on
 * for as long as it is allowed to: A7. Loops of each kind, budgets of sessions and families, asking for more:
 * test/agent/Budget.test.ts, TooLong.test.ts; the arithmetic: test/session/Budget.test.ts.)
 */
import { describe, expect, it } from "@effect/vitest"
import { Tool, Toolkit } from "@effect/ai"
import { Effect, Layer, Schema, Stream } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Client, TurnNotCompleted } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"
import { directory, entriesOf, tagged } from "../support/World.ts"

const Again = Tool.make("again", { success: Schema.String })
const toolkit = Toolkit.make(Again)

/** Calls its tool for ever, several at once where it is told; answers `Stop`. Each call costs 100 tokens, 0.3 dollars. */
const endless = (at: number, delay: "0 millis" | "50 millis") =>
  ScriptedModel.make(
    ScriptedModel.reply((prompt) => {
      const last = prompt.content.filter(({ role }) => role === "user").at(-1)
      if (JSON.stringify(last).includes("Stop")) return ScriptedModel.text("stopped")
      const calls = Array.from({ length: at }, (_, i) =>
        ScriptedModel.calls("again", {}, { id: `c${prompt.content.length}-${i}` })
      )
      const usage = { inputTokens: 40, outputTokens: 20_000 }
      return { ...ScriptedModel.says("on ", ...calls), options: { usage, delay } }
    }),
    { model: "claude-sonnet-4-5", direct: true }
  )

const handlers = toolkit.toLayer({ again: () => Effect.succeed("again") })

const run = (
  budget: Agent.Options<{}>["budget"],
  options: { readonly parallel?: number; readonly delay?: "50 millis" } = {}
) =>
  Effect.gen(function* () {
    const home = yield* directory
    // Limits hold also where nobody minds a loop.
    const Looper = Agent.make("looper", { toolkit, budget, loops: false })
    const live = Runner.layerEmbedded({ agents: [Looper], directory: home }).pipe(
      Layer.provide([handlers, endless(options.parallel ?? 1, options.delay ?? "0 millis")])
    )
    return yield* Effect.gen(function* () {
      const session = yield* Client.session(Looper, "s")
      const error = yield* Effect.flip(session.ask("Go"))
      expect(error).toBeInstanceOf(TurnNotCompleted)
      expect(error.message).toContain("raise the agent's budget")
      const entries = yield* entriesOf("s")
      // Not an end: it answers what comes next.
      expect(yield* session.ask("Stop")).toBe("stopped")
      expect((yield* session.state).status).toBe("resting")
      return { outcome: (error as TurnNotCompleted).outcome, entries }
    }).pipe(Effect.provide(live))
  })

const kinds = (entries: Parameters<typeof tagged>[0], kind: string) =>
  tagged(entries, "StepIntended").filter((step) => step.kind === kind).length

describe("B3: limits", () => {
  it.scopedLive("I8: steps", () =>
    Effect.gen(function* () {
      const { entries, outcome } = yield* run({ steps: 7 })
      expect(outcome).toEqual({ _tag: "LimitReached", limit: "steps", allowed: 7, used: 7 })
      expect(tagged(entries, "StepIntended")).toHaveLength(7)
    })
  )

  it.scopedLive("I8: model calls", () =>
    Effect.gen(function* () {
      const { entries, outcome } = yield* run({ modelCalls: 3 })
      expect(outcome).toEqual({ _tag: "LimitReached", limit: "modelCalls", allowed: 3, used: 3 })
      expect(kinds(entries, "model")).toBe(3)
    })
  )

  it.scopedLive("I8: tool calls, also where they come together", () =>
    Effect.gen(function* () {
      const { entries, outcome } = yield* run({ toolCalls: 10 }, { parallel: 4 })
      expect(outcome).toEqual({ _tag: "LimitReached", limit: "toolCalls", allowed: 10, used: 10 })
      expect(kinds(entries, "tool")).toBe(10)
      expect(tagged(entries, "StepSucceeded")).toHaveLength(tagged(entries, "StepIntended").length)
    })
  )

  it.scopedLive("I8: tokens, outrun by no more than the step in flight", () =>
    Effect.gen(function* () {
      const { entries, outcome } = yield* run({ tokens: 50_000 })
      expect(outcome).toEqual({ _tag: "LimitReached", limit: "tokens", allowed: 50_000, used: 60_120 })
      expect(kinds(entries, "model")).toBe(3)
    })
  )

  it.scopedLive("I8: money, outrun by no more than the step in flight", () =>
    Effect.gen(function* () {
      const { entries, outcome } = yield* run({ usd: 0.5 })
      expect(outcome).toMatchObject({ _tag: "LimitReached", limit: "usd", allowed: 0.5 })
      expect((outcome as { readonly used: number }).used).toBeCloseTo(0.60024, 4)
      expect(kinds(entries, "model")).toBe(2)
    })
  )

  /** A provider that says 20,000 characters of its answer and never its end, and a runner that asks it. */
  const endlessly = (agent: Agent.Any, end: typeof Fake.cutAfter) =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      // The text's start and one piece of it.
      fake.script(end(4, Anthropic.message([Anthropic.text("word ".repeat(4_000), "never said")])))
      const live = Runner.layerEmbedded({ agents: [agent as typeof Frugal], directory: yield* directory })
      return { fake, live: Layer.provide(live, Anthropic.layer(fake)) }
    })

  const Frugal = Agent.make("frugal", { budget: { usd: 0.1 } })
  const Chatty = Agent.make("chatty", { budget: { session: { usd: 0.1 } } })

  it.scopedLive(
    "I8: answers that are cut are paid all the same: none is asked to go on that is not paid any more",
    () =>
      Effect.gen(function* () {
        const { fake, live } = yield* endlessly(Frugal, Fake.cutAfter)
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Frugal, "s")
          yield* Effect.ignore(session.ask("Go"))
          const { usage } = yield* session.state
          expect(usage.usd).toBeGreaterThanOrEqual(0.1)
          // 5,000 tokens of output each, and what they go on from.
          expect(usage.usd).toBeLessThan(0.25)
          expect(fake.requests.length).toBeLessThanOrEqual(3)
          expect(tagged(yield* entriesOf("s"), "StepFailed")[0]!.failure).toMatchObject({ class: "Stopped" })
        }).pipe(Effect.provide(live))
      })
  )

  it.scopedLive(
    "I8: so are those that somebody interrupts: a session cannot outspend its budget by never being done",
    () =>
      Effect.gen(function* () {
        const { fake, live } = yield* endlessly(Chatty, Fake.hangAfter)
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Chatty, "s")
          const turn = (n: number) =>
            Effect.gen(function* () {
              const accepted = yield* session.send(`Go ${n}`)
              yield* session.feed().pipe(
                Stream.takeUntil((event) =>
                  event._tag === "Entry"
                    ? event.recorded.entry._tag === "TurnEnded" && event.recorded.entry.turn === n
                    : event._tag === "Delta" && event.step === `${n}` && event.text.endsWith("word ")
                ),
                Stream.runDrain
              )
              yield* session.interrupt
              return (yield* session.result(accepted))._tag
            })
          const outcomes = yield* Effect.forEach([1, 2, 3, 4], turn)
          expect(outcomes).toEqual(["Interrupted", "Interrupted", "LimitReached", "LimitReached"])
          expect(fake.requests).toHaveLength(2)
          expect((yield* session.state).usage.outputTokens).toBe(10_000)
        }).pipe(Effect.provide(live))
      })
  )

  it.scopedLive("I8: a budget of $0.10 never exceeds its last call, and children cannot outspend their parent", () =>
    Effect.gen(function* () {
      const home = yield* directory
      const Clerk = Agent.make("clerk", { toolkit, loops: false, budget: { usd: 5 } })
      const Boss = Agent.make("boss", {
        loops: false,
        budget: { usd: 0.1, session: { usd: 0.25 } },
        agents: { delegate: Agent.asTool(Clerk) }
      })
      // Two cents a call. The boss gives three tasks at a time, its clerks go on for ever.
      const usage = { inputTokens: 0, outputTokens: 1_333 }
      const model = ScriptedModel.make(
        ScriptedModel.reply((prompt) => {
          const n = prompt.content.filter(({ role }) => role === "assistant").length
          const isClerk = JSON.stringify(prompt.content[0]).includes("task")
          const said = isClerk
            ? ScriptedModel.calls("again", {}, { id: `c${n}` })
            : ScriptedModel.parallel(
                [1, 2, 3].map((i) => ScriptedModel.calls("delegate", { task: `task ${i}` }, { id: `d${n}-${i}` }))
              )
          return { ...said, options: { usage } }
        }),
        { model: "claude-sonnet-4-5", direct: true }
      )
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Boss, "s")
        for (let turn = 1; turn <= 4; turn++) {
          const outcome = yield* session.result(yield* session.send("Go"))
          expect(outcome).toMatchObject({ _tag: "LimitReached", limit: "usd" })
        }
        const { usage } = yield* session.state
        const clerks = yield* Client.sessions({ agent: "clerk" as never })
        const theirs = yield* Effect.forEach(clerks, ({ session }) =>
          Effect.flatMap(Client.existing(session), (clerk) => clerk.state)
        )
        const mine = kinds(yield* entriesOf("s"), "model") * 0.02
        const all = mine + theirs.reduce((sum, { usage }) => sum + (usage.usd ?? 0), 0)
        expect(usage.usd).toBeCloseTo(all, 3)
        // The last call of each who was at work when it was met: three clerks.
        expect(all).toBeLessThanOrEqual(0.25 + 3 * 0.02 + 1e-6)
        expect(all).toBeGreaterThan(0.2)
      }).pipe(
        Effect.provide(
          Runner.layerEmbedded({ agents: [Boss, Clerk], directory: home }).pipe(Layer.provide([handlers, model]))
        )
      )
    })
  )

  it.scopedLive("I8: time", () =>
    Effect.gen(function* () {
      const { outcome } = yield* run({ wall: "600 millis", tokens: 1e12, usd: 1e6 }, { delay: "50 millis" })
      expect(outcome).toMatchObject({ _tag: "LimitReached", limit: "wall", allowed: 600 })
    })
  )

  it.scopedLive("I8: an agent that says nothing of limits has them: 100 model calls, and 10 that lead nowhere", () =>
    Effect.gen(function* () {
      const home = yield* directory
      const Careless = Agent.make("careless", { toolkit })
      const model = ScriptedModel.make(
        ScriptedModel.reply((prompt) => {
          const n = prompt.content.filter(({ role }) => role === "assistant").length
          const isNew = JSON.stringify(prompt.content[0]).includes("new things")
          return ScriptedModel.calls(isNew ? `unknown-${n}` : "again", {}, { id: `c${n}` })
        }),
        { direct: true }
      )
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Careless, "s")
        const outcome = yield* session.result(yield* session.send("Go on with new things"))
        expect(outcome).toEqual({ _tag: "LimitReached", limit: "modelCalls", allowed: 100, used: 100 })
        const other = yield* Client.session(Careless, "t")
        expect(yield* other.result(yield* other.send("Go"))).toMatchObject({ _tag: "Looped", loop: "repeat" })
        expect(kinds(yield* entriesOf("t"), "model")).toBe(10)
        // It does not go on behind our back.
        expect((yield* session.state).open).toEqual([])
      }).pipe(
        Effect.provide(
          Runner.layerEmbedded({ agents: [Careless], directory: home }).pipe(Layer.provide([handlers, model]))
        )
      )
    })
  )
})
