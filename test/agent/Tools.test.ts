/** How long tools may take (B2), what becomes of doubt (I5), what the model sees of what they return (B11). */
import { Tool, Toolkit } from "@effect/ai"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schema, type Scope, TestClock } from "effect"
import { Agent, Reconcile, ToolContext, Transform } from "../../src/agent/index.ts"
import type { Entry, Recorded } from "../../src/domain/Entry.ts"
import { ScriptedModel, TestRunner } from "../../src/testing/index.ts"

type Of<Tag extends Entry["_tag"]> = Extract<Entry, { readonly _tag: Tag }>
const tagged = <Tag extends Entry["_tag"]>(entries: ReadonlyArray<Recorded>, tag: Tag): ReadonlyArray<Of<Tag>> =>
  entries.map(({ entry }) => entry).filter((entry): entry is Of<Tag> => entry._tag === tag)

/** Moves the test's clock until something is so. */
const passing = <A, E>(fiber: Fiber.RuntimeFiber<A, E>, step: "1 second" | "1 minute" = "1 second") =>
  Effect.gen(function* () {
    for (let i = 0; i < 1_000; i++) {
      const done = yield* Fiber.poll(fiber)
      if (done._tag === "Some") return yield* Fiber.join(fiber)
      yield* TestClock.adjust(step)
    }
    return yield* Effect.dieMessage("it never ends")
  })

const Work = Tool.make("work", { success: Schema.String, failure: Schema.String, dependencies: [ToolContext] })
const Steady = Tool.make("steady", { success: Schema.String, dependencies: [ToolContext] }).annotate(
  Tool.Idempotent,
  true
)
const Limited = Tool.make("limited", { success: Schema.String, failure: Schema.String }).annotate(Tool.Readonly, true)
const tools = Toolkit.make(Work, Steady)
const { calls, text } = ScriptedModel

/** The model is told what the tool did, and says it. */
const echo = ScriptedModel.reply((prompt) => text(JSON.stringify(prompt.content.at(-1)?.content)))

type Handlers = Parameters<typeof tools.toLayer>[0]
const idle = { work: () => Effect.succeed("worked"), steady: () => Effect.succeed("steady") }

const world = (
  agent: Agent.Any,
  tool: "work" | "steady",
  handlers: Partial<Extract<Handlers, { readonly work: unknown }>>
) =>
  TestRunner.make({
    agents: [agent as Agent.Agent<string, any>],
    model: ScriptedModel.make([calls(tool, {}), echo]),
    tools: tools.toLayer({ ...idle, ...handlers } as never)
  }) as unknown as Effect.Effect<TestRunner.World, never, Scope.Scope>

describe("the time of a tool", () => {
  it.scoped("ends an attempt that takes too long, and the model is told so", () =>
    Effect.gen(function* () {
      let interrupted = false
      const agent = Agent.make("a", { toolkit: tools, tools: { work: { timeout: "5 seconds" } } })
      const one = yield* world(agent, "work", {
        work: () =>
          Effect.onInterrupt(Effect.never, () =>
            Effect.sync(() => {
              interrupted = true
            })
          )
      })
      const session = yield* one.session(agent, "s")
      const answer = yield* Effect.fork(session.ask("go"))
      expect(yield* passing(answer)).toContain("took too long")
      expect(interrupted).toBe(true)
      expect(tagged(yield* one.journal("s"), "StepFailed")).toMatchObject([
        { failure: { class: "TimedOut", code: "timeout" } }
      ])
    })
  )

  it.scoped("ends what is silent, and lets go on what shows that it is at work", () =>
    Effect.gen(function* () {
      const agent = Agent.make("a", { toolkit: tools, everyTool: { silence: "5 seconds" } })
      const talking = yield* world(agent, "work", {
        work: () =>
          Effect.gen(function* () {
            const { progress } = yield* ToolContext
            for (let i = 0; i < 10; i++) yield* Effect.zipRight(Effect.sleep("4 seconds"), progress(`${i}`))
            return "talked"
          })
      })
      const first = yield* Effect.fork((yield* talking.session(agent, "s")).ask("go"))
      expect(yield* passing(first)).toContain("talked")

      const mute = yield* world(agent, "work", { work: () => Effect.as(Effect.sleep("40 seconds"), "was silent") })
      const second = yield* Effect.fork((yield* mute.session(agent, "s")).ask("go"))
      expect(yield* passing(second)).toContain("no sign of life for 5s")
      expect(tagged(yield* mute.journal("s"), "StepFailed")).toMatchObject([
        { failure: { class: "TimedOut", code: "silence" } }
      ])
    })
  )

  it.scoped("counts all attempts together, from the intent on, through a crash of the runner", () =>
    Effect.gen(function* () {
      const agent = Agent.make("a", { toolkit: tools, tools: { steady: { total: "1 minute" } } })
      const begun: Array<number> = []
      const started = yield* Deferred.make<void>()
      const one = yield* world(agent, "steady", {
        steady: () =>
          Effect.clockWith((clock) => {
            begun.push(clock.unsafeCurrentTimeMillis())
            return Effect.zipRight(Deferred.succeed(started, undefined), Effect.never)
          })
      })
      const session = yield* one.session(agent, "s")
      const answer = yield* Effect.fork(session.ask("go"))
      yield* Deferred.await(started)
      yield* TestClock.adjust("40 seconds")
      yield* one.kill
      yield* one.crashed(1)
      expect(yield* passing(answer)).toContain("all its attempts together")
      expect(begun).toHaveLength(2)
      const entries = yield* one.journal("s")
      const [intended] = entries.filter(({ entry }) => entry._tag === "StepIntended" && entry.kind === "tool")
      const [failed] = entries.filter(({ entry }) => entry._tag === "StepFailed")
      expect(failed!.entry).toMatchObject({ failure: { class: "TimedOut", code: "total" } })
      expect(failed!.at - intended!.at).toBeGreaterThanOrEqual(60_000)
      expect(failed!.at - intended!.at).toBeLessThan(65_000)
    })
  )

  it.scoped("tries again what may pass, as its class is, with the same key", () =>
    Effect.gen(function* () {
      const keys: Array<string> = []
      const agent = Agent.make("a", {
        toolkit: tools,
        tools: { steady: { timeout: "5 seconds" } }
      })
      const one = yield* world(agent, "steady", {
        steady: () =>
          Effect.flatMap(ToolContext, ({ idempotencyKey }) => {
            keys.push(idempotencyKey)
            return keys.length < 3 ? Effect.never : Effect.succeed("at last")
          })
      })
      const answer = yield* Effect.fork((yield* one.session(agent, "s")).ask("go"))
      expect(yield* passing(answer)).toContain("at last")
      expect(new Set(keys).size).toBe(1)
      expect(keys).toHaveLength(3)
      expect(tagged(yield* one.journal("s"), "AttemptFailed").map(({ failure }) => failure.class)).toEqual([
        "TimedOut",
        "TimedOut"
      ])
    })
  )

  it.scoped("takes an error of the handler for what the agent says that it is", () =>
    Effect.gen(function* () {
      const agent = Agent.make("a", {
        toolkit: Toolkit.make(Limited),
        tools: {
          limited: {
            classify: (error) =>
              error.startsWith("429") ? { class: "RateLimited", message: error, retryAfterMs: 3_000 } : undefined
          }
        }
      })
      let times = 0
      const one = yield* TestRunner.make({
        agents: [agent],
        model: ScriptedModel.make([calls("limited", {}), echo]),
        tools: Toolkit.make(Limited).toLayer({
          limited: () => Effect.fail(++times < 3 ? "429, slow down" : "404, no such thing")
        })
      })
      const answer = yield* Effect.fork((yield* one.session(agent, "s")).ask("go"))
      expect(yield* passing(answer)).toContain("404, no such thing")
      const entries = yield* one.journal("s")
      expect(tagged(entries, "AttemptFailed").map(({ failure }) => failure.class)).toEqual([
        "RateLimited",
        "RateLimited"
      ])
      expect(tagged(entries, "StepFailed")).toMatchObject([{ failure: { class: "ToolFailed" } }])
    })
  )

  it("refuses limits that are none", () => {
    expect(() => Agent.make("a", { toolkit: tools, tools: { work: { timeout: 0 } } })).toThrow(
      /tools.work.timeout must be positive/
    )
  })
})

describe("what became of a call in doubt (I5)", () => {
  const found = (what: Reconcile.Reconciled<string>, onAsk: () => void = () => {}) =>
    Agent.make("a", {
      toolkit: tools,
      tools: {
        work: {
          reconcile: ({ idempotencyKey }) =>
            Effect.sync(() => {
              expect(idempotencyKey).toMatch(/^[0-9a-f]{40}$/)
              onAsk()
              return what
            })
        }
      }
    })

  const crashed = (agent: Agent.Any, onWork: () => void) =>
    Effect.gen(function* () {
      const one = yield* world(agent, "work", {
        work: () =>
          Effect.sync(() => {
            onWork()
            return "worked"
          })
      })
      yield* one.crashAt({ step: "tool:work", point: "after-effect-before-commit" })
      const session = yield* one.session(agent, "s")
      const answer = yield* session.ask("go")
      yield* one.reached
      return { answer, entries: yield* one.journal("s"), session }
    })

  it.scoped("that it happened is its outcome, and it does not run again", () =>
    Effect.gen(function* () {
      let works = 0
      const { answer, entries } = yield* crashed(found(Reconcile.happened("it had worked")), () => works++)
      expect(answer).toContain("it had worked")
      expect(works).toBe(1)
      expect(tagged(entries, "AttemptFailed")).toMatchObject([
        { failure: { class: "RunnerLost" }, nextInput: "reconcile" }
      ])
      expect(tagged(entries, "StepSucceeded").map(({ reconciled }) => reconciled)).toContain("happened")
      expect(tagged(entries, "StepInDoubt")).toEqual([])
    })
  )

  it.scoped("that it did not happen lets it run again, with the same key", () =>
    Effect.gen(function* () {
      let works = 0
      const { answer, entries } = yield* crashed(found(Reconcile.didNotHappen), () => works++)
      expect(answer).toContain("worked")
      expect(works).toBe(2)
      expect(tagged(entries, "AttemptFailed")).toMatchObject([
        { nextInput: "reconcile" },
        { nextInput: "original", reconciled: "did not happen" }
      ])
    })
  )

  it.scoped("that nobody can tell is told to the model", () =>
    Effect.gen(function* () {
      let works = 0
      const { answer, entries } = yield* crashed(found(Reconcile.unknown), () => works++)
      expect(answer).toContain("outcome of this call is unknown")
      expect(works).toBe(1)
      expect(tagged(entries, "StepInDoubt")).toMatchObject([{ attempt: 2, reconciled: "unknown" }])
    })
  )

  it.scoped("is asked again when the runner dies while it asks", () =>
    Effect.gen(function* () {
      let asked = 0
      let works = 0
      const agent = found(Reconcile.happened("it had worked"), () => asked++)
      const one = yield* world(agent, "work", {
        work: () =>
          Effect.sync(() => {
            works++
            return "worked"
          })
      })
      yield* one.crashAt({ step: "tool:work", point: "after-effect-before-commit" })
      yield* one.crashAt({ step: "tool:work", point: "after-effect-before-commit", occurrence: 2 })
      const session = yield* one.session(agent, "s")
      expect(yield* session.ask("go")).toContain("it had worked")
      expect([works, asked, yield* one.crashes]).toEqual([1, 2, 2])
      const entries = yield* one.journal("s")
      expect(tagged(entries, "AttemptFailed").map(({ nextInput }) => nextInput)).toEqual(["reconcile", "reconcile"])
      expect((yield* one.verify("s")).problems).toEqual([])
    })
  )

  it.scoped("is asked of what was cut off for its time", () =>
    Effect.gen(function* () {
      const agent = Agent.make("a", {
        toolkit: tools,
        tools: {
          work: { timeout: "5 seconds", reconcile: () => Effect.succeed(Reconcile.happened("it had come through")) }
        }
      })
      const one = yield* world(agent, "work", { work: () => Effect.never })
      const answer = yield* Effect.fork((yield* one.session(agent, "s")).ask("go"))
      expect(yield* passing(answer)).toContain("it had come through")
    })
  )
})

describe("transforms (B11)", () => {
  const Search = Tool.make("search", {
    success: Schema.Array(Schema.Struct({ title: Schema.String, score: Schema.Number }))
  })
  const kit = Toolkit.make(Search)
  const Titles = Transform.make("titles", {
    input: Schema.Array(Schema.Struct({ title: Schema.String })),
    output: Schema.Array(Schema.String),
    apply: (pages) => pages.map(({ title }) => title)
  })
  const handlers = kit.toLayer({
    search: () =>
      Effect.succeed([
        { title: "one", score: 1 },
        { title: "two", score: 2 }
      ])
  })

  it.scoped("the model sees what a transform made; the journal has the original and says which", () =>
    Effect.gen(function* () {
      const agent = Agent.make("a", { toolkit: kit, transforms: [Titles], tools: { search: { transform: "titles" } } })
      const one = yield* TestRunner.make({
        agents: [agent],
        model: ScriptedModel.make([calls("search", {}), echo]),
        tools: handlers
      })
      const answer = yield* (yield* one.session(agent, "s")).ask("go")
      expect(answer).toContain(`["one","two"]`)
      expect(answer).not.toContain("score")
      expect(tagged(yield* one.journal("s"), "StepSucceeded").map(({ output }) => output)).toContainEqual({
        result: ["one", "two"],
        isError: false,
        transform: {
          name: "titles",
          original: [
            { title: "one", score: 1 },
            { title: "two", score: 2 }
          ]
        }
      })
    })
  )

  it.scoped("a transform that throws hides nothing: the model sees the original", () =>
    Effect.gen(function* () {
      const Broken = Transform.make("broken", {
        input: Schema.Unknown,
        output: Schema.String,
        apply: () => {
          throw new Error("no idea")
        }
      })
      const agent = Agent.make("a", { toolkit: kit, transforms: [Broken], tools: { search: { transform: "broken" } } })
      const one = yield* TestRunner.make({
        agents: [agent],
        model: ScriptedModel.make([calls("search", {}), echo]),
        tools: handlers
      })
      expect(yield* (yield* one.session(agent, "s")).ask("go")).toContain("score")
      expect(JSON.stringify(tagged(yield* one.journal("s"), "StepSucceeded"))).toContain("no idea")
    })
  )

  it.scoped("one that is not registered, or does not take what the tool returns, stops the runner at its start", () =>
    Effect.gen(function* () {
      const Numbers = Transform.make("numbers", {
        input: Schema.Array(Schema.Number),
        output: Schema.Number,
        apply: (numbers) => numbers.length
      })
      const start = (tools: object) =>
        Effect.gen(function* () {
          const agent = Agent.make("a", { toolkit: kit, transforms: [Numbers], tools: tools as never })
          return yield* Effect.flip((agent.behaviour.check ?? Effect.void) as unknown as Effect.Effect<void, Error>)
        })
      expect((yield* start({ search: { transform: "nubmers" } })).message).toMatch(
        /transform "nubmers" of tool "search" is not registered .*which has numbers/
      )
      expect((yield* start({ search: { transform: "numbers" } })).message).toMatch(
        /transform "numbers" of tool "search" does not take what the tool returns: at \[\]: \{.*\} is no number/
      )
      expect((yield* start({ serach: {} })).message).toMatch(/says something about the tool "serach"/)
    })
  )
})
