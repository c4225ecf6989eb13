import { Schema } from "effect"
import { TurnOutcome } from "../domain/Entry.ts"

/** A turn ended without an answer: it was interrupted, met a limit, or its model failed. The session goes on. */
export class TurnNotCompleted extends Schema.TaggedError<TurnNotCompleted>()("TurnNotCompleted", {
  outcome: TurnOutcome
}) {
  override get message() {
    const { outcome } = this
    switch (outcome._tag) {
      case "Failed":
        return `the turn failed: ${outcome.failure.class}: ${outcome.failure.message}`
      case "LimitReached":
        return `the turn reached its limit of ${outcome.limit}: ${outcome.used} of ${outcome.allowed}; raise the agent's budget, or send a message to go on`
      case "Interrupted":
        return `the turn was interrupted${outcome.reason === undefined ? "" : `: ${outcome.reason}`}`
      case "Completed":
        return "the turn was completed"
    }
  }
}
