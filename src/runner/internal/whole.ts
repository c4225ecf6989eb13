/**
 * A message that came from another runner reaches its entity as a whole, though whoever sent it gives up meanwhile.
 *
 * `@effect/cluster` finds or makes the entity in the fiber that answers the request. Interrupted between two instructions
 * of that, it leaves an entity behind that is neither there nor gone: no later message reaches it. So this has a fiber of
 * its own.
 */
import { RunnerServer, Runners, Sharding } from "@effect/cluster"
import { RpcServer } from "@effect/rpc"
import { Effect, Fiber, Layer } from "effect"

const apart = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.forkDaemon(Effect.interruptible(effect)), (fiber) => Effect.flatten(Fiber.await(fiber)))

export const whole = (sharding: Sharding.Sharding["Type"]): Sharding.Sharding["Type"] => ({
  ...sharding,
  send: (message) => apart(sharding.send(message))
})

/** The cluster, with what answers the other runners. */
export const layer = RunnerServer.layer.pipe(
  Layer.updateService(Sharding.Sharding, whole),
  Layer.provideMerge(Sharding.layer),
  Layer.provideMerge(Runners.layerRpc),
  Layer.provide(RpcServer.layerProtocolSocketServer)
)
