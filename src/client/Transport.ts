/** How a client reaches sessions: the cluster's messages, or the socket of the runner that holds a directory. */
import type { ClusterError, Sharding } from "@effect/cluster"
import type { RpcClientError } from "@effect/rpc/RpcClientError"
import { Context, Effect, Layer } from "effect"
import type { Command, SessionCreated } from "../domain/Entry.ts"
import { type AgentMismatch, type InvalidInput, Misrouted, type SessionNotFound } from "../domain/Errors.ts"
import type { CommandId, SessionKey } from "../domain/Id.ts"
import { Protocol } from "../session/index.ts"

/** What went wrong between here and the session: asking again is safe. */
export type TransportError =
  | ClusterError.MailboxFull
  | ClusterError.AlreadyProcessingMessage
  | ClusterError.PersistenceError
  | RpcClientError

type Answer<A, E> = Effect.Effect<A, E | Protocol.Unavailable | TransportError>

/** A session, from afar. Every request is idempotent. */
export interface Remote {
  readonly Create: (request: { readonly created: SessionCreated }) => Answer<Protocol.Ack, AgentMismatch | InvalidInput>
  readonly Accept: (request: {
    readonly id: CommandId
    readonly command: Command
  }) => Answer<Protocol.Ack, Protocol.Refused>
  readonly Pull: (request: Protocol.PullRequest) => Answer<Protocol.PullReply, SessionNotFound>
  readonly Inspect: () => Answer<Protocol.SessionView, SessionNotFound>
}

/** The cluster's own client finds the shard by the id, as the runner does. */
const routed = <A, E>(answer: Effect.Effect<A, E | Misrouted>): Effect.Effect<A, Exclude<E, Misrouted>> =>
  Effect.catchIf(answer, (error): error is Misrouted => error instanceof Misrouted, Effect.die) as never

export class Transport extends Context.Tag("perdure/Transport")<Transport, (key: SessionKey) => Remote>() {
  /** Through the cluster, to whichever runner has the session's shard. */
  static readonly layerCluster: Layer.Layer<Transport, never, Sharding.Sharding> = Layer.effect(
    Transport,
    Effect.map(Protocol.SessionEntity.client, (client) => (key) => {
      const entity = client(String(key))
      return {
        Create: (request) => routed(entity.Create(request)),
        Accept: (request) => routed(entity.Accept(request)),
        Pull: (request) => routed(entity.Pull(request)),
        Inspect: () => routed(entity.Inspect())
      }
    })
  )
}
