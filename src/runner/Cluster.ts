/**
 * `@effect/cluster`, put together for this runtime: volatile messages only, ownership by our leases, sockets without Nagle's
 * delay, and settings for failover in tenths of a second.
 */
import {
  MessageStorage,
  RunnerAddress,
  RunnerHealth,
  Runners,
  type RunnerStorage,
  ShardId,
  Sharding,
  ShardingConfig,
  SocketRunner
} from "@effect/cluster"
import { NodeSocket, NodeSocketServer } from "@effect/platform-node"
import { Socket, SocketServer } from "@effect/platform"
import { RpcClient, RpcSerialization } from "@effect/rpc"
import { Effect, Layer, Option, type Scope } from "effect"
import { RunnerSettings, type Settings } from "./Settings.ts"

type Storage = RunnerStorage.RunnerStorage

const shardingConfig = (settings: Settings, address: Option.Option<RunnerAddress.RunnerAddress>) =>
  ShardingConfig.layer({
    runnerAddress: address,
    runnerShardWeight: settings.weight,
    shardsPerGroup: settings.shards,
    refreshAssignmentsInterval: settings.refresh,
    sendRetryInterval: "20 millis",
    entityMessagePollInterval: "1 second",
    // A session that leaves answers its long polls at once; commands in flight are asked again elsewhere.
    entityTerminationTimeout: "200 millis",
    entityMailboxCapacity: "unbounded"
  })

/** One runner alone: nothing leaves the process. */
export const layerEmbedded: Layer.Layer<Sharding.Sharding, never, Storage | RunnerSettings> = Layer.unwrapEffect(
  Effect.map(RunnerSettings, (settings) =>
    Sharding.layer.pipe(
      Layer.provide([Runners.layerNoop, RunnerHealth.layerNoop]),
      Layer.provide(MessageStorage.layerNoop),
      Layer.provide(shardingConfig(settings, Option.some(RunnerAddress.make("embedded", 0))))
    )
  )
)

/** What a cluster's messages go over. */
export interface Wire {
  /** Listens for the others. Closed with the scope. */
  readonly listen: (
    settings: Settings
  ) => Effect.Effect<SocketServer.SocketServer["Type"], SocketServer.SocketServerError, Scope.Scope>
  /** A connection to another runner, made anew each time that the socket is run. */
  readonly connect: (address: RunnerAddress.RunnerAddress) => Effect.Effect<Socket.Socket, Socket.SocketError>
  readonly serialization: Layer.Layer<RpcSerialization.RpcSerialization>
}

/** TCP, without Nagle's delay. */
export const tcp: Wire = {
  listen: ({ listen, port }) => NodeSocketServer.make({ host: listen, port, noDelay: true }),
  connect: ({ host, port }) => NodeSocket.makeNet({ host, port, noDelay: true, openTimeout: 1000 }),
  serialization: RpcSerialization.layerMsgPack
}

const clientProtocol = (wire: Wire): Layer.Layer<Runners.RpcClientProtocol, never, RpcSerialization.RpcSerialization> =>
  Layer.effect(
    Runners.RpcClientProtocol,
    Effect.gen(function* () {
      const serialization = yield* RpcSerialization.RpcSerialization
      return (address) =>
        wire.connect(address).pipe(
          Effect.flatMap((socket) =>
            RpcClient.makeProtocolSocket().pipe(
              Effect.provideService(Socket.Socket, socket),
              Effect.provideService(RpcSerialization.RpcSerialization, serialization)
            )
          ),
          Effect.orDie
        )
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
): Layer.Layer<Sharding.Sharding, SocketServer.SocketServerError, Storage | RunnerSettings> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const settings = yield* RunnerSettings
      const server = yield* wire.listen(settings)
      const port = server.address._tag === "TcpAddress" ? server.address.port : settings.port
      return SocketRunner.layer.pipe(
        Layer.provide([Layer.succeed(SocketServer.SocketServer, server), clientProtocol(wire), RunnerHealth.layerNoop]),
        Layer.provide([MessageStorage.layerNoop, wire.serialization]),
        Layer.provide(shardingConfig(settings, Option.some(RunnerAddress.make(settings.host, port))))
      )
    })
  )

/** A runner among others. */
export const layerRunner: Layer.Layer<Sharding.Sharding, SocketServer.SocketServerError, Storage | RunnerSettings> =
  layerRunnerOver(tcp)

/** A client beside the runners, over a wire of one's choice: it sees where the shards are and owns none. */
export const layerClientOver = (wire: Wire): Layer.Layer<Sharding.Sharding, never, Storage | RunnerSettings> =>
  Layer.unwrapEffect(
    Effect.map(RunnerSettings, (settings) =>
      SocketRunner.layerClientOnly.pipe(
        Layer.provide(clientProtocol(wire)),
        Layer.provide([MessageStorage.layerNoop, wire.serialization]),
        Layer.provide(shardingConfig(settings, Option.none()))
      )
    )
  )

/** A client beside the runners. */
export const layerClient: Layer.Layer<Sharding.Sharding, never, Storage | RunnerSettings> = layerClientOver(tcp)
