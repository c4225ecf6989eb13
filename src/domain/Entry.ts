/**
 * Everything that ever happened to a session.
 *
 * State is a fold of entries and of nothing else. Entries are written once and never changed (I4); what is added later
 * gets a new optional field or a new tag, so that an old entry loads in new code. `version` is written with each one
 * for the day when that is not enough.
 */
import { Schema } from "effect"
import { Failure } from "./Failure.ts"
import { AgentName, CommandId, Epoch, Seq, SessionId, StepId, TimerId } from "./Id.ts"
import { Json, Text } from "./Json.ts"
import { UserPart } from "./Message.ts"
import { Usage } from "./Usage.ts"

/** The version of the encoding of entries that this code writes. It reads this one and all before it. */
export const version = 1

/** Milliseconds since the epoch, by the runner's clock. */
const Millis = Schema.Int

/** What a second message does while a turn is running. */
export const WhenBusy = Schema.Literal("enqueue", "reject", "interrupt")
export type WhenBusy = typeof WhenBusy.Type

/** A message into a session. */
export const Command = Schema.Union(
  Schema.TaggedStruct("Send", { parts: Schema.Array(UserPart), whenBusy: WhenBusy }),
  /** Ends the running turn; the session goes on. */
  Schema.TaggedStruct("Interrupt", { reason: Schema.optional(Text) }),
  /** Ends the session. */
  Schema.TaggedStruct("Cancel", { reason: Schema.optional(Text) })
)
export type Command = typeof Command.Type
export type Send = Extract<Command, { _tag: "Send" }>

export const StepKind = Schema.Literal("model", "tool", "custom")
export type StepKind = typeof StepKind.Type

/** Whether a step may run again when nobody knows whether it ran (I5). */
export const Repeatable = Schema.Literal(
  /** It changes nothing. */
  "readonly",
  /** Twice with the same idempotency key is once. */
  "idempotent",
  /** It is never repeated silently: it goes in doubt. */
  "never"
)
export type Repeatable = typeof Repeatable.Type

/** Which limit a turn hit (I8). */
export const Limit = Schema.Literal("steps", "modelCalls", "toolCalls", "tokens", "usd", "wall")
export type Limit = typeof Limit.Type

/** How a turn ended. */
export const TurnOutcome = Schema.Union(
  Schema.TaggedStruct("Completed", { output: Json }),
  Schema.TaggedStruct("Interrupted", { reason: Schema.optional(Text) }),
  Schema.TaggedStruct("LimitReached", { limit: Limit, allowed: Schema.Finite, used: Schema.Finite }),
  Schema.TaggedStruct("Failed", { failure: Failure })
)
export type TurnOutcome = typeof TurnOutcome.Type

export const SessionOutcome = Schema.Union(
  Schema.TaggedStruct("Completed", { output: Json }),
  Schema.TaggedStruct("Cancelled", { reason: Schema.optional(Text) }),
  Schema.TaggedStruct("Failed", { failure: Failure })
)
export type SessionOutcome = typeof SessionOutcome.Type

/** What the next attempt of a step is given. */
export const NextInput = Schema.Literal("original", "continue", "repaired", "compacted")
export type NextInput = typeof NextInput.Type

export const SessionCreated = Schema.TaggedStruct("SessionCreated", {
  agent: AgentName,
  /** The agent's version at the time. */
  agentVersion: Schema.String,
  attributes: Schema.Record({ key: Schema.String, value: Text }),
  parent: Schema.optional(Schema.Struct({ session: SessionId, step: StepId }))
})
export type SessionCreated = typeof SessionCreated.Type

export const CommandAccepted = Schema.TaggedStruct("CommandAccepted", { id: CommandId, command: Command })
export type CommandAccepted = typeof CommandAccepted.Type

export const TurnStarted = Schema.TaggedStruct("TurnStarted", {
  /** 1, 2, 3 … */
  turn: Schema.Int,
  /** The command that it answers. */
  command: CommandId
})
export type TurnStarted = typeof TurnStarted.Type

export const StepIntended = Schema.TaggedStruct("StepIntended", {
  step: StepId,
  turn: Schema.Int,
  kind: StepKind,
  /** The tool's or the model step's name. */
  name: Text,
  input: Json,
  repeatable: Repeatable
})
export type StepIntended = typeof StepIntended.Type

export const StepProgress = Schema.TaggedStruct("StepProgress", {
  step: StepId,
  attempt: Schema.Int,
  /** What has been produced so far and would be lost with the runner. */
  partial: Json
})
export type StepProgress = typeof StepProgress.Type

export const AttemptFailed = Schema.TaggedStruct("AttemptFailed", {
  step: StepId,
  attempt: Schema.Int,
  startedAt: Millis,
  failure: Failure,
  /** When the next attempt is due. */
  retryAt: Millis,
  nextInput: NextInput,
  /** What the failed attempt had produced; the next one goes on from it where `nextInput` is `continue`. */
  partial: Schema.optional(Json),
  /** What it used before it failed. */
  usage: Schema.optional(Usage)
})
export type AttemptFailed = typeof AttemptFailed.Type

export const StepSucceeded = Schema.TaggedStruct("StepSucceeded", {
  step: StepId,
  attempt: Schema.Int,
  startedAt: Millis,
  output: Json,
  usage: Schema.optional(Usage)
})
export type StepSucceeded = typeof StepSucceeded.Type

export const StepFailed = Schema.TaggedStruct("StepFailed", {
  step: StepId,
  attempt: Schema.Int,
  startedAt: Millis,
  failure: Failure,
  usage: Schema.optional(Usage)
})
export type StepFailed = typeof StepFailed.Type

/** The step was running when its runner died, and may not be repeated (I5). */
export const StepInDoubt = Schema.TaggedStruct("StepInDoubt", { step: StepId, attempt: Schema.Int })
export type StepInDoubt = typeof StepInDoubt.Type

export const TimerSet = Schema.TaggedStruct("TimerSet", { timer: TimerId, due: Millis })
export type TimerSet = typeof TimerSet.Type
export const TimerFired = Schema.TaggedStruct("TimerFired", { timer: TimerId })
export type TimerFired = typeof TimerFired.Type
export const TimerCleared = Schema.TaggedStruct("TimerCleared", { timer: TimerId })
export type TimerCleared = typeof TimerCleared.Type

/** A decision worth seeing that is none of the others: a limit met, a loop detected, a recovery. */
export const Noted = Schema.TaggedStruct("Noted", { kind: Schema.String, detail: Json })
export type Noted = typeof Noted.Type

export const TurnEnded = Schema.TaggedStruct("TurnEnded", { turn: Schema.Int, outcome: TurnOutcome })
export type TurnEnded = typeof TurnEnded.Type

export const SessionEnded = Schema.TaggedStruct("SessionEnded", { outcome: SessionOutcome })
export type SessionEnded = typeof SessionEnded.Type

export const Entry = Schema.Union(
  SessionCreated,
  CommandAccepted,
  TurnStarted,
  StepIntended,
  StepProgress,
  AttemptFailed,
  StepSucceeded,
  StepFailed,
  StepInDoubt,
  TimerSet,
  TimerFired,
  TimerCleared,
  Noted,
  TurnEnded,
  SessionEnded
)
export type Entry = typeof Entry.Type

/** An entry in its place. `hash` is the hex digest of the audit chain up to and with this entry. */
export const Recorded = Schema.Struct({ seq: Seq, epoch: Epoch, at: Millis, hash: Schema.String, entry: Entry })
export type Recorded = typeof Recorded.Type
