/**
 * The sessions of this runner: the cluster's entity around the {@link Actor}.
 *
 * It wakes a session when the first request for it comes, answers what needs no actor, and lets a resting one go. Requests
 * are handled at once, however long a turn runs: what must be serial is serial in the actor.
 */
import { Entity, type Sharding } from "@effect/cluster"
import { Duration, Effect, ExecutionStrategy, Exit, Layer, Runtime, Scope } from "effect"
import { type Blobs, Claim } from "../blob/index.ts"
import type { Command, SessionCreated } from "../domain/Entry.ts"
import * as Errors from "../domain/Errors.ts"
import { type CommandId, SessionKey, type Shard } from "../domain/Id.ts"
import type { Json } from "../domain/Json.ts"
import { Journal } from "../journal/index.ts"
import { Store } from "../store/index.ts"
import { type Actor, make } from "./Actor.ts"
import type { Alarms } from "./Alarms.ts"
import type { Pools } from "./Pools.ts"
import { creation, load } from "./internal/load.ts"
import { viewOf } from "./internal/view.ts"
import { SessionEntity, type Unavailable } from "./Protocol.ts"
import type { Registry } from "./Registry.ts"
import { SessionSettings } from "./Settings.ts"
import { Shards } from "./Shards.ts"
import { isActive } from "./State.ts"

const handlers = Effect.gen(function* () {
  const address = yield* Entity.CurrentAddress
  const scope = yield* Effect.scope
  const key = SessionKey.parse(address.entityId)
  const shard = `${address.shardId.group}:${address.shardId.id}` as Shard
  const shards = yield* Shards
  const journal = yield* Journal
  const store = yield* Store
  const settings = yield* SessionSettings
  const context = yield* Effect.context<
    Entity.CurrentAddress | Journal | Blobs | Registry | Alarms | Shards | Pools | SessionSettings
  >()
  const runtime = yield* Effect.runtime<never>()
  const one = Effect.unsafeMakeSemaphore(1).withPermits(1)
  const idleMs = Duration.toMillis(settings.idle)

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
    ).pipe(Effect.provide(context))

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
      const actor = yield* make(key, shard, epoch, loaded, onFailure).pipe(Scope.extend(mine))
      awake = { actor, scope: mine }
      if (isActive(actor.state())) yield* stayAwake
      return actor
    }).pipe(
      Effect.tapErrorTag("SessionParked", (error) =>
        Effect.ignore(store.park(key.namespace, key.session, error.reason))
      ),
      Effect.uninterruptible
    )

  /** Unfinished work must go on when the store does, though nobody asks. */
  const onFailure = (error: Unavailable) => {
    if (error._tag !== "StoreUnavailable") return
    Runtime.runFork(runtime)(
      wake().pipe(
        Effect.delay(settings.retryWake),
        Effect.retry({ while: (error) => error._tag === "StoreUnavailable" }),
        Effect.ignore,
        Effect.interruptible,
        Effect.forkIn(scope)
      )
    )
  }

  let watching = false
  /** The cluster sees requests, not turns: it is told when one outlasts them. */
  const stayAwake = Effect.suspend(() => {
    if (watching) return Effect.void
    watching = true
    let kept = false
    return Effect.sleep(idleMs / 3).pipe(
      Effect.zipRight(
        Effect.suspend(() => {
          const active = awake !== null && isActive(awake.actor.state())
          if (active === kept) return Effect.succeed(active)
          kept = active
          return Effect.as(Entity.keepAlive(active), active)
        })
      ),
      Effect.repeat({ while: (active) => active }),
      Effect.ensuring(
        Effect.sync(() => {
          watching = false
        })
      ),
      Effect.interruptible,
      Effect.forkIn(scope),
      Effect.asVoid
    )
  }).pipe(Effect.provide(context)) as Effect.Effect<void>

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
      yield* stayAwake
      return ack
    }).pipe(Effect.provide(context))

  return SessionEntity.of({
    Create: ({ payload }) => create(payload.created),
    Accept: ({ payload }) => accept(payload.id, payload.command),
    Pull: ({ payload }) => Effect.flatMap(existing, (actor) => actor.pull(payload)),
    Inspect: () => Effect.map(existing, (actor) => viewOf(actor.state(), actor.waiting())),
    Wake: () => Effect.flatMap(wake(), (actor) => actor?.wake ?? Effect.void)
  })
})

/** Serves the sessions of this runner's shards. */
export const layer: Layer.Layer<
  never,
  never,
  Sharding.Sharding | Store | Journal | Blobs | Registry | Alarms | Shards | Pools | SessionSettings
> = Layer.unwrapEffect(
  Effect.map(SessionSettings, (settings) =>
    SessionEntity.toLayer(handlers, {
      concurrency: "unbounded",
      maxIdleTime: settings.idle,
      // A bug in one request answers that request; the session and its other requests go on (I13).
      disableFatalDefects: true,
      mailboxCapacity: "unbounded"
    })
  )
)
