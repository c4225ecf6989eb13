/**
 * The sessions of this runner: the cluster's entity around the {@link Actor}, which is at home here or asleep. Requests are
 * handled at once, however long a turn runs: what must be serial is serial in the actor.
 */
import { Entity, type EntityAddress, Sharding } from "@effect/cluster"
import { Context, Effect, Layer, Scope } from "effect"
import * as Errors from "../domain/Errors.ts"
import { SessionKey } from "../domain/Id.ts"
import * as Ground from "./internal/ground.ts"
import { Home } from "./internal/home.ts"
import { Vigil } from "./internal/vigil.ts"
import { viewOf } from "./internal/view.ts"
import { SessionEntity } from "./Protocol.ts"

const handlers = Effect.fnUntraced(function* (ground: Ground.Ground, vigil: Vigil) {
  const address = yield* Entity.CurrentAddress
  const surroundings = yield* Effect.context<Entity.CurrentAddress | Sharding.Sharding>()
  const home = new Home(ground, vigil, address, surroundings, yield* Effect.scope)
  yield* Effect.addFinalizer(() => Effect.sync(() => vigil.forget(address.entityId)))
  return SessionEntity.of({
    Create: ({ payload }) => home.create(payload.created),
    Accept: ({ payload }) => home.accept(payload.id, payload.command),
    Pull: ({ payload }) => Effect.flatMap(home.existing(), (actor) => actor.pull(payload)),
    Inspect: () => Effect.map(home.existing(), (actor) => viewOf(actor.state, actor.waiting)),
    Wake: () => Effect.flatMap(home.wake(), (actor) => actor?.wake ?? Effect.void)
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
