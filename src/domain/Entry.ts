/**
 * Everything that ever happened to a session.
 *
 * State is a fold of entries and of nothing else. Entries are written once and never changed (I4); what is added later
 * gets a new optional field or a new tag, so that an old entry loads in new code. `version` is written with each one
 * for the day when that is not enough.
 */
import { Schema } from "effect"
import { Command, Decision } from "./Command.ts"
import { Decided, NextInput } from "./Decided.ts"
import { Drawn, Failure } from "./Failure.ts"
import { AgentName, CommandId, Epoch, Seq, SessionId, StepId, TimerId } from "./Id.ts"
import { Json, Text } from "./Json.ts"
import { Amounts } from "./Limit.ts"
import { SessionOutcome, TurnOutcome } from "./Outcome.ts"
import { Usage } from "./Usage.ts"

export * from "./Command.ts"
export * from "./Decided.ts"
export { Drawn } from "./Failure.ts"
export * from "./Limit.ts"
export * from "./Outcome.ts"

/** The version of the encoding of entries that this code writes. It reads this one and all before it. */
export const version = 1

/** Milliseconds since the epoch, by the runner's clock. */
const Millis = Schema.Int

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

export const SessionCreated = Schema.TaggedStruct("SessionCreated", {
  agent: AgentName,
  /** The agent's version at the time. */
  agentVersion: Schema.String,
  attributes: Schema.Record({ key: Schema.String, value: Text }),
  parent: Schema.optional(Schema.Struct({ session: SessionId, step: StepId })),
  /** Of a child: what its parent has set aside for it. All that it uses, its own children included, is drawn from it. */
  budget: Schema.optional(Amounts)
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
  repeatable: Repeatable,
  /** Of a step that is a child: what is set aside for it until its outcome says what it has used. */
  reserved: Schema.optional(Amounts)
})
export type StepIntended = typeof StepIntended.Type

export const StepProgress = Schema.TaggedStruct("StepProgress", {
  step: StepId,
  attempt: Schema.Int,
  /** What has been produced so far and would be lost with the runner; left out where the attempt has only begun. */
  partial: Schema.optional(Json)
})
export type StepProgress = typeof StepProgress.Type

/** What was found out about a step that was in doubt. */
export const Reconciled = Schema.Literal("happened", "did not happen", "unknown")
export type Reconciled = typeof Reconciled.Type

const reconciled = Schema.optional(Reconciled)

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
  usage: Schema.optional(Usage),
  /** Who decided that there is a next one. */
  decided: Schema.optional(Decided),
  /** What this attempt has found out, where that is all it was for. */
  reconciled
})
export type AttemptFailed = typeof AttemptFailed.Type

export const StepSucceeded = Schema.TaggedStruct("StepSucceeded", {
  step: StepId,
  attempt: Schema.Int,
  startedAt: Millis,
  output: Json,
  usage: Schema.optional(Usage),
  /** What a child has done. */
  drawn: Schema.optional(Drawn),
  /** It was found out that an earlier attempt had done it, and what that gave. */
  reconciled,
  /** The `Settle` that says so: nothing has run. */
  settled: Schema.optional(CommandId)
})
export type StepSucceeded = typeof StepSucceeded.Type

export const StepFailed = Schema.TaggedStruct("StepFailed", {
  step: StepId,
  attempt: Schema.Int,
  startedAt: Millis,
  failure: Failure,
  usage: Schema.optional(Usage),
  drawn: Schema.optional(Drawn),
  /** Who decided that there is no next attempt; left out where nobody was asked. */
  decided: Schema.optional(Decided),
  /** The `Settle` that says so: it did not happen. */
  settled: Schema.optional(CommandId)
})
export type StepFailed = typeof StepFailed.Type

/** The step was running when its runner died, and may not be repeated (I5). */
export const StepInDoubt = Schema.TaggedStruct("StepInDoubt", {
  step: StepId,
  attempt: Schema.Int,
  /** It was asked what became of it, in vain. */
  reconciled
})
export type StepInDoubt = typeof StepInDoubt.Type

/** What became of a step that was in doubt is known after all. The step is over: it changes what is known, and no more. */
export const DoubtSettled = Schema.TaggedStruct("DoubtSettled", {
  step: StepId,
  verdict: Schema.Literal("happened", "did not happen"),
  result: Schema.optional(Json),
  command: CommandId
})
export type DoubtSettled = typeof DoubtSettled.Type

export const TimerSet = Schema.TaggedStruct("TimerSet", { timer: TimerId, due: Millis })
export type TimerSet = typeof TimerSet.Type
export const TimerFired = Schema.TaggedStruct("TimerFired", { timer: TimerId })
export type TimerFired = typeof TimerFired.Type
export const TimerCleared = Schema.TaggedStruct("TimerCleared", { timer: TimerId })
export type TimerCleared = typeof TimerCleared.Type

/** A decision worth seeing that is none of the others: a limit met, a loop detected, a recovery. */
export const Noted = Schema.TaggedStruct("Noted", { kind: Schema.String, detail: Json })
export type Noted = typeof Noted.Type

/**
 * Nothing begins until somebody decides: a command (`Raise`, `Decide`), or the deadline. Interrupt and cancel work as ever.
 * The turn's time stands still meanwhile.
 */
export const Paused = Schema.TaggedStruct("Paused", {
  /** Its name in this session, for whoever decides. */
  pause: Schema.String,
  /** Why: `budget`, `loop`, `failure`, … */
  kind: Schema.String,
  /** What one should know to decide. */
  detail: Json,
  /** How the turn ends if that is the decision. */
  otherwise: Schema.optional(TurnOutcome),
  /** The open step that does not go on meanwhile, and fails if that is the decision. */
  held: Schema.optional(StepId),
  /** When it is decided without anybody, and how: `end` unless told. */
  deadline: Schema.optional(Millis),
  atDeadline: Schema.optional(Decision)
})
export type Paused = typeof Paused.Type

export const Resumed = Schema.TaggedStruct("Resumed", {
  pause: Schema.String,
  decision: Decision,
  /** The command that decided it; none: its deadline did. */
  command: Schema.optional(CommandId),
  /** What this allows beyond what a `Raise` has. */
  raised: Schema.optional(Amounts)
})
export type Resumed = typeof Resumed.Type

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
  DoubtSettled,
  TimerSet,
  TimerFired,
  TimerCleared,
  Noted,
  Paused,
  Resumed,
  TurnEnded,
  SessionEnded
)
export type Entry = typeof Entry.Type

/** An entry in its place. `hash` is the hex digest of the audit chain up to and with this entry. */
export const Recorded = Schema.Struct({ seq: Seq, epoch: Epoch, at: Millis, hash: Schema.String, entry: Entry })
export type Recorded = typeof Recorded.Type
