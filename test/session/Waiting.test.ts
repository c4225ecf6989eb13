/** A step that waits for its pool: not begun, so never in doubt (I5); and further attempts, that wait like first ones. */
import { describe, expect, it } from "@effect/vitest"
import { Tool, Toolkit } from "@effect/ai"
import { Deferred, Effect, Metric, Schedule, Schema } from "effect"
import { Agent, ToolContext } from "../../src/agent/index.ts"
import { StepFailure } from "../../src/domain/Failure.ts"
import { Capacity } from "../../src/runner/index.ts"
import { ScriptedModel, TestRunner } from "../../src/testing/index.ts"

const Pay = Tool.make("pay", { parameters: { n: Schema.Int }, success: Schema.String, dependencies: [ToolContext] })
const Fetch = Tool.make("fetch", {
  parameters: { n: Schema.Int },
  success: Schema.String,
  dependencies: [ToolContext]
}).annotate(Tool.Readonly, true)
const tools = Toolkit.make(Pay, Fetch)
const Payer = Agent.make("payer", { toolkit: tools, pools: { pay: "slow", fetch: "slow" } })

const model = (tool: "pay" | "fetch", count: number) =>
  ScriptedModel.make([
    ScriptedModel.parallel(Array.from({ length: count }, (_, n) => ScriptedModel.calls(tool, { n }, { id: `c${n}` }))),
    ScriptedModel.text("done")
  ])

const until = <A>(what: string, read: Effect.Effect<A, unknown>, test: (a: A) => boolean): Effect.Effect<A> =>
  read.pipe(
    Effect.filterOrFail(test, () => "not yet"),
    Effect.retry(Schedule.spaced("3 millis").pipe(Schedule.upTo("20 seconds"))),
    Effect.orElse(() => Effect.dieMessage(`it did not come to pass: ${what}`))
  )

const slow = (slots: number) => Effect.provideService(Capacity, { pools: { slow: slots }, tags: [] })

describe("a step that waits for its pool", () => {
  it.scopedLive(
    "is in the journal of no life in which it has not begun: killed, only what had begun is in doubt (I5)",
    () =>
      Effect.gen(function* () {
        const witness: Array<number> = []
        const gate = yield* Deferred.make<string>()
        const world = yield* TestRunner.make({
          agents: [Payer],
          model: model("pay", 5),
          tools: tools.toLayer({
            pay: ({ n }) => {
              witness.push(n)
              return n === 0 ? Deferred.await(gate) : Effect.succeed(`paid ${n}`)
            },
            fetch: () => Effect.succeed("")
          })
        })
        const session = yield* world.session(Payer, "s")
        const accepted = yield* session.send("Pay.")
        yield* until(
          "one pays",
          Effect.sync(() => witness.length),
          (n) => n === 1
        )
        yield* until("four wait", session.state, ({ open, waiting }) => open.length === 1 && waiting.length === 4)
        yield* world.kill
        expect((yield* session.result(accepted))._tag).toBe("Completed")
        // What was never begun is done by the next life, once each; what had begun is not repeated.
        expect([...witness].sort()).toEqual([0, 1, 2, 3, 4])
        const entries = yield* world.journal("s")
        expect(entries.filter(({ entry }) => entry._tag === "StepInDoubt")).toHaveLength(1)
        expect(entries.filter(({ entry }) => entry._tag === "StepSucceeded")).toHaveLength(2 + 4)
        expect((yield* world.verify("s")).problems).toEqual([])
      }).pipe(slow(1))
  )

  it.scopedLive("has its turn again at a further attempt, and holds no slot while it waits for its time", () =>
    Effect.gen(function* () {
      const running = { now: 0, most: 0 }
      const began: Array<string> = []
      const world = yield* TestRunner.make({
        agents: [Payer],
        model: model("fetch", 4),
        tools: tools.toLayer({
          pay: () => Effect.succeed(""),
          fetch: ({ n }) =>
            Effect.gen(function* () {
              const { attempt } = yield* ToolContext
              began.push(`${n}.${attempt}`)
              running.most = Math.max(running.most, ++running.now)
              yield* Effect.yieldNow()
              if (attempt < 3) {
                return yield* new StepFailure({ failure: { class: "Unreachable", message: "nobody is there" } })
              }
              return `fetched ${n}`
            }).pipe(
              Effect.ensuring(Effect.sync(() => running.now--)),
              // The failure is the runtime's own, which a tool may fail with.
              Effect.orDieWith((error) => error)
            ) as Effect.Effect<string>
        })
      })
      const session = yield* world.session(Payer, "s")
      expect(yield* session.ask("Fetch.")).toBe("done")
      expect(running.most).toBe(1)
      // All first attempts come before any second: a slot is not held through the backoff.
      expect(began.slice(0, 4)).toEqual(["0.1", "1.1", "2.1", "3.1"])
      expect([...began].sort()).toEqual([0, 1, 2, 3].flatMap((n) => [1, 2, 3].map((attempt) => `${n}.${attempt}`)))
    }).pipe(slow(1))
  )

  it.scopedLive("is counted while it waits, and how long it did", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<string>()
      const world = yield* TestRunner.make({
        agents: [Payer],
        model: model("pay", 3),
        tools: tools.toLayer({ pay: () => Deferred.await(gate), fetch: () => Effect.succeed("") })
      })
      const session = yield* world.session(Payer, "s")
      const accepted = yield* session.send("Pay.")
      yield* until("two wait", session.state, ({ waiting }) => waiting.length === 2)
      const gauge = (name: string) =>
        Effect.map(Metric.snapshot, (all) => {
          const found = all.find(
            ({ metricKey }) =>
              metricKey.name === name &&
              metricKey.tags.some(({ key, value }) => key === "perdure.pool" && value === "slow")
          )
          return (found?.metricState as { readonly value?: number } | undefined)?.value
        })
      expect([yield* gauge("perdure.pool.running"), yield* gauge("perdure.pool.waiting")]).toEqual([1, 2])
      yield* Deferred.succeed(gate, "paid")
      yield* session.result(accepted)
      expect([yield* gauge("perdure.pool.running"), yield* gauge("perdure.pool.waiting")]).toEqual([0, 0])
    }).pipe(slow(1))
  )
})
