/**
 * A9. A resting session is not in memory and costs nothing; a message wakes it by a few reads, however long its history.
 * Counted, not timed: the bench has the milliseconds. (Cold starts of subprocess agents come with their pool, later.)
 */
import { describe, expect, it } from "@effect/vitest"
import { ClusterMetrics } from "@effect/cluster"
import { Tool, Toolkit } from "@effect/ai"
import { Effect, Layer, Metric, Schedule, Schema } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Client } from "../../src/client/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"
import * as Counting from "../support/Counting.ts"
import { atRest, directory } from "../support/World.ts"

const Add = Tool.make("add", { parameters: { n: Schema.Int }, success: Schema.Int })
const toolkit = Toolkit.make(Add)
const Adder = Agent.make("adder", { toolkit, budget: { steps: 5_000, modelCalls: 5_000, toolCalls: 5_000 } })

/** Calls as often as the message says, and then says how often it was asked anything. */
const model = ScriptedModel.make(
  ScriptedModel.reply((prompt) => {
    const users = prompt.content.filter(({ role }) => role === "user")
    const wanted = Number(/\d+/.exec(JSON.stringify(users[0]!.content))![0])
    const done = prompt.content.filter(({ role }) => role === "tool").length
    return done < wanted
      ? ScriptedModel.calls("add", { n: done }, { id: `call-${done}` })
      : ScriptedModel.text(`message ${users.length}, after ${done} calls`)
  }),
  { direct: true }
)

const handlers = toolkit.toLayer({ add: ({ n }) => Effect.succeed(n + 1) })

const awake = Metric.value(Metric.tagged(ClusterMetrics.entities, "type", "perdure/Session")).pipe(
  Effect.map(({ value }) => Number(value))
)

const become = (count: number) =>
  Effect.repeat(awake, { until: (n) => n === count, schedule: Schedule.spaced("5 millis") }).pipe(
    Effect.timeout("20 seconds")
  )

const runner = (directory: string, counts: () => Counting.Counts, idle: "100 millis" | "1 minute") =>
  Counting.layerEmbedded({ agents: [Adder], directory, counts, sessions: { idle } }).pipe(
    Layer.provide([handlers, model])
  )

describe("A9: activation", () => {
  it.scopedLive("a resting session leaves memory by itself, and answers the next message after one read", () =>
    Effect.gen(function* () {
      const home = yield* directory
      let counts = Counting.none()
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Adder, "s")
        expect(yield* session.ask("10 calls")).toBe("message 1, after 10 calls")
        // The cluster's gauge says when it has gone; it looks every five seconds.
        yield* become(1)
        yield* become(0)
        counts = Counting.none()
        yield* session.send("more", { id: "m2" })
        yield* atRest(session)
        // Its whole journal in one read; the command's id, which is new to an actor that has slept; one commit a step.
        expect(counts.calls).toMatchObject({ waking: 1, accepted: 1, append: 2 })
        expect(counts.calls["read"]).toBeUndefined()
        expect(counts.read).toBeLessThan(60)
        expect(yield* session.ask("and more")).toBe("message 3, after 10 calls")
      }).pipe(Effect.provide(runner(home, () => counts, "100 millis")))
    })
  )

  it.scopedLive(
    "a session of 1,000 steps wakes on another runner without reading them all",
    () =>
      Effect.gen(function* () {
        const home = yield* directory
        let counts = Counting.none()
        const live = runner(home, () => counts, "1 minute")
        yield* Effect.flatMap(Client.session(Adder, "long"), (session) => session.ask("500 calls")).pipe(
          Effect.provide(live)
        )
        expect(counts.written).toBeGreaterThan(2_000)
        counts = Counting.none()
        yield* Effect.gen(function* () {
          const session = yield* Client.existing("long")
          yield* session.state
          const { calls, read } = counts
          // The snapshot and what came after it, and the rest of that where it does not fit a page.
          expect(calls["waking"]).toBe(1)
          expect(calls["read"] ?? 0).toBeLessThanOrEqual(2)
          expect(read).toBeLessThanOrEqual(600)
          console.log(`woken by ${read} rows, read ${1 + (calls["read"] ?? 0)} times`)
          expect(yield* session.ask("more")).toBe("message 2, after 500 calls")
        }).pipe(Effect.provide(live))
      }),
    60_000
  )
})
