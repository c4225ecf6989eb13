/**
 * What providers allow, kept to by the whole cluster: one limiter and one breaker a model, wherever the sessions are (B4).
 *
 * ```
 * session ── a slot and a permit ──► Lane (this runner) ── Sync ──► LaneHost (one runner: an entity of the cluster)
 *         ── how it ended ─────────►                                limiter, breakers, who is next
 * ```
 */
import { Entity, type EntityAddress, Sharding } from "@effect/cluster"
import { Context, Duration, Effect, Layer, Runtime } from "effect"
import * as Errors from "../domain/Errors.ts"
import type { SessionKey, Shard } from "../domain/Id.ts"
import { RateLimits } from "../resilience/index.ts"
import { Metrics } from "../telemetry/index.ts"
import { addressOf, nameOf } from "./internal/errandProtocol.ts"
import type { Gate } from "./internal/gate.ts"
import { Lane } from "./internal/lane.ts"
import { type Caller, limited, type Link } from "./internal/laneGate.ts"
import { LaneHost, type Surroundings, sweepMs } from "./internal/laneHost.ts"
import { LaneEntity, type Request } from "./internal/laneProtocol.ts"
import { Peers } from "./Peers.ts"
import { Shards } from "./Shards.ts"

/** A lane as it is now. Times in milliseconds since the epoch. */
export type View = Lane["view"]

export class Lanes extends Context.Tag("perdure/Lanes")<
  Lanes,
  {
    /** @internal The gate to a pool, and to the lanes of a chain of models. */
    readonly gate: (key: SessionKey, chain: ReadonlyArray<string>, tokens: Caller["tokens"], inner: Gate) => Gate
    /** All lanes that this runner knows of. */
    readonly view: Effect.Effect<ReadonlyArray<View>>
  }
>() {
  /** Without limits. */
  static readonly layerNone: Layer.Layer<Lanes> = Layer.succeed(Lanes, {
    gate: (_key, _chain, _tokens, inner) => inner,
    view: Effect.succeed([])
  })
}

const ownShard = (lane: string, sharding: Sharding.Sharding["Type"]) =>
  sharding.getShardId(lane as EntityAddress.EntityAddress["entityId"], LaneEntity.getShardGroup(lane as never))

/** @internal Bugs that a test may plant. */
export interface Planted {
  /** A host forgets what was before it. */
  readonly forgets?: boolean | undefined
  /** Whoever takes what was free looks at the clock once more whether it is. */
  readonly looksTwice?: boolean | undefined
}

/** @internal */
export class Planting extends Context.Reference<Planting>()("perdure/session/PlantedLanes", {
  defaultValue: (): Planted => ({})
}) {}

const lookingTwice = (gate: Gate): Gate => ({
  ...gate,
  take: (model) => {
    if (gate.free(model) <= 0) throw new Error("it was free, and is not")
    return gate.take(model)
  }
})

const measured = ({ blockedUntil, models, running, waiting }: View, now: number) => ({
  running,
  waiting,
  blockedForMs: blockedUntil === null ? 0 : blockedUntil - now,
  open: models.flatMap(({ model, state }) => (state === "open" ? [model] : []))
})

/** Serves the lane of the entity. */
const serve = (
  lanes: ReadonlyMap<string, Lane>,
  hosts: Map<string, LaneHost>,
  limits: RateLimits.Limits,
  around: (shard: Shard) => Surroundings,
  fresh: () => string,
  { forgets = false }: Planted
) =>
  Effect.gen(function* () {
    const { entityId, shardId } = yield* Entity.CurrentAddress
    const own = ownShard(entityId, yield* Sharding.Sharding)
    if (own.group !== shardId.group || own.id !== shardId.id) {
      return LaneEntity.of({
        Sync: () => Effect.fail(new Errors.Misrouted({ reason: "the lane does not belong to its shard" }))
      })
    }
    const host = new LaneHost(
      fresh(),
      RateLimits.named(limits, entityId),
      around(`${own.group}:${own.id}` as Shard),
      forgets
    )
    const lane = lanes.get(entityId)
    if (lane?.copy != null) host.inherit(lane.copy, lane.copyAgoMs)
    hosts.set(entityId, host)
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (hosts.get(entityId) === host) hosts.delete(entityId)
        host.close()
      })
    )
    yield* Effect.sleep(sweepMs).pipe(
      Effect.zipRight(Effect.sync(host.sweep)),
      Effect.forever,
      Effect.interruptible,
      Effect.forkScoped
    )
    return LaneEntity.of({ Sync: ({ payload: { request } }) => host.sync(request) })
  })

/**
 * @param models those that the agents of this runner may ask
 * @param isFree whether a model has no limits of its own, as one without a provider
 */
export const layer = (
  models: ReadonlyArray<string>,
  isFree: (model: string) => boolean
): Layer.Layer<Lanes, never, Sharding.Sharding | Peers | Shards> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const limits = yield* RateLimits.RateLimits
      const peers = yield* Peers
      const shards = yield* Shards
      const sharding = yield* Sharding.Sharding
      const clock = yield* Effect.clock
      const runtime = yield* Effect.interruptible(Effect.runtime<never>())
      const fork = Runtime.runFork(runtime)
      const planted = yield* Planting
      const client = yield* LaneEntity.client
      const startedAt = clock.unsafeCurrentTimeMillis()
      const now = () => clock.unsafeCurrentTimeMillis()
      let numbers = 0
      const fresh = () => nameOf(peers.self(), startedAt, ++numbers)
      let self = ""
      const name = () => {
        if (self === "" && peers.self() !== "") self = nameOf(peers.self(), startedAt, 0)
        return self
      }
      /** Until this runner is one of them. */
      const registered: Effect.Effect<void> = Effect.suspend(() =>
        name() === "" ? Effect.zipRight(Effect.sleep("20 millis"), registered) : Effect.void
      )
      const hosts = new Map<string, LaneHost>()
      const lanes = new Map<string, Lane>()
      const links = new Map<string, Link>()

      const near = (lane: string): LaneHost | null => {
        const host = hosts.get(lane)
        return host !== undefined && sharding.hasShardId(ownShard(lane, sharding)) ? host : null
      }
      /** Here where the host is here: no message, no encoding. */
      const ask = (lane: string) => (request: Request) =>
        Effect.suspend(() => near(lane)?.sync(request) ?? client(lane).Sync({ request }))

      for (const model of new Set(models)) {
        if (isFree(model) && !RateLimits.isTold(limits, model)) {
          links.set(model, { model, lane: null })
          continue
        }
        const of = RateLimits.of(limits, model)
        const { changed, waited } = Metrics.lane(of.name)
        const lane =
          lanes.get(of.name) ??
          new Lane(of, {
            now,
            name,
            runners: () => peers.all().length,
            isMember: () => peers.isThere(peers.self()),
            ask: ask(of.name),
            near: () => near(of.name),
            waited,
            changed: ({ view }) => changed(measured(view, now()))
          })
        lanes.set(of.name, lane)
        links.set(model, { model, lane })
      }
      for (const lane of lanes.values()) {
        yield* Effect.addFinalizer(() => lane.leave)
        yield* Effect.forkScoped(Effect.interruptible(Effect.zipRight(registered, lane.run)))
      }

      const service = Layer.succeed(Lanes, {
        gate: ({ namespace, session }, chain, tokens, inner) => {
          const [first, ...rest] = chain.map((model): Link => links.get(model) ?? { model, lane: null })
          if (first === undefined || (first.lane === null && rest.length === 0)) return inner
          const later = (then: () => void) => void fork(Effect.sync(then), { immediate: false })
          const gate = limited(inner, [first, ...rest], { namespace, session, tokens }, later)
          return planted.looksTwice === true ? lookingTwice(gate) : gate
        },
        view: Effect.sync(() => [...lanes.values()].map(({ view }) => view))
      })
      const around = (shard: Shard): Surroundings => ({
        isSuccessor: !peers.isAlone() && (shards.epoch(shard) ?? 0) > 1,
        now,
        fork: (effect) => fork(effect),
        self: name,
        runners: peers.all,
        isGone: (runner) => !peers.isThere(addressOf(runner))
      })
      return Layer.merge(
        service,
        LaneEntity.toLayer(serve(lanes, hosts, limits, around, fresh, planted), {
          concurrency: "unbounded",
          disableFatalDefects: true,
          mailboxCapacity: "unbounded",
          // Whoever asks it in its own process is not seen by the cluster.
          maxIdleTime: Duration.infinity
        })
      )
    })
  )
