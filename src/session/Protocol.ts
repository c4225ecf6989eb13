/**
 * What a client and a session say to each other: short volatile RPCs, each idempotent by itself, because the cluster sends
 * them again when a runner dies.
 *
 * Text travels as JSON inside a string: the wire's own encoding would change lone surrogates.
 */
import { ClusterSchema, Entity } from "@effect/cluster"
import { Rpc, RpcGroup } from "@effect/rpc"
import { Schema } from "effect"
import { Command, Decided, Decision, NextInput, SessionCreated, SessionOutcome, StepKind } from "../domain/Entry.ts"
import * as Errors from "../domain/Errors.ts"
import { Failure } from "../domain/Failure.ts"
import { CommandId, SessionKey, StepId } from "../domain/Id.ts"
import { Json } from "../domain/Json.ts"
import { Usage } from "../domain/Usage.ts"
import { Cursor } from "../feed/index.ts"

/** A command is in the journal, at `seq`. */
export const Ack = Schema.Struct({ seq: Schema.Int })
export type Ack = typeof Ack.Type

export const PullRequest = Schema.Struct({
  /** The last entry that the reader has. */
  seq: Schema.Int,
  seen: Schema.Record({ key: Schema.String, value: Cursor.Seen }),
  /** How long to wait for something new, in milliseconds. */
  waitMs: Schema.Int,
  /** Only entries are news: whoever waits for an end reads no text. */
  quiet: Schema.optional(Schema.Boolean)
})
export type PullRequest = typeof PullRequest.Type

export const LiveStep = Schema.Struct({
  step: StepId,
  at: Cursor.Seen,
  text: Schema.String,
  reasoning: Schema.String,
  progress: Schema.String,
  skipped: Schema.optional(Schema.Int)
})

/** The journal's end, and the live text beyond the reader's cursor at that very moment. */
export const PullReply = Schema.parseJson(
  Schema.Struct({ seq: Schema.Int, ended: Schema.Boolean, live: Schema.Array(LiveStep) })
)
export type PullReply = typeof PullReply.Type

/** A session as it is now. */
export const SessionView = Schema.Struct({
  agent: Schema.String,
  agentVersion: Schema.String,
  /** `paused`: it waits for somebody's decision, and for nothing else. */
  status: Schema.Literal("active", "paused", "resting", "ended"),
  seq: Schema.Int,
  /** How many turns have begun. */
  turns: Schema.Int,
  turn: Schema.NullOr(
    Schema.Struct({
      turn: Schema.Int,
      startedAt: Schema.Int,
      steps: Schema.Int,
      modelCalls: Schema.Int,
      toolCalls: Schema.Int,
      usage: Usage
    })
  ),
  /** How many messages wait. */
  queued: Schema.Int,
  open: Schema.Array(
    Schema.Struct({
      step: StepId,
      kind: StepKind,
      name: Schema.String,
      attempt: Schema.Int,
      /** When that attempt begins or has begun, in milliseconds since the epoch. */
      dueAt: Schema.Int,
      /** Of an attempt after the first: what it is given, which model it asks if not the first, and why there is one. */
      nextInput: Schema.optional(NextInput),
      model: Schema.optional(Schema.String),
      why: Schema.optional(Schema.Struct({ failure: Failure, decided: Schema.optional(Decided) })),
      /** It waits for a decision. */
      held: Schema.optional(Schema.Boolean)
    })
  ),
  /** Steps that wait for a slot of a pool. `step` is `null` for one that is not intended yet. */
  waiting: Schema.optionalWith(
    Schema.Array(
      Schema.Struct({
        pool: Schema.String,
        kind: StepKind,
        name: Schema.String,
        step: Schema.NullOr(StepId),
        attempt: Schema.Int,
        /** `runner`: none that is there has the tag behind the pool's `@`. */
        lacks: Schema.optionalWith(Schema.Literal("slot", "runner"), { default: () => "slot" as const }),
        /**
         * Of a model call that its provider's limits hold up: `limit`: as many as are allowed are out; `blocked`: the
         * provider wants to hear nothing; `open`: it fails, and is left alone. `until`: milliseconds since the epoch.
         */
        provider: Schema.optionalWith(
          Schema.NullOr(
            Schema.Struct({
              lane: Schema.String,
              model: Schema.String,
              reason: Schema.Literal("limit", "blocked", "open"),
              until: Schema.NullOr(Schema.Finite)
            })
          ),
          { default: () => null }
        ),
        /** Milliseconds since the epoch. */
        since: Schema.Int
      })
    ),
    // A runner that is older than its client does not say.
    { default: () => [] }
  ),
  /** What waits to be decided. */
  pauses: Schema.optionalWith(
    Schema.Array(
      Schema.Struct({
        /** Its name, for whoever decides. */
        pause: Schema.String,
        /** `budget`, `loop`, `failure`, … */
        kind: Schema.String,
        detail: Json,
        since: Schema.Int,
        deadline: Schema.NullOr(Schema.Int),
        atDeadline: Decision
      })
    ),
    { default: () => [] }
  ),
  /** Steps that have ended in doubt, and of which nobody has said more (`settle`). */
  doubts: Schema.optionalWith(
    Schema.Array(
      Schema.Struct({
        step: StepId,
        turn: Schema.Int,
        kind: StepKind,
        name: Schema.String,
        attempt: Schema.Int,
        /** Milliseconds since the epoch. */
        since: Schema.Int
      })
    ),
    { default: () => [] }
  ),
  /** Of all turns, with what children have done. `activeMs`: of those that have ended, pauses not counted. */
  used: Schema.optionalWith(
    Schema.Struct({ steps: Schema.Int, modelCalls: Schema.Int, toolCalls: Schema.Int, activeMs: Schema.Int }),
    { default: () => ({ steps: 0, modelCalls: 0, toolCalls: 0, activeMs: 0 }) }
  ),
  usage: Usage,
  outcome: Schema.NullOr(SessionOutcome)
})
export type SessionView = typeof SessionView.Type

/** Why a session cannot be asked at all. `Fenced` means: ask again, another runner has it. */
export const Unavailable = Schema.Union(
  Errors.Fenced,
  Errors.StoreUnavailable,
  Errors.SessionParked,
  Errors.AgentUnknown
)
export type Unavailable = typeof Unavailable.Type

export const Refused = Schema.Union(
  Errors.SessionNotFound,
  Errors.SessionClosed,
  Errors.SessionBusy,
  Errors.MailboxFull,
  Errors.MessageTooLarge,
  Errors.InvalidInput,
  Errors.CommandConflict,
  Errors.NothingToDecide
)
export type Refused = typeof Refused.Type

const createErrors = Schema.Union(Unavailable, Errors.AgentMismatch, Errors.InvalidInput)
const acceptErrors = Schema.Union(Unavailable, Refused)
const readErrors = Schema.Union(Unavailable, Errors.SessionNotFound)

const create = { created: Schema.parseJson(SessionCreated) }
const accept = { id: CommandId, command: Schema.parseJson(Command) }

/** Of messages between runners, whoever sends them. */
const routed = <A extends { readonly _tag: string }, I, R>(errors: Schema.Schema<A, I, R>) =>
  Schema.Union(errors, Errors.Misrouted)

/** In the cluster: the session is the entity. */
export const SessionEntity = Entity.make("perdure/Session", [
  Rpc.make("Create", { payload: create, success: Ack, error: routed(createErrors) }),
  Rpc.make("Accept", { payload: accept, success: Ack, error: routed(acceptErrors) }),
  Rpc.make("Pull", { payload: PullRequest.fields, success: PullReply, error: routed(readErrors) }),
  Rpc.make("Inspect", { success: SessionView, error: routed(readErrors) }),
  /** Goes on with unfinished work and fires the timers that are due. */
  Rpc.make("Wake", { error: routed(Unavailable) })
  // A turn's spans are its own: those of requests would say how often readers ask.
]).annotate(ClusterSchema.ClientTracingEnabled, false)

/** The same for a client outside of the cluster, that names the session in each request. */
export class SessionRpcs extends RpcGroup.make(
  Rpc.make("Create", { payload: { key: SessionKey, ...create }, success: Ack, error: createErrors }),
  Rpc.make("Accept", { payload: { key: SessionKey, ...accept }, success: Ack, error: acceptErrors }),
  Rpc.make("Pull", { payload: { key: SessionKey, ...PullRequest.fields }, success: PullReply, error: readErrors }),
  Rpc.make("Inspect", { payload: { key: SessionKey }, success: SessionView, error: readErrors })
) {}
