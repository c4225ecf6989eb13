/**
 * `@effect/cluster`, put together for this runtime: volatile messages only, ownership by our leases, sockets without Nagle's
 * delay, and settings for failover in tenths of a second.
 */
import {
  MessageStorage,
  RunnerAddress,
  RunnerHealth,
  Runners,
  RunnerStorage,
  ShardId,
  Sharding,
  ShardingConfig,
  SocketRunner
} from "@effect/cluster"
import { Socket, SocketServer } from "@effect/platform"
import { RpcClient, RpcSerialization } from "@effect/rpc"
import { Duration, Effect, ExecutionStrategy, Layer, Option, Scope } from "effect"
import type { StoreUnavailable } from "../domain/Errors.ts"
import type { Store } from "../store/index.ts"
import { Errands } from "../session/index.ts"
import * as Agreement from "./Agreement.ts"
import { Capacity } from "./Capacity.ts"
import { check, checkWork } from "./internal/fit.ts"
import * as Whole from "./internal/whole.ts"
import { lean } from "./internal/lean.ts"
import { Pace, paced, pollMs } from "./Pace.ts"
import type { SettingInvalid } from "./SettingInvalid.ts"
import { RunnerSettings, type Settings } from "./Settings.ts"
import * as Traffic from "./Traffic.ts"
import type { Wire } from "./Wire.ts"

type Storage = RunnerStorage.RunnerStorage

/**
 * Nothing is stored. Not the package's own `noop`: with that one a runner keeps the id of every request that it ever
 * answered, because only the loop that reads the storage forgets them.
 */
const noMessages: Layer.Layer<MessageStorage.MessageStorage> = Layer.succeed(MessageStorage.MessageStorage, {
  ...MessageStorage.noop
})

const shardingConfig = (settings: Settings, address: Option.Option<RunnerAddress.RunnerAddress>) =>
  Layer.unwrapEffect(Effect.map(Capacity, ({ tags }) => configOf(settings, address, tags)))

/** Each tag has shards of its own, that only runners with the tag take; the sessions are in those of `default`. */
const groupsOf = (tags: ReadonlyArray<string>, sessions = true) => [
  ...(sessions ? ["default"] : []),
  ...tags.map(Errands.groupOf)
]

const configOf = (
  settings: Settings,
  address: Option.Option<RunnerAddress.RunnerAddress>,
  tags: ReadonlyArray<string>
) =>
  ShardingConfig.layer({
    availableShardGroups: groupsOf(tags),
    assignedShardGroups: groupsOf(tags, settings.weight > 0),
    runnerAddress: address,
    runnerShardWeight: settings.weight,
    shardsPerGroup: settings.shards,
    refreshAssignmentsInterval: settings.refresh,
    // Nobody finds out more than it has looked for.
    sendRetryInterval: Math.max(20, Duration.toMillis(settings.refresh) / 10),
    // How often the ids of answered requests are forgotten: there is nothing to read.
    entityMessagePollInterval: pollMs,
    // How often it asks which shards are still its own: how soon sessions that were given up are taken up again. Also
    // how long a look for shards may take: it must not be as long as a pause (`Pace`).
    shardLockRefreshInterval: Math.min(9_000, Math.max(1_500, Duration.toMillis(settings.heartbeatExpiry) * 0.4)),
    // A session that leaves answers its long polls at once; commands in flight are asked again elsewhere.
    entityTerminationTimeout: "200 millis",
    entityMailboxCapacity: "unbounded"
  })

/** The address of a runner that is alone in its process. */
export const embedded = RunnerAddress.make("embedded", 0)

/** One runner alone: nothing leaves the process. */
export const layerEmbedded: Layer.Layer<Sharding.Sharding, never, Storage | RunnerSettings> = Layer.unwrapEffect(
  Effect.map(RunnerSettings, (settings) =>
    Sharding.layer.pipe(
      Layer.provide([Runners.layerNoop, RunnerHealth.layerNoop]),
      Layer.provide(noMessages),
      lean(RunnerStorage.RunnerStorage, ShardingConfig.ShardingConfig),
      Layer.provide(shardingConfig(settings, Option.some(embedded)))
    )
  )
)

export type { Wire }

/**
 * A socket whose writes never fail. That a connection is gone is told to its reader, who fails all that waits for an answer
 * over it, and those are asked again. A write that fails would be taken for a bug by `@effect/rpc`, and be handed to
 * whoever asked as the answer.
 */
const forgiving = (socket: Socket.Socket): Socket.Socket => ({
  ...socket,
  writer: Effect.map(
    socket.writer,
    (write) => (chunk) => Effect.catchAllDefect(Effect.ignore(write(chunk)), () => Effect.void)
  )
})

/**
 * Connections end with the layer, whatever their users do: of one that was given up while somebody used it, and made again
 * (its runner came back), the cluster forgets the first, and a process would not end for it.
 */
const clientProtocol = (wire: Wire): Layer.Layer<Runners.RpcClientProtocol, never, RpcSerialization.RpcSerialization> =>
  Layer.scoped(
    Runners.RpcClientProtocol,
    Effect.gen(function* () {
      const serialization = yield* RpcSerialization.RpcSerialization
      const all = yield* Effect.scope
      return (address) =>
        Effect.gen(function* () {
          const own = yield* Scope.fork(all, ExecutionStrategy.sequential)
          yield* Effect.addFinalizer((exit) => Scope.close(own, exit))
          const socket = yield* wire.connect(address)
          return yield* RpcClient.makeProtocolSocket().pipe(
            Effect.provideService(Socket.Socket, forgiving(socket)),
            Effect.provideService(RpcSerialization.RpcSerialization, serialization),
            Scope.extend(own)
          )
        }).pipe(Effect.orDie)
    })
  )

/** Whether this runner owns all shards, as one that is alone does once it has started. */
export const ownsAll: Effect.Effect<boolean, never, Sharding.Sharding | RunnerSettings> = Effect.gen(function* () {
  const sharding = yield* Sharding.Sharding
  const { shards } = yield* RunnerSettings
  for (let id = 1; id <= shards; id++) if (!sharding.hasShardId(ShardId.make("default", id))) return false
  return true
})

/** A runner among others, over a wire of one's choice. */
export const layerRunnerOver = (
  wire: Wire
): Layer.Layer<
  Sharding.Sharding,
  SocketServer.SocketServerError | Traffic.TrafficMisconfigured,
  Storage | Pace | RunnerSettings
> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const settings = yield* RunnerSettings
      const server = yield* wire.listen(settings)
      const port = server.address._tag === "TcpAddress" ? server.address.port : settings.port
      return paced(Whole.layer).pipe(
        Layer.provide([Layer.succeed(SocketServer.SocketServer, server), clientProtocol(wire), RunnerHealth.layerNoop]),
        Layer.provide([noMessages, wire.serialization]),
        lean(RunnerStorage.RunnerStorage, ShardingConfig.ShardingConfig, Pace),
        Layer.provide(shardingConfig(settings, Option.some(RunnerAddress.make(settings.host, port))))
      )
    })
  )

/** Why this process does not join the cluster. */
export type Refused = SettingInvalid | Traffic.TrafficMisconfigured | Agreement.SettingsDiffer | StoreUnavailable

/** The sockets of a cluster that this process has the settings for. */
const traffic = Effect.flatMap(RunnerSettings, check).pipe(
  Effect.zipRight(Agreement.check),
  Effect.zipRight(Traffic.wire)
)

/** A runner among others. */
export const layerRunner: Layer.Layer<
  Sharding.Sharding,
  SocketServer.SocketServerError | Refused,
  Storage | Pace | RunnerSettings | Store
> = Layer.unwrapEffect(
  Effect.all([RunnerSettings, Capacity]).pipe(
    Effect.flatMap(([settings, capacity]) => checkWork(settings, capacity)),
    Effect.zipRight(traffic),
    Effect.map(layerRunnerOver)
  )
)

/** A client beside the runners, over a wire of one's choice: it sees where the shards are and owns none. */
export const layerClientOver = (wire: Wire): Layer.Layer<Sharding.Sharding, never, Storage | RunnerSettings> =>
  Layer.unwrapEffect(
    Effect.map(RunnerSettings, (settings) =>
      SocketRunner.layerClientOnly.pipe(
        Layer.provide(clientProtocol(wire)),
        Layer.provide([noMessages, wire.serialization]),
        Layer.provide(shardingConfig(settings, Option.none()))
      )
    )
  )

/** A client beside the runners. */
export const layerClient: Layer.Layer<Sharding.Sharding, Refused, Storage | RunnerSettings | Store> =
  Layer.unwrapEffect(Effect.map(traffic, layerClientOver))
