/**
 * Who is in the cluster and who owns which shard: `@effect/cluster`'s RunnerStorage on our own leases.
 *
 * - I3: acquiring a shard bumps its epoch. Safety is the epoch's alone; all else here is liveness.
 * - A runner is alive while its presence is held and its heartbeat is fresh; one that others have declared dead ends
 *   itself, and one that cannot know gives its sessions up.
 * - A runner that leaves stays a member until its shards are gone: what its tools came to is still written.
 */
import { ClusterError, MachineId, Runner, RunnerStorage, ShardId } from "@effect/cluster"
import { Context, Duration, Effect, Layer, Queue, Ref } from "effect"
import { StoreUnavailable } from "../domain/Errors.ts"
import type { Epoch, Shard } from "../domain/Id.ts"
import { Alarms, Shards } from "../session/index.ts"
import { type RunnerRow, Store } from "../store/index.ts"
import { Looks, Pace } from "./Pace.ts"
import { Credentials, strangersAmong } from "./Credentials.ts"
import { Doubts } from "./internal/doubts.ts"
import * as Farewell from "./internal/farewell.ts"
import * as Heartbeat from "./internal/heartbeat.ts"
import { beatOf, type Info, infoOf } from "./internal/info.ts"
import { together } from "./internal/together.ts"
import { RunnerSettings } from "./Settings.ts"

/** Shards as they come to this runner. */
export class Acquired extends Context.Tag("perdure/Acquired")<Acquired, Queue.Dequeue<ReadonlyArray<Shard>>>() {}

/**
 * Leaves the cluster: long polls answer, no step begins, and the shards go to the others, each as soon as its sessions are
 * at rest. Returns when the last is gone; at once where there are no others.
 */
export class Leaving extends Context.Tag("perdure/Leaving")<Leaving, Effect.Effect<void>>() {}

/** How this runner stands with the others. */
export class Standing extends Context.Tag("perdure/Standing")<
  Standing,
  {
    /** Whether it is on the store's list. */
    readonly registered: Effect.Effect<boolean>
    /** When the store has last confirmed that, by this runner's clock in milliseconds; `null` before it ever has. */
    readonly confirmedAt: () => number | null
    /** How many shards it owns. */
    readonly shards: () => number
  }
>() {}

const nameOf = (shard: ShardId.ShardId): Shard => ShardId.ShardId.toString(shard) as Shard

const idOf = (shard: Shard): ShardId.ShardId => ShardId.ShardId.fromString(shard)

const subscribe = (callbacks: Set<() => void>) => (callback: () => void) => {
  callbacks.add(callback)
  return () => callbacks.delete(callback)
}

/** How long the store may take to say which shards are ours, until that is taken for no answer. The cluster waits longer. */
const patienceMs = 700
const silence = new StoreUnavailable({ operation: "owned", reason: `no answer within ${patienceMs} ms` })

const persistence = <A, R>(effect: Effect.Effect<A, StoreUnavailable, R>) =>
  Effect.mapError(effect, (cause) => new ClusterError.PersistenceError({ cause }))

const machines = 1024

export const layer: Layer.Layer<
  RunnerStorage.RunnerStorage | Shards | Acquired | Leaving | Pace | Standing,
  never,
  Store | RunnerSettings | Alarms
> = Layer.scopedContext(
  Effect.gen(function* () {
    const store = yield* Store
    const settings = yield* RunnerSettings
    const secrets = yield* Credentials
    const alarms = yield* Alarms
    const incarnation = Buffer.from(settings.entropy(8)).toString("hex")
    const expiryMs = Duration.toMillis(settings.heartbeatExpiry)
    const epochs = new Map<Shard, Epoch>()
    const acquired = yield* Queue.unbounded<ReadonlyArray<Shard>>()
    const registered = yield* Ref.make<string | null>(null)
    const onDrain = new Set<() => void>()
    const doubts = new Doubts()
    const onLost = new Set<() => void>()
    const empty = Effect.unsafeMakeLatch(true)
    let draining = false
    let handingOver = false
    let hasLeft = false
    let seen: Array<[Runner.Runner, boolean]> = []
    const looks = new Looks()
    /** By what their rows say: each of twenty looks a second finds the same. */
    let decoded = new Map<string, Runner.Runner>()

    const see = (rows: ReadonlyArray<RunnerRow>) => {
      const before = decoded
      decoded = new Map()
      seen = rows.map((row) => {
        const runner = before.get(row.info) ?? Runner.Runner.decodeSync(infoOf(row).runner)
        decoded.set(row.info, runner)
        return [runner, row.healthy && !(handingOver && row.incarnation === incarnation)]
      })
      return seen
    }

    const forget = (shards: Iterable<Shard>) => {
      const gone = [...shards].filter((shard) => epochs.delete(shard))
      if (gone.length > 0) alarms.drop(gone)
      if (epochs.size === 0) empty.unsafeOpen()
    }

    const settleDoubts = (address: string) =>
      doubts.settle(
        (shard) => epochs.has(shard),
        (ghosts) => store.release(address, incarnation, ghosts)
      )

    const beat = Effect.flatMap(Ref.get(registered), (address) =>
      address === null
        ? Effect.succeed(null)
        : Effect.flatMap(store.heartbeat(address, incarnation), (alive) =>
            // It may have left while it asked.
            alive
              ? Effect.as(Effect.forkDaemon(Effect.ignore(settleDoubts(address))), true)
              : Effect.map(Ref.get(registered), (still) => (still === null ? null : false))
          )
    )
    const pulse = yield* Heartbeat.make({
      ...settings,
      beat,
      onDead: settings.onLost,
      onGivenUp: () => {
        forget([...epochs.keys()])
        for (const stop of [...onLost]) stop()
      }
    })

    const pickMachine = Effect.map(store.runners(expiryMs), (runners) => {
      const taken = new Set(runners.map((runner) => infoOf(runner).machine))
      for (let i = 0; i < machines; i++) {
        const machine = Buffer.from(settings.entropy(2)).readUInt16BE() % machines
        if (!taken.has(machine)) return machine
      }
      return 0
    })

    /** The cluster frees shards one by one, hundreds at once. */
    const release = together((items: ReadonlyArray<{ readonly address: string; readonly shard: Shard }>) =>
      store.release(
        items[0]!.address,
        incarnation,
        items.map(({ shard }) => shard)
      )
    )

    const storage = RunnerStorage.RunnerStorage.of({
      register: (runner, healthy) =>
        Effect.gen(function* () {
          const address = `${runner.address.host}:${runner.address.port}`
          // Missing from the list after having been on it: a runner that was declared dead does not come back as itself.
          if ((yield* Ref.get(registered)) !== null && !(yield* store.heartbeat(address, incarnation))) {
            yield* settings.onLost
          }
          const machine = yield* pickMachine
          const own: Info = { runner: Runner.Runner.encodeSync(runner), machine, beat: beatOf(settings) }
          const info: Info = secrets.length === 0 ? own : { ...own, secrets }
          yield* Effect.tapError(
            store.register({ address, incarnation, info: JSON.stringify(info), healthy }),
            // The cluster tries again, and says nothing of it.
            (error) => Effect.logWarning(error.message)
          )
          // Who has left meanwhile would find itself gone, and take that for having been declared dead.
          if (hasLeft) {
            seen = [[runner, healthy]]
            yield* store.unregister(address, incarnation)
            return MachineId.make(machine)
          }
          yield* Ref.set(registered, address)
          // Of two that began at once neither had found the other.
          const others = (yield* store.runners(expiryMs)).filter((row) => row.incarnation !== incarnation)
          const strangers = strangersAmong(secrets, others)
          if (strangers !== null) {
            yield* Effect.logFatal(strangers.message)
            yield* Ref.set(registered, null)
            yield* store.unregister(address, incarnation)
            yield* settings.onLost
          }
          seen = [[runner, healthy]]
          yield* pulse.confirm
          return MachineId.make(machine)
        }).pipe(persistence),
      unregister: (address) =>
        Ref.set(registered, null).pipe(
          Effect.zipRight(Effect.sync(() => (hasLeft = true))),
          Effect.zipRight(Farewell.lastWord(store.unregister(`${address.host}:${address.port}`, incarnation))),
          persistence
        ),
      // Who has left does not find itself gone: the cluster would warn of that.
      getRunners: Effect.suspend(() =>
        hasLeft ? Effect.succeed(seen) : Effect.map(store.runners(expiryMs), see)
      ).pipe(persistence),
      // Who is there is our own business; a runner that is not "healthy" is one that leaves.
      setRunnerHealth: () => Effect.void,
      acquire: (address, shardIds) => {
        const byName = new Map([...shardIds].map((shard) => [nameOf(shard), shard]))
        const asked = [...byName.keys()]
        const ask = store.acquire(`${address.host}:${address.port}`, incarnation, asked, expiryMs).pipe(
          Effect.map((leases) => {
            for (const { epoch, shard } of leases) epochs.set(shard, epoch)
            if (epochs.size > 0) empty.unsafeClose()
            looks.found(asked.length, leases.length)
            if (leases.length > 0) acquired.unsafeOffer(leases.map((lease) => lease.shard))
            return leases.map((lease) => byName.get(lease.shard)!)
          }),
          Effect.tapError(() => Effect.sync(looks.failed))
        )
        return persistence(doubts.asking(asked, ask))
      },
      refresh: (address, shardIds) => {
        const asked = [...shardIds].map(nameOf)
        return store.owned(`${address.host}:${address.port}`, incarnation, asked).pipe(
          Effect.disconnect,
          Effect.timeoutFail({ duration: patienceMs, onTimeout: () => silence }),
          Effect.map((owned) => {
            // Without its epoch, which a fenced write forgets, a shard is of no use: it is let go, and taken anew.
            const still = new Set(owned.filter((shard) => epochs.has(shard)))
            forget(asked.filter((shard) => !still.has(shard)))
          }),
          // Until the sessions are given up, a store that does not answer takes none away.
          Effect.catchAll((error) => (pulse.isLost() ? Effect.fail(error) : Effect.void)),
          // What was given up is not ours, though the store may say so: it has to be acquired anew. What came to us while
          // the store was asked is: the cluster lets go of all that it is not told of, and would be without it for seconds.
          Effect.map(() => [...epochs.keys()].map(idOf)),
          persistence
        )
      },
      release: (address, shardId) =>
        Effect.sync(() => forget([nameOf(shardId)])).pipe(
          Effect.zipRight(release({ address: `${address.host}:${address.port}`, shard: nameOf(shardId) })),
          persistence
        ),
      releaseAll: (address) =>
        Effect.sync(() => forget([...epochs.keys()])).pipe(
          Effect.zipRight(Farewell.lastWord(store.release(`${address.host}:${address.port}`, incarnation))),
          persistence
        )
    })

    const shards: Shards["Type"] = {
      epoch: (shard) => epochs.get(shard) ?? null,
      fenced: (shard, epoch) => {
        if (epochs.get(shard) === epoch) forget([shard])
        pulse.suspect()
      },
      draining: () => draining,
      onDrain: subscribe(onDrain),
      onLost: subscribe(onLost)
    }

    const handOver = Effect.gen(function* () {
      draining = true
      for (const callback of onDrain) callback()
      onDrain.clear()
      const address = yield* Ref.get(registered)
      if (address === null) return
      const others = yield* store.runners(expiryMs)
      if (!others.some((row) => row.healthy && row.incarnation !== incarnation)) return
      // All see at their next look that this one takes no shards, itself included: it hands over what it has.
      handingOver = true
      yield* store.setHealth(address, incarnation, false)
      yield* empty.await
    })
    const leave = Farewell.orWithoutAWord(handOver, pulse.isLost, settings.onLost)

    return Context.make(RunnerStorage.RunnerStorage, storage).pipe(
      Context.add(Shards, shards),
      Context.add(Acquired, acquired),
      Context.add(Leaving, leave),
      Context.add(Pace, () => looks.pauseMs),
      Context.add(Standing, {
        registered: Effect.map(Ref.get(registered), (address) => address !== null),
        confirmedAt: pulse.heardAt,
        shards: () => epochs.size
      })
    )
  })
)
