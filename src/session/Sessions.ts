/**
 * The sessions of this runner: the cluster's entity around the {@link Actor}.
 *
 * It wakes a session when the first request for it comes, answers what needs no actor, and lets a resting one go. Requests
 * are handled at once, however long a turn runs: what must be serial is serial in the actor.
 */
import { Entity, type EntityAddress, Sharding } from "@effect/cluster"
import { Context, Effect, ExecutionStrategy, Exit, Layer, Runtime, Scope } from "effect"
import { Claim } from "../blob/index.ts"
import type { Command, SessionCreated } from "../domain/Entry.ts"
import * as Errors from "../domain/Errors.ts"
import { type CommandId, SessionKey, type Shard } from "../domain/Id.ts"
import type { Json } from "../domain/Json.ts"
import { type Actor, make } from "./Actor.ts"
import * as Ground from "./internal/ground.ts"
import { keepAwake } from "./internal/keepAwake.ts"
import { creation, load } from "./internal/load.ts"
import { Vigil } from "./internal/vigil.ts"
import { viewOf } from "./internal/view.ts"
import { SessionEntity, type Unavailable } from "./Protocol.ts"
import { isActive } from "./State.ts"

const handlers = Effect.fnUntraced(function* (ground: Ground.Ground, vigil: Vigil) {
  const address = yield* Entity.CurrentAddress
  const entity = yield* Effect.context<Entity.CurrentAddress | Sharding.Sharding>()
  const scope = yield* Effect.scope
  const key = SessionKey.parse(address.entityId)
  const shard = `${address.shardId.group}:${address.shardId.id}` as Shard
  const { journal, settings, shards, store } = ground
  const one = Effect.unsafeMakeSemaphore(1).withPermits(1)

  let awake: { readonly actor: Actor; readonly scope: Scope.CloseableScope } | null = null

  const sleep = Effect.suspend(() => {
    const last = awake
    awake = null
    return last === null ? Effect.void : Scope.close(last.scope, Exit.void)
  })

  /** The actor; `null` where there is no such session and nobody creates it. */
  const wake = (created?: SessionCreated): Effect.Effect<Actor | null, Unavailable> =>
    Effect.suspend(() =>
      awake !== null && awake.actor.failure() === null ? Effect.succeed(awake.actor) : one(wakeOnce(created))
    )

  /** For whoever lists sessions to see. What another runner has taken meanwhile is its to judge. */
  const park = ({ reason }: Errors.SessionParked) =>
    Effect.suspend(() =>
      shards.epoch(shard) === null ? Effect.void : Effect.ignore(store.park(key.namespace, key.session, reason))
    )

  const wakeOnce = (created: SessionCreated | undefined) =>
    Effect.gen(function* () {
      if (awake !== null && awake.actor.failure() === null) return awake.actor
      yield* sleep
      const epoch = shards.epoch(shard)
      if (epoch === null) return yield* new Errors.Fenced(key)
      const found = yield* load(key)
      const loaded = found ?? (created === undefined ? null : yield* creation(created, key))
      if (loaded === null) return null
      const mine = yield* Scope.fork(scope, ExecutionStrategy.sequential)
      const actor = yield* make(ground, key, shard, epoch, loaded, onFailure).pipe(Scope.extend(mine))
      awake = { actor, scope: mine }
      stayAwake()
      return actor
    }).pipe(Effect.provide(ground.context), Effect.tapErrorTag("SessionParked", park), Effect.uninterruptible)

  /** Unfinished work must go on when the store does, though nobody asks. */
  const onFailure = (error: Unavailable) => {
    if (error._tag === "SessionParked") Runtime.runFork(ground.runtime)(park(error))
    if (error._tag !== "StoreUnavailable") return
    Runtime.runFork(ground.runtime)(
      wake().pipe(
        Effect.delay(settings.retryWake),
        Effect.retry({ while: (error) => error._tag === "StoreUnavailable" }),
        Effect.ignore,
        Effect.forkIn(scope)
      )
    )
  }

  const isBusy = () => awake !== null && isActive(awake.actor.state())
  const keep = (active: boolean) => Effect.provide(keepAwake(active), entity)
  const stayAwake = () => {
    if (isBusy()) vigil.watch(address.entityId, isBusy, keep)
  }
  yield* Effect.addFinalizer(() => Effect.sync(() => vigil.forget(address.entityId)))

  const existing = Effect.flatMap(wake(), (actor) =>
    actor === null ? Effect.fail(new Errors.SessionNotFound(key)) : Effect.succeed(actor)
  )

  const create = (created: SessionCreated) =>
    Effect.gen(function* () {
      const actor = (yield* wake(created))!
      const agent = actor.state().seq === 0 ? created.agent : actor.state().agent
      if (agent !== created.agent) {
        return yield* new Errors.AgentMismatch({ ...key, expected: created.agent, actual: agent })
      }
      return yield* actor.create(created)
    })

  const accept = (id: CommandId, command: Command) =>
    Effect.gen(function* () {
      const bytes = Buffer.byteLength(JSON.stringify(command))
      if (bytes > settings.messageBytes) {
        return yield* new Errors.MessageTooLarge({ bytes, limit: settings.messageBytes })
      }
      const actor = yield* existing
      const claimed = (yield* Claim.check(key.namespace, command as unknown as Json, {
        textsOnly: true
      })) as unknown as Command
      if (!actor.knows(id)) {
        const before = yield* journal
          .accepted(key, id)
          .pipe(
            Effect.catchTag("EntryUnreadable", (error) => new Errors.SessionParked({ ...key, reason: error.message }))
          )
        if (before !== null) {
          const same =
            before.entry._tag === "CommandAccepted" && JSON.stringify(before.entry.command) === JSON.stringify(claimed)
          return same ? { seq: before.seq as number } : yield* new Errors.CommandConflict({ ...key, command: id })
        }
      }
      const ack = yield* actor.command(id, claimed)
      stayAwake()
      return ack
    }).pipe(Effect.provide(ground.context))

  return SessionEntity.of({
    Create: ({ payload }) => create(payload.created),
    Accept: ({ payload }) => accept(payload.id, payload.command),
    Pull: ({ payload }) => Effect.flatMap(existing, (actor) => actor.pull(payload)),
    Inspect: () => Effect.map(existing, (actor) => viewOf(actor.state(), actor.waiting())),
    Wake: () => Effect.flatMap(wake(), (actor) => actor?.wake ?? Effect.void)
  })
})

/** Why a message under this address is not for a session here: who may send messages is trusted, but not with this. */
const misrouted = (address: EntityAddress.EntityAddress, sharding: Sharding.Sharding["Type"]) => {
  const { entityId, shardId } = address
  const own = sharding.getShardId(entityId, SessionEntity.getShardGroup(entityId))
  if (own.group !== shardId.group || own.id !== shardId.id) {
    return `it came under shard ${shardId.group}:${shardId.id}, and its session belongs to ${own.group}:${own.id}`
  }
  return SessionKey.isValid(entityId) ? null : "its session's id is none"
}

/** Before anything is read of a session. */
const guarded = Effect.fnUntraced(function* (ground: Ground.Ground, vigil: Vigil) {
  const reason = misrouted(yield* Entity.CurrentAddress, yield* Sharding.Sharding)
  if (reason === null) return yield* handlers(ground, vigil)
  const refuse = () => Effect.fail(new Errors.Misrouted({ reason }))
  return SessionEntity.of({ Create: refuse, Accept: refuse, Pull: refuse, Inspect: refuse, Wake: refuse })
})

/** Serves the sessions of this runner's shards. */
export const layer: Layer.Layer<never, never, Sharding.Sharding | Ground.Services> = Layer.unwrapScoped(
  Effect.gen(function* () {
    const ground = yield* Ground.make
    const { idle } = ground.settings
    const vigil = new Vigil()
    yield* vigil.run(idle)
    const entities = SessionEntity.toLayer(guarded(ground, vigil), {
      concurrency: "unbounded",
      maxIdleTime: idle,
      // A bug in one request answers that request; the session and its other requests go on (I13).
      disableFatalDefects: true,
      mailboxCapacity: "unbounded"
    })
    // The cluster copies what is around this for each session.
    const lean = (all: Context.Context<Sharding.Sharding | Scope.Scope>) =>
      Context.pick(Sharding.Sharding, Scope.Scope)(all)
    return Layer.scopedDiscard(Effect.mapInputContext(Layer.build(entities), lean))
  })
)
