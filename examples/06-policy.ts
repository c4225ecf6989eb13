/** A policy of one's own: what follows each kind of failure, as data that is checked, printed, tested and journaled. */
import { Effect, Schedule } from "effect"
import { Agent, Models, Policy } from "perdure"
import { ScriptedModel, TestRunner } from "perdure/testing"

/** Waits for a rate limit by a schedule of ours, twice; a refusal goes to another model. All else is as by default. */
const patient = Policy.make("patient", [
  Policy.rule(
    "RateLimited",
    Policy.retry({ attempts: 3, delay: Policy.named("ours"), retryAfter: "ignore", jitter: 0 }),
    Policy.fallback()
  ),
  Policy.rule("Refused", Policy.fallback(), Policy.ask("No model wants to. Go on?"))
])
const schedules = { ours: Schedule.exponential("20 millis") }

const Writer = Agent.make("writer", {
  model: "house",
  fallbacks: ["guest"],
  policy: { model: patient, schedules }
})

// A policy is a pure function of data: its test needs no runner, no model and no clock.
const decide = (failure: "RateLimited" | "Refused", tried: number) =>
  Policy.decide(
    patient,
    {
      kind: "model",
      name: "writer",
      repeatable: "readonly",
      failure: { class: failure, message: "" },
      attempt: tried,
      tried,
      hasPartial: false,
      random: 0.5
    },
    { schedules, fallbacks: ["guest"] }
  )
for (const [failure, tried] of [
  ["RateLimited", 1],
  ["RateLimited", 2],
  ["RateLimited", 3],
  ["Refused", 1]
] as const) {
  const decision = decide(failure, tried)
  const detail =
    decision._tag === "Retry"
      ? ` after ${decision.delayMs} ms`
      : decision._tag === "Fallback"
        ? ` to ${decision.model}`
        : ""
  console.log(`${failure}, attempt ${tried}: ${decision._tag}${detail}`)
}

// And the same in the real runtime, with a model that is at its limit once, and then refuses.
const { fails, make, text } = ScriptedModel
const test = Effect.gen(function* () {
  const world = yield* TestRunner.make({
    agents: [Writer],
    model: Models.layer({
      house: make([fails("RateLimited", {}, fails("Refused", {}, text("never said")))]),
      guest: make([text("Roses are red.")])
    })
  })
  const session = yield* world.session(Writer, "s")
  console.log(yield* session.ask("A poem, please."))
  for (const { entry } of yield* world.journal("s")) {
    if (entry._tag !== "AttemptFailed") continue
    console.log(`journal: ${entry.failure.class} → ${entry.decided?.plan}, by ${entry.decided?.policy}`)
  }
})

await Effect.runPromise(Effect.scoped(test))
