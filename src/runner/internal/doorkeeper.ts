/**
 * Listens for other runners and lets nobody in who has not proven that they belong to the cluster.
 *
 * A stranger costs a few hundred bytes for a few seconds, and there are never more than a bounded number of them: the
 * oldest gives way. What they do is complained about now and then, and harms nobody else.
 */
import * as net from "node:net"
import type { Duplex } from "node:stream"
import * as tls from "node:tls"
import { Socket, SocketServer } from "@effect/platform"
import { NodeSocket } from "@effect/platform-node"
import { Effect, FiberSet, Queue, type Redacted } from "effect"
import type { Certificates } from "./certificates.ts"
import { complaints } from "./complaints.ts"
import { asServer, HandshakeFailed, justLooking } from "./exchange.ts"
import { halfOpen_max, handshake_ms, keepAlive_ms } from "./limits.ts"

export interface House {
  /** Where to listen. */
  readonly listen: string
  readonly port: number
  /** By which name the others know this runner. */
  readonly host: string
  /** Any of which lets in; `null` where certificates are enough. */
  readonly secrets: ReadonlyArray<Redacted.Redacted> | null
  readonly certificates: Certificates | null
}

interface Guest {
  readonly stream: Duplex
  readonly socket: net.Socket
}

const listening = (server: net.Server, { listen, port }: House) =>
  Effect.async<net.AddressInfo, SocketServer.SocketServerError>((resume) => {
    server.once("error", (cause) => resume(new SocketServer.SocketServerError({ reason: "Open", cause })))
    server.listen({ host: listen, port }, () => resume(Effect.succeed(server.address() as net.AddressInfo)))
  })

/** Of the cluster's own authority: does it bear the name that runners bear? */
const hasName = (socket: tls.TLSSocket, name: string): boolean =>
  tls.checkServerIdentity(name, socket.getPeerCertificate()) === undefined

/** What an effect's end makes of a stream: it is closed when what was written is. */
const socketOf = ({ socket, stream }: Guest) =>
  NodeSocket.fromDuplex(
    Effect.acquireRelease(
      Effect.suspend(() =>
        stream.destroyed
          ? Effect.fail(new Socket.SocketCloseError({ reason: "Close", code: 1000 }))
          : Effect.succeed(stream)
      ),
      () => Effect.sync(() => socket.closed || socket.destroySoon())
    )
  )

export const keepDoor = (house: House) =>
  Effect.gen(function* () {
    const { certificates, host, secrets } = house
    const complain = complaints()
    const guests = yield* Queue.unbounded<Guest>()
    const fork = yield* FiberSet.makeRuntime<never>()
    /** Those who have not proven themselves yet, oldest first. */
    const strangers = new Map<string, net.Socket>()
    const connections = new Set<net.Socket>()
    let self = ""

    const nameOf = (socket: net.Socket) => `${socket.remoteAddress}:${socket.remotePort}`
    const refuse = (socket: net.Socket, who: string, reason: string) => {
      strangers.delete(who)
      const { bytesRead } = socket
      socket.destroy()
      // Whoever wants to know whether the door is open, as runners do when they miss one, says nothing.
      if (reason === justLooking && bytesRead === 0) return Effect.void
      return complain(`a connection from ${who} was refused: ${reason}`)
    }

    const admit = (socket: net.Socket, who: string) =>
      Effect.gen(function* () {
        const name = certificates?.name ?? null
        if (name !== null && !hasName(socket as tls.TLSSocket, name)) {
          return yield* new HandshakeFailed({ reason: "its certificate is the authority's, but of another name" })
        }
        return secrets === null ? (socket as Duplex) : yield* asServer(socket, secrets, self)
      }).pipe(
        Effect.timeoutFail({
          duration: handshake_ms,
          onTimeout: () => new HandshakeFailed({ reason: "it took too long to say who it is" })
        }),
        Effect.matchEffect({
          onFailure: ({ reason }) => refuse(socket, who, reason),
          onSuccess: (stream) => {
            strangers.delete(who)
            // Somebody in between, or memory that fails: what was sent is asked for again over another connection.
            stream.on("error", (cause: Error) => {
              if (cause.name === "NotGenuine") fork(complain(`the connection from ${who} was cut: ${cause.message}`))
            })
            return Queue.offer(guests, { socket, stream })
          }
        })
      )

    const arrived = (socket: net.Socket) => {
      const who = nameOf(socket)
      socket.on("error", () => {})
      socket.on("close", () => {
        connections.delete(socket)
        if (strangers.get(who) === socket) strangers.delete(who)
      })
      socket.setNoDelay(true)
      socket.setKeepAlive(true, keepAlive_ms)
      connections.add(socket)
      strangers.set(who, socket)
      if (strangers.size > halfOpen_max) {
        const [[oldest, gives]] = strangers as unknown as [[string, net.Socket]]
        fork(refuse(gives, oldest, "too many others were about to say who they are"))
      }
    }

    const server = yield* Effect.acquireRelease(
      Effect.sync(() => {
        if (certificates === null) {
          return net.createServer((socket) => {
            arrived(socket)
            fork(admit(socket, nameOf(socket)))
          })
        }
        const server = tls.createServer({ ...certificates.options, handshakeTimeout: handshake_ms })
        server.on("connection", arrived)
        server.on("secureConnection", (socket) => {
          socket.on("error", () => {})
          fork(admit(socket, nameOf(socket)))
        })
        server.on("tlsClientError", (cause: NodeJS.ErrnoException, socket) => {
          const who = nameOf(socket)
          fork(refuse(strangers.get(who) ?? socket, who, `no mutual TLS (${cause.code ?? cause.name})`))
        })
        return server
      }),
      (server) =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of connections) socket.destroy()
        })
    )
    const { address, port } = yield* listening(server, house)
    // One connection that could not be accepted (too many open files) is no reason to accept none any more.
    server.on("error", (cause) => fork(complain(`a connection was not accepted: ${cause.message}`)))
    self = `${host}:${port}`

    return SocketServer.SocketServer.of({
      address: { _tag: "TcpAddress", hostname: address, port },
      run: <R, E, A>(serve: (socket: Socket.Socket) => Effect.Effect<A, E, R>) =>
        Effect.gen(function* () {
          const run = yield* FiberSet.makeRuntime<R>()
          return yield* Queue.take(guests).pipe(
            Effect.map((guest) =>
              run(
                socketOf(guest).pipe(
                  Effect.flatMap(serve),
                  Effect.catchAllCause((cause) => Effect.logDebug("a connection ended", cause)),
                  Effect.provideService(NodeSocket.NetSocket, guest.socket)
                )
              )
            ),
            Effect.forever
          )
        }).pipe(Effect.scoped)
    })
  })
