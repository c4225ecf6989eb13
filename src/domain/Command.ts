/** What is said to a session. Each command has an id that makes it idempotent (I1). */
import { Schema } from "effect"
import { StepId } from "./Id.ts"
import { Json, Text } from "./Json.ts"
import { Amounts } from "./Limit.ts"
import { UserPart } from "./Message.ts"

/** What a second message does while a turn is running. */
export const WhenBusy = Schema.Literal("enqueue", "reject", "interrupt")
export type WhenBusy = typeof WhenBusy.Type

/** What is decided of a pause. */
export const Decision = Schema.Literal(
  /** Go on where it stopped. */
  "proceed",
  /** What would have happened without the pause. */
  "end"
)
export type Decision = typeof Decision.Type

/** What somebody says of a step that is in doubt (I5). */
export const Verdict = Schema.Literal(
  "happened",
  "did not happen",
  /** It does no harm to do it again. Only where the session waits for the verdict. */
  "retry"
)
export type Verdict = typeof Verdict.Type

/** A message into a session. */
export const Command = Schema.Union(
  Schema.TaggedStruct("Send", {
    parts: Schema.Array(UserPart),
    whenBusy: WhenBusy,
    /** Decides on failed model calls of its turn, before the agent's own: one of those that the agent has names for. */
    policy: Schema.optional(Text)
  }),
  /** Ends the running turn; the session goes on. */
  Schema.TaggedStruct("Interrupt", { reason: Schema.optional(Text) }),
  /** Ends the session. */
  Schema.TaggedStruct("Cancel", { reason: Schema.optional(Text) }),
  /**
   * Allows more: added to what the running turn and the session may use. A pause for a budget that this lifts is over.
   * Not to what a parent has given: the parent's budget is the one to raise.
   */
  Schema.TaggedStruct("Raise", { by: Amounts, reason: Schema.optional(Text) }),
  /** Decides a pause, once. */
  Schema.TaggedStruct("Decide", { pause: Schema.String, decision: Decision, reason: Schema.optional(Text) }),
  /** Says what became of a step that is in doubt, once. */
  Schema.TaggedStruct("Settle", {
    step: StepId,
    verdict: Verdict,
    /** What a step that happened gave. */
    result: Schema.optional(Json)
  }),
  /** Tries again what is parked: a step, or all of them where none is named. */
  Schema.TaggedStruct("Revive", { step: Schema.optional(StepId), reason: Schema.optional(Text) }),
  /** Gives up what is parked. */
  Schema.TaggedStruct("Discard", { step: Schema.optional(StepId), reason: Schema.optional(Text) })
)
export type Command = typeof Command.Type
export type Send = Extract<Command, { _tag: "Send" }>
