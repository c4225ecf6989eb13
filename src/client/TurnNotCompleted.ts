import { Schema } from "effect"
import { type LimitScope, type LoopKind, TurnOutcome } from "../domain/Entry.ts"

const limited = (scope: LimitScope = "turn"): string =>
  scope === "parent" ? "the turn reached the limit that its parent set" : `the turn reached ${whose[scope]} limit`

const whose = { turn: "its", session: "its session's" } as const

const remedy: Readonly<Record<LimitScope, string>> = {
  turn: "raise the agent's budget, or send a message to go on",
  session: "raise the session's budget to go on (`session.raise`, `perdure raise`)",
  parent: "raise the parent's budget"
}

const loops: Readonly<Record<LoopKind, string>> = {
  repeat: "one call with the same result again and again",
  cycle: "a few calls with the same results in turns",
  stale: "nothing that it had not seen before"
}

/** A turn ended without an answer: it was interrupted, met a limit, went in circles, or its model failed. The session goes on. */
export class TurnNotCompleted extends Schema.TaggedError<TurnNotCompleted>()("TurnNotCompleted", {
  outcome: TurnOutcome
}) {
  override get message() {
    const { outcome } = this
    switch (outcome._tag) {
      case "Failed":
        return `the turn failed: ${outcome.failure.class}: ${outcome.failure.message}`
      case "LimitReached":
        return `${limited(outcome.scope)} of ${outcome.limit}: ${outcome.used} of ${outcome.allowed}; ${remedy[outcome.scope ?? "turn"]}`
      case "Looped":
        return `the turn went in circles (${loops[outcome.loop]}) for ${outcome.rounds} answers of the model; say what to do differently, or change the agent's \`loops\``
      case "Interrupted":
        return `the turn was interrupted${outcome.reason === undefined ? "" : `: ${outcome.reason}`}`
      case "Completed":
        return "the turn was completed"
    }
  }
}
