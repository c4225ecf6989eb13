/** The handshake on a connection: a few hundred bytes each way, read one by one as they are due, and nothing beyond. */
import type { Duplex } from "node:stream"
import { Data, Effect, Redacted } from "effect"
import * as Handshake from "./handshake.ts"
import { SealedDuplex } from "./SealedDuplex.ts"

/** The other side is no runner or client of this cluster, or not one for us. */
export class HandshakeFailed extends Data.TaggedError("HandshakeFailed")<{ readonly reason: string }> {
  override get message() {
    return this.reason
  }
}

/** Exactly so many bytes; what comes after them stays where it is. */
const read = (socket: Duplex, bytes: number, onEnd: string): Effect.Effect<Buffer, HandshakeFailed> =>
  Effect.async((resume) => {
    const done = (result: Effect.Effect<Buffer, HandshakeFailed>) => {
      forget()
      resume(result)
    }
    const fail = () => done(new HandshakeFailed({ reason: onEnd }))
    const look = () => {
      const found: Buffer | null = socket.read(bytes)
      // A stream that ends gives what it has.
      if (found !== null) found.length === bytes ? done(Effect.succeed(found)) : fail()
    }
    const events = { readable: look, end: fail, close: fail, error: fail }
    const forget = () => Object.entries(events).forEach(([event, listener]) => socket.off(event, listener))
    for (const [event, listener] of Object.entries(events)) socket.on(event, listener)
    if (socket.destroyed || socket.readableEnded) fail()
    else look()
    return Effect.sync(forget)
  })

const write = (socket: Duplex, bytes: Buffer) => Effect.sync(() => void socket.write(bytes))

/** Their key is part of their hello: one that is none is theirs to answer for. */
const keysOf = (...args: Parameters<typeof Handshake.keys>): Effect.Effect<Handshake.Keys, HandshakeFailed> =>
  Effect.try({
    try: () => Handshake.keys(...args),
    catch: () => new HandshakeFailed({ reason: "its key is none" })
  })

const bytesOf = (secret: Redacted.Redacted): Buffer => Buffer.from(Redacted.value(secret))

/** @param wanted the address of the runner that the connection is for, as it has registered it */
export const asClient = (socket: Duplex, secret: Redacted.Redacted, wanted: string) =>
  Effect.gen(function* () {
    const mine = Handshake.fresh()
    const client = Handshake.clientHello(mine, wanted)
    yield* write(socket, client)
    const server = yield* read(
      socket,
      Handshake.serverHelloBytes,
      "it ended the connection: it is no runner of this cluster, or another one than the address said"
    )
    if (!Handshake.isOurs(server)) return yield* new HandshakeFailed({ reason: "it is no runner of this version" })
    const keys = yield* keysOf(bytesOf(secret), mine, server, { client, server })
    yield* write(socket, keys.clientProof)
    const proof = yield* read(
      socket,
      Handshake.proofBytes,
      "it ended the connection: its secret is another one, or it is gone"
    )
    if (!Handshake.isProof(keys.serverProof, proof)) {
      return yield* new HandshakeFailed({ reason: "it does not know the secret" })
    }
    return new SealedDuplex(socket, { sending: keys.fromClient, receiving: keys.fromServer })
  })

/** Whoever wants to know whether the door is open says nothing: another runner, an orchestrator, a load balancer. */
export const justLooking = "it said nothing"
const left = "it left before it had said who it is"

/** @param secrets any of which may be the client's. @param self the address under which this runner is registered */
export const asServer = (socket: Duplex, secrets: ReadonlyArray<Redacted.Redacted>, self: string) =>
  Effect.gen(function* () {
    const start = yield* read(socket, Handshake.magicBytes, justLooking)
    if (!Handshake.isOurs(start)) return yield* new HandshakeFailed({ reason: "it does not speak as a runner does" })
    const rest = yield* read(socket, Handshake.clientHelloBytes - Handshake.magicBytes, left)
    const addressBytes = rest[rest.length - 1]!
    const address = addressBytes === 0 ? Buffer.alloc(0) : yield* read(socket, addressBytes, left)
    if (address.toString() !== self) {
      return yield* new HandshakeFailed({ reason: `it wanted ${JSON.stringify(address.toString())}, this is ${self}` })
    }
    const mine = Handshake.fresh()
    const server = Handshake.serverHello(mine)
    const client = Buffer.concat([start, rest, address])
    const candidates = yield* Effect.forEach(secrets, (secret) =>
      keysOf(bytesOf(secret), mine, client, { client, server })
    )
    yield* write(socket, server)
    const proof = yield* read(socket, Handshake.proofBytes, left)
    const keys = candidates.find((keys) => Handshake.isProof(keys.clientProof, proof))
    if (keys === undefined) return yield* new HandshakeFailed({ reason: "it does not know the secret" })
    yield* write(socket, keys.serverProof)
    return new SealedDuplex(socket, { sending: keys.fromServer, receiving: keys.fromClient })
  })
