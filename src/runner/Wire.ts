/** What a cluster's messages go over: sockets between processes, or what a simulator makes of them. */
import type { RunnerAddress } from "@effect/cluster"
import type { Socket, SocketServer } from "@effect/platform"
import type { RpcSerialization } from "@effect/rpc"
import type { Effect, Layer, Scope } from "effect"
import type { Settings } from "./Settings.ts"
import type { TrafficMisconfigured } from "./TrafficMisconfigured.ts"

export interface Wire {
  /** Listens for the others. Closed with the scope. */
  readonly listen: (
    settings: Settings
  ) => Effect.Effect<
    SocketServer.SocketServer["Type"],
    SocketServer.SocketServerError | TrafficMisconfigured,
    Scope.Scope
  >
  /** A connection to another runner, made anew each time that the socket is run. */
  readonly connect: (address: RunnerAddress.RunnerAddress) => Effect.Effect<Socket.Socket, Socket.SocketError>
  readonly serialization: Layer.Layer<RpcSerialization.RpcSerialization>
}
