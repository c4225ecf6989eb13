/** Budgets, pauses, last words, loops and compaction in the real runtime. Cites I8, I9, I10. */
import { Tool, Toolkit } from "@effect/ai"
import type { Prompt } from "@effect/ai"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Agent } from "../../src/agent/index.ts"
import type { Entry, Recorded } from "../../src/domain/Entry.ts"
import { ScriptedModel, TestRunner } from "../../src/testing/index.ts"

const { calls, parallel, reply, says, text } = ScriptedModel

const Look = Tool.make("look", { parameters: { at: Schema.String }, success: Schema.String }).annotate(
  Tool.Readonly,
  true
)
const toolkit = Toolkit.make(Look)
const handlers = toolkit.toLayer({ look: ({ at }) => Effect.succeed(`seen ${at}`) })

const of = <Tag extends Entry["_tag"]>(entries: ReadonlyArray<Recorded>, tag: Tag) =>
  entries.flatMap(({ entry }) => (entry._tag === tag ? [entry as Extract<Entry, { _tag: Tag }>] : []))

const users = (prompt: Prompt.Prompt): ReadonlyArray<string> =>
  prompt.content.filter(({ role }) => role === "user").map(({ content }) => JSON.stringify(content))

/** Looks at something new for ever; each call costs 0.3 dollars. */
const endless = ScriptedModel.make(
  reply((prompt) => {
    const usage = { inputTokens: 40, outputTokens: 20_000 }
    const said = prompt.content.filter(({ role }) => role === "assistant").length
    return { ...says("on", calls("look", { at: `${said}` })), options: { usage } }
  }),
  { model: "claude-sonnet-4-5" }
)

/** Until a turn is paused. */
const paused = (session: { readonly feed: () => Stream.Stream<any, any> }, times = 1) =>
  session.feed().pipe(
    Stream.filter((event) => event._tag === "Entry" && event.recorded.entry._tag === "Paused"),
    Stream.take(times),
    Stream.runDrain,
    Effect.orDie
  )

describe("a budget that is met, where somebody is asked", () => {
  const Asker = Agent.make("asker", { toolkit, budget: { usd: 0.5, onLimit: "ask" } })

  it.scopedLive(
    "I8, I9: the turn waits visibly, survives a crash, and goes on where it stopped when it is raised",
    () =>
      Effect.gen(function* () {
        const world = yield* TestRunner.make({ agents: [Asker], model: endless, tools: handlers })
        const session = yield* world.session(Asker, "s")
        const sent = yield* session.send("Go", { id: "m" })
        yield* paused(session)
        const state = yield* session.state
        expect(state.status).toBe("paused")
        expect(state.pauses).toMatchObject([{ pause: "p1", kind: "budget", detail: { limit: "usd", allowed: 0.5 } }])
        expect(state.open).toEqual([])
        expect((yield* world.client.sessions({ status: "paused" })).map((info) => info.session)).toEqual(["s"])

        yield* world.kill
        yield* world.crashed(1)
        // Not enough: it is told, and waits on.
        yield* session.raise({ usd: 0.05 }, { id: "r1" })
        expect((yield* session.state).status).toBe("paused")
        yield* session.raise({ usd: 0.3 }, { id: "r2" })
        // Twice is once.
        yield* session.raise({ usd: 0.3 }, { id: "r2" })
        yield* paused(session, 2)
        const entries = yield* world.journal("s")
        expect(of(entries, "StepIntended").filter(({ kind }) => kind === "model")).toHaveLength(3)
        expect(of(entries, "Resumed")).toMatchObject([{ pause: "p1", decision: "proceed", command: "r2" }])

        const again = yield* Effect.flip(session.decide("p1", "proceed"))
        expect(again._tag).toBe("NothingToDecide")
        yield* session.decide("p2", "end", { id: "d" })
        const outcome = yield* session.result(sent)
        expect(outcome).toMatchObject({ _tag: "LimitReached", limit: "usd" })
        expect((yield* session.state).status).toBe("resting")
      })
  )

  it.scopedLive("whoever lets it proceed allows as much again", () =>
    Effect.gen(function* () {
      const world = yield* TestRunner.make({ agents: [Asker], model: endless, tools: handlers })
      const session = yield* world.session(Asker, "s")
      yield* session.send("Go")
      yield* paused(session)
      yield* session.decide("p1", "proceed")
      yield* paused(session, 2)
      const entries = yield* world.journal("s")
      const [, second] = of(entries, "Paused")
      // 0.6 were used: as much again makes 1.1, which the fourth call crosses.
      expect(second?.detail).toMatchObject({ limit: "usd" })
      expect(of(entries, "StepIntended").filter(({ kind }) => kind === "model")).toHaveLength(4)
    })
  )

  it.scopedLive("an interrupt ends a turn that waits, a deadline decides without anybody", () =>
    Effect.gen(function* () {
      const Hasty = Agent.make("hasty", {
        toolkit,
        budget: { modelCalls: 2, onLimit: { ask: { deadline: "200 millis" } } }
      })
      const world = yield* TestRunner.make({ agents: [Asker, Hasty], model: endless, tools: handlers })
      const one = yield* world.session(Asker, "one")
      const sent = yield* one.send("Go")
      yield* paused(one)
      yield* one.interrupt
      expect((yield* one.result(sent))._tag).toBe("Interrupted")

      const two = yield* world.session(Hasty, "two")
      const outcome = yield* two.result(yield* two.send("Go"))
      expect(outcome).toMatchObject({ _tag: "LimitReached", limit: "modelCalls", allowed: 2 })
      const entries = yield* world.journal("two")
      expect(of(entries, "Resumed")).toEqual([{ _tag: "Resumed", pause: "p1", decision: "end" }])
    })
  )

  it.scopedLive("time that is up pauses, too: what was stopped is asked for again", () =>
    Effect.gen(function* () {
      const Slow = Agent.make("slow", { toolkit, budget: { wall: "300 millis", onLimit: "ask" } })
      const model = ScriptedModel.make([text("here I am", { delay: "120 millis", tokens: 5 })])
      const world = yield* TestRunner.make({ agents: [Slow], model, tools: handlers })
      const session = yield* world.session(Slow, "s")
      const sent = yield* session.send("Go")
      yield* paused(session)
      yield* session.raise({ wall: "20 seconds" })
      expect(yield* session.result(sent)).toEqual({ _tag: "Completed", output: "here I am" })
    })
  )
})

describe("a session's budget", () => {
  it.scopedLive("I8: holds over all its turns, and over restarts", () =>
    Effect.gen(function* () {
      const Thrifty = Agent.make("thrifty", { budget: { session: { modelCalls: 3 } } })
      const world = yield* TestRunner.make({ agents: [Thrifty], model: ScriptedModel.make(reply(() => text("yes"))) })
      const session = yield* world.session(Thrifty, "s")
      expect(yield* session.ask("1")).toBe("yes")
      yield* world.restart
      expect(yield* session.ask("2")).toBe("yes")
      expect(yield* session.ask("3")).toBe("yes")
      const outcome = yield* session.result(yield* session.send("4"))
      expect(outcome).toEqual({ _tag: "LimitReached", limit: "modelCalls", allowed: 3, used: 3, scope: "session" })
      yield* session.raise({ modelCalls: 1 })
      expect(yield* session.ask("5")).toBe("yes")
    })
  )
})

describe("last words", () => {
  it.scopedLive("the model is told once, and where they are final the turn ends with an answer", () =>
    Effect.gen(function* () {
      const Brief = Agent.make("brief", { toolkit, budget: { modelCalls: 3, lastWords: { final: true } } })
      const model = ScriptedModel.make(
        reply((prompt) =>
          users(prompt).at(-1)!.includes("which is your last")
            ? { ...says("all I know", calls("look", { at: "late" })) }
            : calls("look", { at: String(prompt.content.length) })
        )
      )
      const world = yield* TestRunner.make({ agents: [Brief], model, tools: handlers })
      const session = yield* world.session(Brief, "s")
      expect(yield* session.ask("Go")).toBe("all I know")
      const entries = yield* world.journal("s")
      expect(of(entries, "Noted")).toMatchObject([{ kind: "lastWords", detail: { limit: "modelCalls", final: true } }])
      expect(of(entries, "StepIntended").filter(({ kind }) => kind === "model")).toHaveLength(3)
      expect(of(entries, "StepIntended").filter(({ kind }) => kind === "tool")).toHaveLength(2)
    })
  )
})

describe("a forecast", () => {
  it.scopedLive("I8: a call whose input alone would cross the limit does not begin", () =>
    Effect.gen(function* () {
      // A hundred tokens more with each call, at three dollars a million: the fourth would be 400.
      const model = ScriptedModel.make(
        reply((prompt) => {
          const n = prompt.content.filter(({ role }) => role === "assistant").length
          return {
            ...calls("look", { at: `${n}` }),
            options: { usage: { inputTokens: 90 * (n + 1), outputTokens: 10 } }
          }
        }),
        { model: "claude-sonnet-4-5" }
      )
      const run = (forecast: boolean) =>
        Effect.gen(function* () {
          const agent = Agent.make("careful", { toolkit, budget: { tokens: 800, forecast, lastWords: false } })
          const world = yield* TestRunner.make({ agents: [agent], model, tools: handlers })
          const session = yield* world.session(agent, "s")
          const outcome = yield* session.result(yield* session.send("Go"))
          expect(outcome).toMatchObject({ _tag: "LimitReached", limit: "tokens", allowed: 800 })
          const { usage } = yield* session.state
          return usage.inputTokens + usage.outputTokens
        })
      expect(yield* run(true)).toBeLessThanOrEqual(800)
      expect(yield* run(false)).toBeGreaterThan(800)
    })
  )
})

describe("children", () => {
  const Child = Agent.make("child", { toolkit, budget: { usd: 5 } })
  const Boss = Agent.make("boss", {
    budget: { usd: 2 },
    agents: { ask: Agent.asTool(Child), cheap: Agent.asTool(Child, { budget: { usd: 0.2 } }) }
  })
  const isChild = (prompt: Prompt.Prompt) => users(prompt)[0]!.includes("task")
  const usage = { inputTokens: 0, outputTokens: 20_000 }

  /** The boss asks three at once; each child goes on until it is stopped, 0.3 dollars a call. */
  const spenders = ScriptedModel.make(
    reply((prompt) => {
      const said = prompt.content.filter(({ role }) => role === "assistant").length
      if (isChild(prompt)) return { ...says("on", calls("look", { at: `${said}` })), options: { usage } }
      return said === 0
        ? parallel([1, 2, 3].map((n) => calls("ask", { task: `task ${n}` }, { id: `c${n}` })))
        : text("done")
    }),
    { model: "claude-sonnet-4-5" }
  )

  it.scopedLive("I8: however many run at once, each has its share, and what it used is the parent's", () =>
    Effect.gen(function* () {
      const world = yield* TestRunner.make({ agents: [Boss, Child], model: spenders, tools: handlers })
      const session = yield* world.session(Boss, "s")
      expect(yield* session.ask("Go")).toBe("done")
      const entries = yield* world.journal("s")
      const children = of(entries, "StepIntended").filter(({ reserved }) => reserved !== undefined)
      expect(children.map(({ reserved }) => reserved!.usd)).toEqual([0.5, 0.5, 0.5])
      const { usage } = yield* session.state
      // Two calls each: the second crosses the share of half a dollar.
      expect(usage.usd).toBeCloseTo(3 * 0.6, 3)
      const child = yield* world.journal("s~2")
      expect(of(child, "SessionCreated")[0]).toMatchObject({
        parent: { session: "s", step: "2" },
        budget: { usd: 0.5 }
      })
      expect(of(child, "TurnEnded")[0]!.outcome).toMatchObject({ _tag: "LimitReached", scope: "parent" })
      expect(of(child, "SessionEnded")).toHaveLength(1)
    })
  )

  for (const point of ["before-effect", "after-effect-before-commit", "after-commit"] as const) {
    it.scopedLive(`I2, I8: a crash ${point} takes over the same children`, () =>
      Effect.gen(function* () {
        const world = yield* TestRunner.make({ agents: [Boss, Child], model: spenders, tools: handlers })
        yield* world.crashAt({ step: "tool:ask", point })
        const session = yield* world.session(Boss, "s")
        expect(yield* session.ask("Go")).toBe("done")
        yield* world.reached
        expect((yield* session.state).usage.usd).toBeCloseTo(3 * 0.6, 3)
        expect(yield* world.client.sessions({ agent: "child" as never })).toHaveLength(3)
      })
    )
  }

  it.scopedLive("I10: a parent that is cancelled is not over before its children, and knows what they used", () =>
    Effect.gen(function* () {
      const model = ScriptedModel.make(
        reply((prompt) =>
          isChild(prompt)
            ? prompt.content.length === 1
              ? { ...calls("look", { at: "1" }), options: { usage } }
              : text("never said", { delay: "1 hour" })
            : calls("ask", { task: "task" })
        ),
        { model: "claude-sonnet-4-5" }
      )
      const world = yield* TestRunner.make({ agents: [Boss, Child], model, tools: handlers })
      const session = yield* world.session(Boss, "s")
      yield* session.send("Go")
      const child = yield* world.client.existing("s~2")
      yield* child.feed().pipe(
        Stream.filter((event) => event._tag === "Entry" && event.recorded.entry._tag === "StepIntended"),
        Stream.take(3),
        Stream.runDrain,
        Effect.retry({ while: (error) => error._tag === "SessionNotFound" })
      )
      yield* session.cancel
      yield* Stream.runDrain(session.feed())
      const mine = yield* world.journal("s")
      const theirs = yield* world.journal("s~2")
      expect(of(theirs, "SessionEnded")[0]!.outcome._tag).toBe("Cancelled")
      expect(theirs.at(-1)!.at).toBeLessThanOrEqual(mine.at(-1)!.at)
      expect(of(mine, "StepFailed")[0]).toMatchObject({ failure: { class: "Stopped" }, drawn: { modelCalls: 2 } })
      // The one that was interrupted had not said anything yet.
      expect(of(mine, "StepFailed")[0]!.usage!.usd).toBeCloseTo(0.3, 3)
    })
  )
})
