/**
 * What two runners say to each other about a step that runs on the one and belongs to a session on the other: short
 * volatile RPCs, each harmless when it is sent again, as the cluster does.
 */
import { ClusterSchema, Entity } from "@effect/cluster"
import { Rpc } from "@effect/rpc"
import { Schema } from "effect"
import { NextInput, Reconciled, Repeatable, StepKind } from "../../domain/Entry.ts"
import * as Errors from "../../domain/Errors.ts"
import { Failure } from "../../domain/Failure.ts"
import { Epoch, SessionKey, StepId } from "../../domain/Id.ts"
import { Json } from "../../domain/Json.ts"
import { Usage } from "../../domain/Usage.ts"

/** Where a runner with the tag is found: each tag has shards of its own, and only runners that have it own them. */
export const groupOf = (tag: string): string => `on.${tag}`

/** The errands of one session at one tag. */
export const idOf = (tag: string, key: SessionKey): string => `${tag}/${key}`

export const parseId = (id: string): { readonly tag: string; readonly key: SessionKey } | null => {
  const slash = id.indexOf("/")
  const key = id.slice(slash + 1)
  return slash > 0 && SessionKey.isValid(key) ? { tag: id.slice(0, slash), key: SessionKey.parse(key) } : null
}

/** A host's name: where it is, and which of all that were ever there. */
export const nameOf = (address: string, startedAt: number, number: number): string =>
  `${address}#${startedAt}.${number}`

export const addressOf = (name: string): string => name.slice(0, name.lastIndexOf("#"))

/** The errand is not here: its runner has died, another one has it now, or nobody has asked after it for too long. */
export class ErrandLost extends Schema.TaggedError<ErrandLost>()("ErrandLost", {
  reason: Schema.String,
  /** Whether it is certain that it has not begun, and will not under this ticket (I5). */
  neverBegan: Schema.optionalWith(Schema.Boolean, { default: () => false })
}) {
  override get message() {
    return `the errand is lost: ${this.reason}`
  }
}

/** The attempt that is to run. */
export const Attempt = Schema.parseJson(
  Schema.Struct({
    step: StepId,
    turn: Schema.Int,
    kind: StepKind,
    name: Schema.String,
    input: Json,
    repeatable: Repeatable,
    attempt: Schema.Int,
    dueAt: Schema.Int,
    since: Schema.optional(Schema.Int),
    nextInput: NextInput,
    partial: Schema.optional(Json)
  })
)

/** What an attempt came to. */
export const Outcome = Schema.Union(
  Schema.TaggedStruct("Succeeded", {
    output: Schema.Struct({ output: Json, usage: Schema.optional(Usage), reconciled: Schema.optional(Reconciled) })
  }),
  Schema.TaggedStruct("Failed", {
    failure: Failure,
    partial: Schema.optional(Json),
    usage: Schema.optional(Usage),
    random: Schema.Finite
  })
)

/** What has happened since the last look. */
export const News = Schema.parseJson(
  Schema.Struct({
    /** Live text, from number `seen` on. */
    pieces: Schema.Array(
      Schema.Struct({ channel: Schema.Literal("text", "reasoning", "progress"), text: Schema.String })
    ),
    /** Something that the attempt wants saved, and the number of it. */
    save: Schema.NullOr(Schema.Struct({ number: Schema.Int, partial: Json })),
    outcome: Schema.NullOr(Outcome)
  })
)
export type News = typeof News.Type

/**
 * What is known of what was ended: nothing of it ever began, it was cut off and is over, or it had come to this. `unknown`
 * where it was not ended here, or is not known any more.
 */
export const End = Schema.parseJson(Schema.Union(Schema.Literal("neverBegan", "stopped", "unknown"), Outcome))
export type End = typeof End.Type

const ticket = {
  /** Names the slot, and what runs in it. Unique: chosen by the session's actor. */
  ticket: Schema.String,
  /** The session's own: a runner that was fenced acts no more (I3). */
  epoch: Epoch
}

/** Which host granted the slot: the one that knows whether what it is for has begun (I5). */
const slot = { ...ticket, host: Schema.String }

const errors = Schema.Union(ErrandLost, Errors.Misrouted)

export const ErrandEntity = Entity.make("perdure/Errand", [
  /**
   * Waits for a slot of the pool; answers with the host's name when it is there. To be asked again and again until it is,
   * and under a new ticket when this one is lost.
   */
  Rpc.make("Reserve", {
    payload: { ...ticket, pool: Schema.String, agent: Schema.String, from: Schema.String, waitMs: Schema.Int },
    success: Schema.NullOr(Schema.String),
    error: errors
  }),
  /** Says that the slot is still wanted; lost where it is not held any more. */
  Rpc.make("Keep", { payload: slot, error: errors }),
  /** Begins the attempt in the slot. Again: nothing. */
  Rpc.make("Begin", { payload: { ...slot, attempt: Attempt }, error: errors }),
  /** Waits for news. Whoever asks no more is taken for dead. */
  Rpc.make("Follow", {
    payload: { ...ticket, seen: Schema.Int, saved: Schema.Int, waitMs: Schema.Int },
    success: News,
    error: errors
  }),
  /** Ends whatever runs, and gives the slot back; returns when it is gone. `known`: what it came to need not be told again. */
  Rpc.make("Drop", { payload: { ...slot, known: Schema.Boolean }, success: End, error: errors })
]).annotate(ClusterSchema.ShardGroup, (id) => groupOf(id.slice(0, id.indexOf("/"))))
