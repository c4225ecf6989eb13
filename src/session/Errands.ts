/**
 * Steps that run on another runner than their session, because that one has what they need (a tag: `gpu`, `eu`). The
 * session's actor journals what comes of them, as of all others.
 *
 * ```
 * actor ── Reserve ──► a runner with the tag: its pool          (the step waits; nothing is journaled)
 *       ── append StepIntended ── Begin ──► the tool runs there
 *       ◄── Follow: live text, what is to be saved, the outcome (each look also says: I am still here)
 * ```
 */
import { Entity, type EntityAddress, ShardId, Sharding } from "@effect/cluster"
import { Context, Effect, Layer, Runtime } from "effect"
import type { Blobs } from "../blob/index.ts"
import * as Errors from "../domain/Errors.ts"
import type { Epoch, SessionKey, Shard } from "../domain/Id.ts"
import { Metrics } from "../telemetry/index.ts"
import { away } from "./internal/away.ts"
import * as EndOnce from "./internal/endOnce.ts"
import { ErrandHost, type Surroundings } from "./internal/errandHost.ts"
import { ErrandEntity, ErrandLost, groupOf, nameOf, parseId } from "./internal/errandProtocol.ts"
import { type Gate, here } from "./internal/gate.ts"
import { Peers } from "./Peers.ts"
import { Pools } from "./Pools.ts"
import { Registry } from "./Registry.ts"
import { SessionSettings } from "./Settings.ts"
import { Shards } from "./Shards.ts"

export { groupOf }

/** How long nobody may ask after an errand before it is ended: as long as a runner may be silent. In milliseconds. */
const silenceMs = 5_000

export class Errands extends Context.Tag("perdure/Errands")<
  Errands,
  {
    /** @internal Where a session asks for slots of a pool (`heavy`, or `heavy@gpu`: of a runner with the tag). */
    readonly gate: (key: SessionKey, epoch: Epoch, agent: string, pool: string) => Gate
    /**
     * Before this runner leaves: no errand comes any more, what runs for others may go on for `drain` and its outcome be
     * fetched, and the rest is ended. Returns at once where there is none.
     */
    readonly leave: Effect.Effect<void>
  }
>() {}

const misrouted = ({ entityId, shardId }: EntityAddress.EntityAddress, sharding: Sharding.Sharding["Type"]) => {
  const own = sharding.getShardId(entityId, ErrandEntity.getShardGroup(entityId))
  const found = parseId(entityId)
  return own.group === shardId.group && own.id === shardId.id ? found : null
}

/** The hosts of this runner. */
interface Hosts {
  readonly all: Set<ErrandHost>
  readonly name: () => string
  /** Whether what is asked for under this shard may begin here. */
  readonly isOpen: (shard: Shard) => boolean
}

/** Does it with all of them at once. */
const each = (hosts: Iterable<ErrandHost>, act: (host: ErrandHost) => Effect.Effect<void>): Effect.Effect<void> =>
  Effect.forEach([...hosts], act, { concurrency: "unbounded", discard: true })

/** Runs the errands of others. */
const serve = (around: Surroundings, hosts: Hosts, pools: Pools["Type"], registry: Registry["Type"]) =>
  Effect.gen(function* () {
    const address = yield* Entity.CurrentAddress
    const found = misrouted(address, yield* Sharding.Sharding)
    if (found === null) {
      const refuse = () => Effect.fail(new Errors.Misrouted({ reason: "its id does not belong to its shard" }))
      return ErrandEntity.of({ Reserve: refuse, Keep: refuse, Begin: refuse, Follow: refuse, Drop: refuse })
    }
    const { key } = found
    const gateOf = (pool: string) => here(pools.get(pool), key.namespace)
    // One that is being closed is asked for no more, and is over before another takes its place (I7).
    const last = [...hosts.all].filter(({ id }) => id === address.entityId)
    yield* each(last, ({ close }) => close)
    const host = new ErrandHost(hosts.name(), key, { ...around, gateOf }, address.entityId)
    const shard = ShardId.ShardId.toString(address.shardId) as Shard
    if (!hosts.isOpen(shard)) yield* host.close
    hosts.all.add(host)
    yield* Effect.addFinalizer(() =>
      Effect.ensuring(
        host.close,
        Effect.sync(() => hosts.all.delete(host))
      )
    )
    return ErrandEntity.of({
      Reserve: ({ payload: { agent, epoch, from, pool, ticket, waitMs } }) =>
        Effect.gen(function* () {
          yield* pools.require(agent, [pool])
          return yield* host.reserve(ticket, epoch, pool, yield* registry.find(agent), from, waitMs)
        }).pipe(
          Effect.catchTags({
            PoolUnknown: (error) => new ErrandLost({ reason: error.message }),
            AgentUnknown: (error) => new ErrandLost({ reason: error.message })
          })
        ),
      Keep: ({ payload: { epoch, host: name, ticket } }) => host.keep(ticket, epoch, name),
      Begin: ({ payload: { attempt, epoch, host: name, ticket } }) =>
        host.begin(ticket, epoch, name, { ...attempt, partial: attempt.partial }),
      Follow: ({ payload: { epoch, saved, seen, ticket, waitMs } }) => host.follow(ticket, epoch, seen, saved, waitMs),
      Drop: ({ payload: { epoch, host: name, known, ticket } }) => host.drop(ticket, epoch, name, known)
    })
  })

/** @param tags what this runner has, and others may not */
export const layer = (
  tags: ReadonlyArray<string>
): Layer.Layer<Errands, never, Sharding.Sharding | Pools | Peers | Registry | Shards | Blobs | SessionSettings> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const pools = yield* Pools
      const peers = yield* Peers
      const registry = yield* Registry
      const clock = yield* Effect.clock
      const runtime = yield* Effect.interruptible(Effect.runtime<Blobs>())
      const client = yield* ErrandEntity.client
      const own = new Set(tags)
      const { drain } = yield* SessionSettings
      const hosts = new Set<ErrandHost>()
      const now = () => clock.unsafeCurrentTimeMillis()
      const elapsed = () => Number(clock.unsafeCurrentTimeNanos() / 1_000_000n)
      const startedAt = now()
      let numbers = 0
      let isLeaving = false
      const reports = new Map<string, (ms: number) => void>()
      const reportOf = (pool: string) => {
        const report = reports.get(pool) ?? Metrics.pool(pool).waited
        reports.set(pool, report)
        return report
      }

      const gate = (key: SessionKey, epoch: Epoch, agent: string, wanted: string): Gate => {
        const at = wanted.indexOf("@")
        const pool = at < 0 ? wanted : wanted.slice(0, at)
        const tag = at < 0 ? null : wanted.slice(at + 1)
        if (tag === null || own.has(tag)) return here(pools.get(pool), key.namespace)
        return away(
          {
            client,
            fork: Runtime.runFork(runtime),
            self: peers.self,
            serves: peers.serves,
            isThere: peers.isThere,
            number: () => ++numbers,
            now,
            elapsed,
            waited: reportOf(wanted)
          },
          { key, epoch, agent, pool, tag }
        )
      }
      const leave = Effect.suspend(() => {
        isLeaving = true
        return each(hosts, (host) => host.leave(drain))
      })
      const errands = Layer.succeed(Errands, { gate, leave })
      if (own.size === 0) return errands

      const shards = yield* Shards
      const around: Surroundings = {
        elapsed,
        gateOf: (pool) => here(pools.get(pool), ""),
        fork: (registered, effect) =>
          Runtime.runFork(Runtime.updateContext(runtime, Context.merge(registered.context)))(
            effect as Effect.Effect<void>
          )
      }
      const served: Hosts = {
        all: hosts,
        name: () => nameOf(peers.self(), startedAt, ++numbers),
        isOpen: (shard) => !isLeaving && shards.epoch(shard) !== null
      }
      const sweep = Effect.suspend(() => {
        const past = elapsed() - silenceMs
        const isOver = (errand: { readonly from: string; readonly seenAt: number }) =>
          errand.seenAt < past || !peers.isThere(errand.from)
        return each(hosts, (host) => host.sweep(isOver))
      })
      yield* Effect.acquireRelease(
        Effect.sync(() => [
          peers.onChange(() => Runtime.runFork(runtime)(sweep)),
          // I7: others may be asked for the same by now, and know nothing of what runs here.
          shards.onLost(() => Runtime.runFork(runtime)(each(hosts, ({ close }) => close)))
        ]),
        (forgets) => Effect.sync(() => forgets.forEach((forget) => forget()))
      )
      yield* Effect.sleep("500 millis").pipe(
        Effect.zipRight(EndOnce.patiently(sweep)),
        Effect.forever,
        Effect.interruptible,
        Effect.forkScoped
      )
      return Layer.merge(
        errands,
        ErrandEntity.toLayer(serve(around, served, pools, registry), {
          concurrency: "unbounded",
          disableFatalDefects: true,
          mailboxCapacity: "unbounded"
        })
      )
    })
  )

/** To be built last, so that it is left first: what runs for others ends, and is told, while others can still ask. */
export const layerLeaving: Layer.Layer<never, never, Errands> = Layer.scopedDiscard(
  Effect.flatMap(Errands, ({ leave }) => Effect.addFinalizer(() => leave))
)
