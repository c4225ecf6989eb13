/**
 * Tells the cluster to keep an entity that nobody asks anything, and that it need not any more.
 *
 * `Entity.keepAlive` does it by a message that is persisted, and we persist none: it would never arrive, and a session
 * that waits for a model, a tool or a retry would be put to sleep in the middle of its turn. This is the same message,
 * volatile: it goes from the entity to its own manager in this process.
 */
import { Entity, Envelope, Message, Sharding } from "@effect/cluster"
import { Headers } from "@effect/platform"
import { Rpc } from "@effect/rpc"
import { Context, Effect, Option } from "effect"

const KeepAlive = Rpc.make(Entity.KeepAliveRpc._tag)

export const keepAwake = (awake: boolean): Effect.Effect<void, never, Entity.CurrentAddress | Sharding.Sharding> =>
  Effect.gen(function* () {
    // Every entity has one, which its types do not say.
    const latch = Option.getOrThrow(yield* Effect.serviceOption(Entity.KeepAliveLatch))
    if (!awake) return yield* latch.open
    const sharding = yield* Sharding.Sharding
    const address = yield* Entity.CurrentAddress
    const requestId = yield* sharding.getSnowflake
    latch.unsafeClose()
    yield* sharding.sendOutgoing(
      new Message.OutgoingRequest({
        rpc: KeepAlive,
        // Any context: the message has no payload that a schema would need one for.
        context: Context.empty() as Context.Context<any>,
        envelope: Envelope.makeRequest({
          requestId,
          address,
          tag: KeepAlive._tag,
          payload: undefined,
          headers: Headers.empty
        }),
        lastReceivedReply: Option.none(),
        respond: () => Effect.void
      }),
      true
    )
    // It is looked at again before the next time that it counts: nothing is lost if this once did not arrive.
  }).pipe(Effect.catchAll((error) => Effect.logWarning(`a session could not be kept awake: ${error._tag}`)))
