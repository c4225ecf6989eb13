/** Conversations that become too long, and agents that go round in circles, in the real runtime. Cites I2, I8, I11. */
import { Tool, Toolkit } from "@effect/ai"
import type { Prompt } from "@effect/ai"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Agent } from "../../src/agent/index.ts"
import type { Entry, Recorded } from "../../src/domain/Entry.ts"
import type { Session } from "../../src/client/index.ts"
import { ScriptedModel, TestRunner } from "../../src/testing/index.ts"
import { isTurnEnd } from "../support/World.ts"

const { calls, fails, reply, text } = ScriptedModel

const Look = Tool.make("look", { parameters: { n: Schema.Int }, success: Schema.String }).annotate(Tool.Readonly, true)
const toolkit = Toolkit.make(Look)
const handlers = toolkit.toLayer({ look: ({ n }) => Effect.succeed(`<${n}> ${"x".repeat(400)}`) })
const same = toolkit.toLayer({ look: ({ n }) => Effect.succeed(`nothing at ${n}`) })

const of = <Tag extends Entry["_tag"]>(entries: ReadonlyArray<Recorded>, tag: Tag) =>
  entries.flatMap(({ entry }) => (entry._tag === tag ? [entry as Extract<Entry, { _tag: Tag }>] : []))

const said = (prompt: Prompt.Prompt): string => JSON.stringify(prompt.content)
const isSummary = (prompt: Prompt.Prompt): boolean => JSON.stringify(prompt.content.at(-1)).includes("Write a summary")

/** How far it has come, by what it can see: a result, or the summary of them. */
const progress = (prompt: Prompt.Prompt): number =>
  Math.max(0, ...[...said(prompt).matchAll(/<(\d+)>/g)].map(([, n]) => Number(n)))

const wholeCalls = (prompt: Prompt.Prompt): void => {
  const parts = prompt.content.flatMap(({ content }) => (typeof content === "string" ? [] : [...content]))
  const ids = (type: string) =>
    parts.flatMap((part) => (part.type === type ? [(part as { id: string }).id] : [])).sort()
  expect(ids("tool-call")).toEqual(ids("tool-result"))
}

interface Provider {
  readonly window: number
  readonly reports?: boolean
  readonly summary?: (prompt: Prompt.Prompt) => ReturnType<typeof fails> | ReturnType<typeof fails>["next"]
}

/** Looks at 1, 2, 3 … 30 and says so. Has a window in tokens, and refuses what does not fit. */
const provider = ({ reports = true, summary, window }: Provider) =>
  ScriptedModel.make(
    reply((prompt) => {
      wholeCalls(prompt)
      const inputTokens = Math.ceil(said(prompt).length / 4)
      if (inputTokens > window) return fails("ContextOverflow", {}, text("never said"))
      const options = { usage: { inputTokens: reports ? inputTokens : 1, outputTokens: 10 } }
      const so = progress(prompt)
      if (isSummary(prompt)) return summary?.(prompt) ?? text(`I have looked up to <${so}>.`, options)
      const answer = so < 30 ? calls("look", { n: so + 1 }, { id: `c${so + 1}` }) : text(`all ${so}`)
      return { ...answer, options }
    })
  )

const Looker = (compaction: Agent.Options<{}>["compaction"]) =>
  Agent.make("looker", { instructions: "Look at 30 things.", toolkit, compaction })

const compactions = (entries: ReadonlyArray<Recorded>) =>
  of(entries, "StepIntended").filter(({ name }) => name === "compact")

describe("a conversation that nears the model's window", () => {
  it.scopedLive("is summarised in a step of its own, and the turn goes on as if nothing had happened", () =>
    Effect.gen(function* () {
      const agent = Looker({ window: 2_000 })
      const world = yield* TestRunner.make({ agents: [agent], model: provider({ window: 2_000 }), tools: handlers })
      const session = yield* world.session(agent, "s")
      expect(yield* session.ask("Go and look")).toBe("all 30")
      const entries = yield* world.journal("s")
      expect(compactions(entries).length).toBeGreaterThan(1)
      expect(compactions(entries).every(({ kind, repeatable }) => kind === "model" && repeatable === "readonly")).toBe(
        true
      )
      // Nothing was done twice, nothing is lost: the journal has all of it.
      expect(of(entries, "StepIntended").filter(({ kind }) => kind === "tool")).toHaveLength(30)
      expect(of(entries, "StepFailed")).toEqual([])
      // What the model saw last: the system prompt as ever, a summary, and what the person had said.
      const { prompt } = (yield* Effect.provide(
        Effect.flatMap(ScriptedModel, ({ asked }) => asked),
        world.services
      )).at(-1)!
      expect(prompt.content[0]).toMatchObject({ role: "system", content: "Look at 30 things." })
      expect(said(prompt)).toContain("in summary")
      expect(said(prompt)).toContain("Go and look")
      // The conversation goes on in a next turn.
      expect(yield* session.ask("And now?")).toBe("all 30")
    })
  )

  it.scopedLive("that is met unawares is made shorter when the provider refuses it", () =>
    Effect.gen(function* () {
      // It is said nothing of the window, and the provider's figures say nothing either.
      const agent = Looker(undefined)
      const model = provider({ window: 2_000, reports: false })
      const world = yield* TestRunner.make({ agents: [agent], model, tools: handlers })
      const session = yield* world.session(agent, "s")
      expect(yield* session.ask("Go")).toBe("all 30")
      const entries = yield* world.journal("s")
      expect(of(entries, "StepFailed").every(({ failure }) => failure.class === "ContextOverflow")).toBe(true)
      expect(of(entries, "StepIntended").filter(({ kind }) => kind === "tool")).toHaveLength(30)
    })
  )

  for (const point of ["before-effect", "after-effect-before-commit", "after-commit"] as const) {
    it.scopedLive(`I2: a crash in the middle of it, ${point}, does it again or goes on`, () =>
      Effect.gen(function* () {
        const agent = Looker({ window: 2_000 })
        const world = yield* TestRunner.make({ agents: [agent], model: provider({ window: 2_000 }), tools: handlers })
        yield* world.crashAt({ step: "model:compact" as never, point })
        const session = yield* world.session(agent, "s")
        expect(yield* session.ask("Go")).toBe("all 30")
        yield* world.reached
        const entries = yield* world.journal("s")
        expect(of(entries, "StepIntended").filter(({ kind }) => kind === "tool")).toHaveLength(30)
        expect((yield* world.verify("s")).problems).toEqual([])
      })
    )
  }

  it.scopedLive(
    "whose summary is cut goes on with it where it ended, and no reader of the feed sees a word of it (I6)",
    () =>
      Effect.gen(function* () {
        const agent = Looker({ window: 2_000 })
        const summary = (prompt: Prompt.Prompt) =>
          fails("Interrupted", { after: "I have " }, text(`I have looked up to <${progress(prompt)}>.`))
        const world = yield* TestRunner.make({
          agents: [agent],
          model: provider({ window: 2_000, summary }),
          tools: handlers
        })
        const session = yield* world.session(agent, "s")
        expect(yield* session.ask("Go")).toBe("all 30")
        const entries = yield* world.journal("s")
        const steps = compactions(entries).map(({ step }) => step)
        const [cut] = of(entries, "AttemptFailed")
        expect(cut).toMatchObject({ step: steps[0], nextInput: "continue", partial: { draft: [{ type: "text" }] } })
        const read = yield* session.feed().pipe(Stream.takeUntil(isTurnEnd), Stream.runCollect)
        expect([...read].filter((event) => event._tag === "Delta" && steps.includes(event.step))).toEqual([])
      })
  )

  it.scopedLive("that cannot be made short enough fails clearly, and soon", () =>
    Effect.gen(function* () {
      const agent = Looker(undefined)
      // Summaries that are as long as what they stand for help nobody.
      const model = provider({ window: 900, summary: () => text(`<1> ${"blah ".repeat(2_000)}`) })
      const world = yield* TestRunner.make({ agents: [agent], model, tools: handlers })
      const session = yield* world.session(agent, "s")
      const outcome = yield* session.result(yield* session.send("Go"))
      expect(outcome).toMatchObject({ _tag: "Failed", failure: { class: "ContextOverflow", code: "not_compactable" } })
      expect(compactions(yield* world.journal("s")).length).toBeLessThanOrEqual(4)
    })
  )

  it.scopedLive("fails at once where the agent wants that", () =>
    Effect.gen(function* () {
      const agent = Looker(false)
      const world = yield* TestRunner.make({ agents: [agent], model: provider({ window: 900 }), tools: handlers })
      const session = yield* world.session(agent, "s")
      const outcome = yield* session.result(yield* session.send("Go"))
      expect(outcome).toMatchObject({ _tag: "Failed", failure: { class: "ContextOverflow" } })
      expect(compactions(yield* world.journal("s"))).toEqual([])
    })
  )
})

describe("an agent that goes round in circles", () => {
  const circling = (period: number) =>
    ScriptedModel.make(
      reply((prompt) => {
        const n = prompt.content.filter(({ role }) => role === "assistant").length
        return calls("look", { n: n % period }, { id: `c${n}` })
      })
    )

  const modelSteps = (entries: ReadonlyArray<Recorded>) =>
    of(entries, "StepIntended").filter(({ kind }) => kind === "model").length

  for (const [period, loop, bound] of [
    [1, "repeat", 10],
    [2, "cycle", 12],
    [4, "cycle", 24],
    [7, "stale", 31]
  ] as const) {
    it.scopedLive(`I8: ${loop} of ${period}: is told once, and stopped after ${bound} answers`, () =>
      Effect.gen(function* () {
        const agent = Agent.make("circler", { toolkit })
        const world = yield* TestRunner.make({ agents: [agent], model: circling(period), tools: same })
        const session = yield* world.session(agent, "s")
        const outcome = yield* session.result(yield* session.send("Go"))
        expect(outcome).toMatchObject({ _tag: "Looped", loop })
        const entries = yield* world.journal("s")
        expect(modelSteps(entries)).toBe(bound)
        const noted = of(entries, "Noted").filter(({ kind }) => kind === "loop")
        expect(noted).toMatchObject([{ detail: { action: "nudge" } }])
        const { asked } = yield* Effect.provide(ScriptedModel, world.services)
        expect(said((yield* asked).at(-1)!.prompt)).toContain("Doing it again will not change anything")
      })
    )
  }

  it.scopedLive("is paused where it says so, and goes on when somebody lets it", () =>
    Effect.gen(function* () {
      const agent = Agent.make("circler", { toolkit, loops: { nudges: 0, repeat: 3, then: "ask" } })
      const world = yield* TestRunner.make({ agents: [agent], model: circling(1), tools: same })
      const session = yield* world.session(agent, "s")
      const sent = yield* session.send("Go")
      yield* paused(session, 1)
      yield* session.decide("p1", "proceed")
      yield* paused(session, 2)
      yield* session.decide("p2", "end")
      expect(yield* session.result(sent)).toEqual({ _tag: "Looped", loop: "repeat", rounds: 3 })
      expect(modelSteps(yield* world.journal("s"))).toBe(6)
    })
  )

  it.scopedLive("may do so where the tool is one that waits, or nobody minds", () =>
    Effect.gen(function* () {
      const waiter = Agent.make("waiter", { toolkit, budget: { modelCalls: 30 }, loops: { ignore: ["look"] } })
      const careless = Agent.make("careless", { toolkit, budget: { modelCalls: 30 }, loops: false })
      const world = yield* TestRunner.make({ agents: [waiter, careless], model: circling(1), tools: same })
      for (const agent of [waiter, careless]) {
        const session = yield* world.session(agent, agent.name)
        expect(yield* session.result(yield* session.send("Go"))).toMatchObject({ _tag: "LimitReached", used: 30 })
      }
    })
  )
})

/** Until a turn was paused so often. */
const paused = (session: Session, times: number) =>
  session.feed().pipe(
    Stream.filter((event) => event._tag === "Entry" && event.recorded.entry._tag === "Paused"),
    Stream.take(times),
    Stream.runDrain
  )
