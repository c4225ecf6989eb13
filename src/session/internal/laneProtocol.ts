/**
 * What a runner and the host of a lane say to each other: one short volatile RPC, harmless when it is sent again. Times are
 * told as how long ago or how much longer, in milliseconds: the two have a clock each.
 */
import { Entity } from "@effect/cluster"
import { Rpc } from "@effect/rpc"
import { Schema } from "effect"
import * as Errors from "../../domain/Errors.ts"
import { FailureClass } from "../../domain/Failure.ts"

const Left = Schema.Struct({
  limit: Schema.optional(Schema.Finite),
  remaining: Schema.Finite,
  resetMs: Schema.Finite
})

/** What an answer's headers say is left. */
export const Heard = Schema.Struct({ requests: Schema.optional(Left), tokens: Schema.optional(Left) })

/** What became of a permit. */
export const Report = Schema.Struct({
  id: Schema.String,
  /** Which was asked. */
  model: Schema.String,
  /** `seen`: the provider has begun to answer; `unused`: nothing was sent. */
  what: Schema.Literal("seen", "ended", "unused"),
  agoMs: Schema.Finite,
  /** Of what has ended: what it failed with; nothing where it was answered. */
  failure: Schema.optional(FailureClass),
  retryAfterMs: Schema.optional(Schema.Finite),
  tokens: Schema.optional(Schema.Finite),
  heard: Schema.optional(Heard)
})
export type Report = typeof Report.Type

/** A call that wants to begin. */
export const Wanted = Schema.Struct({
  id: Schema.String,
  namespace: Schema.String,
  session: Schema.String,
  model: Schema.String,
  tokens: Schema.Finite
})
export type Wanted = typeof Wanted.Type

/** A call that begins and that no host has granted: no limit is known. */
export const Begun = Schema.Struct({ id: Schema.String, model: Schema.String, tokens: Schema.Finite })
export type Begun = typeof Begun.Type

/** A call that may begin. */
export const Granted = Schema.Struct({
  /** Of what wanted it, or a name of its own: for whichever call is next. */
  id: Schema.String,
  /** The host's count of all that it granted. */
  number: Schema.Int,
  tokens: Schema.Finite,
  isSpare: Schema.Boolean
})
export type Granted = typeof Granted.Type

export const ModelState = Schema.Struct({
  model: Schema.String,
  state: Schema.Literal("closed", "open", "half-open"),
  /** How much longer nothing is asked. */
  openMs: Schema.Finite
})
export type ModelState = typeof ModelState.Type

/** A lane as its host sees it: every runner has one, so that whoever becomes its host next knows what was spent. */
export const Copy = Schema.Struct({
  host: Schema.String,
  /** Grants up to this one are in `spent`. */
  number: Schema.Int,
  spent: Schema.Array(Schema.Struct({ leftMs: Schema.Finite, requests: Schema.Finite, tokens: Schema.Finite })),
  /** How much longer the provider wants to hear nothing; 0 where it does not. */
  blockedMs: Schema.Finite,
  /** Models whose breaker is not closed. */
  models: Schema.Array(ModelState),
  /** Calls that wait, of all runners. */
  waiting: Schema.Int,
  running: Schema.Int,
  requests: Schema.NullOr(Schema.Finite),
  tokens: Schema.NullOr(Schema.Finite),
  meanTokens: Schema.Finite,
  /** What the provider's answers have told of. */
  learned: Schema.Struct({
    requests: Schema.optional(Schema.Finite),
    tokens: Schema.optional(Schema.Finite),
    atOnce: Schema.optional(Schema.Finite)
  })
})
export type Copy = typeof Copy.Type

/** A permit that a runner has had, for a host that has not given it. */
export const Remembered = Schema.Struct({
  id: Schema.String,
  host: Schema.String,
  number: Schema.Int,
  model: Schema.String,
  tokens: Schema.Finite,
  /** How long ago the provider had it; `null` while it is under way. */
  agoMs: Schema.NullOr(Schema.Finite)
})
export type Remembered = typeof Remembered.Type

/** What a runner tells a host that does not know it. */
export const Memory = Schema.Struct({
  copy: Schema.NullOr(Copy),
  /** How old it is. */
  copyAgoMs: Schema.Finite,
  permits: Schema.Array(Remembered)
})
export type Memory = typeof Memory.Type

export const Request = Schema.Struct({
  /** Unique to the runner's process. */
  runner: Schema.String,
  /** The host that the runner believes to talk to. */
  host: Schema.NullOr(Schema.String),
  waitMs: Schema.Int,
  /** How many permits it would like to have at hand. */
  want: Schema.Int,
  /** Up to which grant its copy goes. */
  known: Schema.Int,
  add: Schema.Array(Wanted),
  begun: Schema.Array(Begun),
  cancel: Schema.Array(Schema.String),
  /** Grants that it has been told. */
  confirmed: Schema.Array(Schema.String),
  reports: Schema.Array(Report),
  memory: Schema.NullOr(Memory)
})
export type Request = typeof Request.Type

export const Reply = Schema.Struct({
  host: Schema.String,
  /** The host does not know this runner: it is to say all that it has, and to ask again. */
  isStranger: Schema.Boolean,
  granted: Schema.Array(Granted),
  /** What is at hand and not used is to be given back: others wait. */
  recall: Schema.Boolean,
  copy: Copy
})
export type Reply = typeof Reply.Type

export const LaneEntity = Entity.make("perdure/Lane", [
  Rpc.make("Sync", {
    payload: { request: Schema.parseJson(Request) },
    success: Schema.parseJson(Reply),
    error: Errors.Misrouted
  })
])
