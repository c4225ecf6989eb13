/** How turns and sessions end. */
import { Schema } from "effect"
import { Failure } from "./Failure.ts"
import { Json, Text } from "./Json.ts"
import { Limit, LimitScope } from "./Limit.ts"

/** The kinds of loops: one call with one result again and again, a few of them in turns, nothing new for long. */
export const LoopKind = Schema.Literal("repeat", "cycle", "stale")
export type LoopKind = typeof LoopKind.Type

/** Why an answer is not all that its model had to say: the model reached its limit of output (`max_tokens`). */
export const Cut = Schema.Literal("length")
export type Cut = typeof Cut.Type

/** `cut`: the answer was cut off in the middle; absent from one that is whole. */
const Completed = Schema.TaggedStruct("Completed", {
  output: Json,
  cut: Schema.optionalWith(Cut, { exact: true })
})

/** How a turn ended. */
export const TurnOutcome = Schema.Union(
  Completed,
  Schema.TaggedStruct("Interrupted", { reason: Schema.optional(Text) }),
  Schema.TaggedStruct("LimitReached", {
    limit: Limit,
    allowed: Schema.Finite,
    used: Schema.Finite,
    /** The turn's, where it is missing. */
    scope: Schema.optional(LimitScope)
  }),
  /** The agent went round in circles: for `rounds` answers of the model, the last ones. */
  Schema.TaggedStruct("Looped", { loop: LoopKind, rounds: Schema.Int }),
  Schema.TaggedStruct("Failed", { failure: Failure })
)
export type TurnOutcome = typeof TurnOutcome.Type

export const SessionOutcome = Schema.Union(
  Completed,
  Schema.TaggedStruct("Cancelled", { reason: Schema.optional(Text) }),
  Schema.TaggedStruct("Failed", { failure: Failure })
)
export type SessionOutcome = typeof SessionOutcome.Type
