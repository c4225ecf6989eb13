/**
 * Everything that ever happened to a session.
 *
 * State is a fold of entries and of nothing else. Entries are written once and never changed (I4); what is added later
 * gets a new optional field or a new tag, so that an old entry loads in new code. `version` is written with each one
 * for the day when that is not enough.
 */
import { Schema } from "effect"
import { Drawn, Failure } from "./Failure.ts"

export { Drawn }
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

/** Which limit was hit (I8). `wall` is time in which a turn was running and not paused. */
export const Limit = Schema.Literal("steps", "modelCalls", "toolCalls", "tokens", "usd", "wall")
export type Limit = typeof Limit.Type

const Amount = Schema.optional(Schema.NonNegative.pipe(Schema.finite()))

/** So much of each limit, time in milliseconds, money in US dollars. What is left out is not spoken of. */
export const Amounts = Schema.Struct({
  steps: Amount,
  modelCalls: Amount,
  toolCalls: Amount,
  tokens: Amount,
  usd: Amount,
  wallMs: Amount
})
export type Amounts = typeof Amounts.Type

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
  Schema.TaggedStruct("Send", { parts: Schema.Array(UserPart), whenBusy: WhenBusy }),
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

/** Whose limit it was: the turn's, the session's, or what a parent has given to its child. */
export const LimitScope = Schema.Literal("turn", "session", "parent")
export type LimitScope = typeof LimitScope.Type

/** The kinds of loops: one call with one result again and again, a few of them in turns, nothing new for long. */
export const LoopKind = Schema.Literal("repeat", "cycle", "stale")
export type LoopKind = typeof LoopKind.Type

/** How a turn ended. */
export const TurnOutcome = Schema.Union(
  Schema.TaggedStruct("Completed", { output: Json }),
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
  Schema.TaggedStruct("Completed", { output: Json }),
  Schema.TaggedStruct("Cancelled", { reason: Schema.optional(Text) }),
  Schema.TaggedStruct("Failed", { failure: Failure })
)
export type SessionOutcome = typeof SessionOutcome.Type

/** What the next attempt of a step is given. */
export const NextInput = Schema.Literal(
  "original",
  "continue",
  "repaired",
  "compacted",
  /** Nothing: it is asked what became of the attempt before. */
  "reconcile"
)
export type NextInput = typeof NextInput.Type

/** What a policy decided about a failed attempt, and who says so. */
export const Decided = Schema.Struct({
  plan: Schema.Literal(
    /** The same model or tool again. */
    "retry",
    /** Another model, `model`. */
    "fallback",
    /** The conversation is made shorter first: the step has failed, and whoever plans the turn goes on from there. */
    "compact",
    /** A human decides: the next attempt is held until then. */
    "ask",
    /** The step has failed. */
    "fail"
  ),
  /** The policy's name. */
  policy: Text,
  /** The name of the rule of it that fitted. */
  rule: Text,
  /** How long the next attempt waits, in milliseconds. */
  delayMs: Schema.optional(Schema.NonNegative.pipe(Schema.finite())),
  /** The model that the next attempt asks, by name; where it is left out, the one that the failed one asked. */
  model: Schema.optional(Text),
  /** What a human is asked. */
  question: Schema.optional(Text),
  /** SHA-256, hex, of what the next attempt is given. Within one step, equal hashes are equal inputs. */
  inputHash: Schema.optional(Schema.String)
})
export type Decided = typeof Decided.Type

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
  /** What has been produced so far and would be lost with the runner. */
  partial: Json
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
