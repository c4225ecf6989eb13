/** Testing an agent: the real runtime in one process, a scripted model, and a crash where it hurts. */
import { Tool, Toolkit } from "@effect/ai"
import { Effect, Schema } from "effect"
import { Agent } from "perdure"
import { ScriptedModel, TestRunner } from "perdure/testing"

const Book = Tool.make("book", { parameters: { flight: Schema.String }, success: Schema.String })
const tools = Toolkit.make(Book)
const Booker = Agent.make("booker", { toolkit: tools })

// In a test this is the body of an `it.scoped` or `it.scopedLive` of @effect/vitest.
const test = Effect.gen(function* () {
  const bookings: Array<string> = []
  const world = yield* TestRunner.make({
    agents: [Booker],
    model: ScriptedModel.make([
      ScriptedModel.calls("book", { flight: "AF7" }),
      ScriptedModel.text("I do not know whether AF7 is booked.")
    ]),
    tools: tools.toLayer({
      book: ({ flight }) =>
        Effect.sync(() => {
          bookings.push(flight)
          return "booked"
        })
    })
  })

  // The runner dies when the flight is booked and nobody has written that down yet.
  yield* world.crashAt({ step: "tool:book", point: "after-effect-before-commit" })

  const session = yield* world.session(Booker, "user-42")
  const answer = yield* session.ask("Book AF7", { id: "m1" })

  console.log(`crashes: ${yield* world.crashes}, bookings: ${bookings.length}`)
  console.log(answer)
  const doubts = (yield* world.journal("user-42")).filter(({ entry }) => entry._tag === "StepInDoubt")
  console.log(`in doubt, and told so: ${doubts.length}`)
})

await Effect.runPromise(Effect.scoped(test))
