/** The simulator as those use it who write agents: their agent, their tools, their model, and nothing of ours inside. */
import { Tool, Toolkit } from "@effect/ai"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { Agent, ToolContext } from "../../src/agent/index.ts"
import { ScriptedModel, Simulation } from "../../src/testing/index.ts"

/** A service that takes each booking once, by its key. */
class Airline extends Context.Tag("test/Airline")<
  Airline,
  { readonly book: (key: string, flight: string) => Effect.Effect<string> }
>() {
  /** @param booked is told of each booking */
  static readonly layer = (booked: (flight: string) => void, heedsKeys = true) =>
    Layer.sync(Airline, () => {
      const known = new Map<string, string>()
      return {
        book: (key, flight) =>
          Simulation.pause(5, 500).pipe(
            Effect.zipRight(
              Effect.sync(() => {
                const before = known.get(key)
                if (before !== undefined && heedsKeys) return before
                booked(flight)
                known.set(key, `booked ${flight}`)
                return `booked ${flight}`
              })
            ),
            Effect.tap(Simulation.effect),
            Effect.zipLeft(Simulation.pause(5, 500))
          )
      }
    })
}

const Book = Tool.make("book", {
  parameters: { flight: Schema.String },
  success: Schema.String,
  dependencies: [ToolContext, Airline]
}).annotate(Tool.Idempotent, true)
const toolkit = Toolkit.make(Book)

const Booker = Agent.make("booker", { toolkit, budget: { wall: "30 seconds" }, silence: "5 seconds" })

const model = ScriptedModel.make([
  ScriptedModel.calls("book", { flight: "LH1" }),
  ScriptedModel.text("Booked.", { tokens: 3 })
])

const handlers = toolkit.toLayer({
  book: ({ flight }) =>
    Effect.gen(function* () {
      const { idempotencyKey } = yield* ToolContext
      return yield* (yield* Airline).book(idempotencyKey, flight)
    })
})

/** One message to each of two sessions. */
const workload: Simulation.Workload = (chance) => ({
  sessions: ["ada", "bob"].map((id) => ({
    id,
    agent: "booker",
    commands: [{ id: "m", at: chance.int(0, 500), kind: "Send", text: "Book it." }]
  }))
})

describe("an agent of a user", () => {
  it.live("books once a customer, whatever dies when", () =>
    Effect.gen(function* () {
      let booked = 0
      for (let n = 0; n < 10; n++) {
        booked = 0
        const report = yield* Simulation.run({
          agents: [Booker],
          model,
          tools: Layer.merge(
            handlers,
            Airline.layer(() => void booked++)
          ),
          workload,
          seed: `booker/${n}`
        })
        assert.deepStrictEqual(report.violations, [])
        assert.isAtMost(booked, 2, `seed ${report.seed}:\n${report.trace().join("\n")}`)
      }
    })
  )

  it.live("is explored with no more than what it needs", () =>
    Effect.gen(function* () {
      const { runs } = yield* Simulation.explore({ agents: [Booker], model, tools: handlers, seeds: 5 })
      assert.strictEqual(runs, 5)
    }).pipe(Effect.provide(Airline.layer(() => {})))
  )
})
