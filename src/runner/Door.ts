/**
 * The door of an embedded runner: a Unix socket in its directory, by which other processes of the same user reach its
 * sessions while it holds the store.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { Socket, SocketServer } from "@effect/platform"
import { NodeSocket, NodeSocketServer } from "@effect/platform-node"
import { RpcClient, RpcSerialization, RpcServer } from "@effect/rpc"
import { Data, Effect, Layer, Schema, type Scope } from "effect"
import { Transport } from "../client/index.ts"
import { Protocol } from "../session/index.ts"

/** No runner works on the directory. */
export class NoRunner extends Schema.TaggedError<NoRunner>()("NoRunner", { directory: Schema.String }) {
  override get message() {
    return `no runner is up on ${this.directory}: start one with \`perdure serve MODULE --directory ${this.directory}\`, or use \`perdure run\``
  }
}

/** The longest path that a Unix socket may have everywhere. */
const longestPath = 100

/** Where the socket of a directory is: in it, whatever the surroundings of whoever asks. */
export const socketOf = (directory: string): string => {
  const absolute = path.resolve(directory)
  if (process.platform !== "win32") return path.join(absolute, "runner.sock")
  return `\\\\.\\pipe\\perdure-${createHash("sha256").update(absolute).digest("hex").slice(0, 16)}`
}

/**
 * A name of a socket that is short enough to be used. Where its path is too long that is one through a link of our own,
 * which nobody else has to know, and nobody else can have taken; gone with the scope.
 */
const shortNameOf = (socket: string): Effect.Effect<string, Unnameable, Scope.Scope> =>
  process.platform === "win32" || socket.length <= longestPath
    ? Effect.succeed(socket)
    : Effect.acquireRelease(
        Effect.try({
          try: () => {
            const own = fs.mkdtempSync(
              path.join(os.tmpdir().length > longestPath / 2 ? "/tmp" : os.tmpdir(), "perdure-")
            )
            fs.symlinkSync(path.dirname(socket), path.join(own, "d"))
            return own
          },
          catch: (cause) =>
            new Unnameable({ reason: `its path is too long, and no link to it can be made: ${reasonOf(cause)}` })
        }),
        (own) => Effect.sync(() => fs.rmSync(own, { recursive: true, force: true }))
      ).pipe(Effect.map((own) => path.join(own, "d", path.basename(socket))))

/** The socket cannot be opened. The runner works without it. */
class Unnameable extends Data.TaggedError("Unnameable")<{ readonly reason: string }> {}

const reasonOf = (cause: unknown): string =>
  (cause as NodeJS.ErrnoException | undefined)?.code ?? (cause instanceof Error ? cause.message : String(cause))

const handlers = Protocol.SessionRpcs.toLayer(
  Effect.map(Transport, (transport) => {
    // The runner itself is up: what its cluster says of transport is a bug there, not news for the caller.
    const local = <A, E extends { readonly _tag: string }>(effect: Effect.Effect<A, E>) =>
      Effect.catchIf(effect, isTransportError, Effect.die) as Effect.Effect<A, Exclude<E, TransportTag>>
    return Protocol.SessionRpcs.of({
      Create: ({ key, ...request }) => local(transport(key).Create(request)),
      Accept: ({ key, ...request }) => local(transport(key).Accept(request)),
      Pull: ({ key, ...request }) => local(transport(key).Pull(request)),
      Inspect: ({ key }) => local(transport(key).Inspect())
    })
  })
)

type TransportTag =
  | { readonly _tag: "AlreadyProcessingMessage" }
  | { readonly _tag: "PersistenceError" }
  | { readonly _tag: "RpcClientError" }
  | import("@effect/cluster").ClusterError.MailboxFull

const isTransportError = (error: { readonly _tag: string }): boolean =>
  error._tag === "AlreadyProcessingMessage" ||
  error._tag === "PersistenceError" ||
  error._tag === "RpcClientError" ||
  (error._tag === "MailboxFull" && "address" in error)

const unreachable = (reason: string) =>
  Effect.as(Effect.logWarning(`no other process can reach this runner: ${reason}`), Layer.empty)

/** Opens the door. The caller holds the directory: a socket that is there is a dead runner's. */
export const layer = (directory: string): Layer.Layer<never, never, Transport> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const socket = socketOf(directory)
      const attempt = (what: string, run: () => void) =>
        Effect.try({
          try: run,
          catch: (cause) => new Unnameable({ reason: `${socket} cannot be ${what}: ${reasonOf(cause)}` })
        })
      const remove = attempt("removed", () => fs.rmSync(socket, { force: true }))
      yield* remove
      yield* Effect.addFinalizer(() => Effect.ignore(remove))
      // The link is there to open the socket by; the others have links of their own.
      const server = yield* Effect.flatMap(shortNameOf(socket), (name) => NodeSocketServer.make({ path: name }))
      if (process.platform !== "win32") yield* attempt("kept from others", () => fs.chmodSync(socket, 0o600))
      return RpcServer.layer(Protocol.SessionRpcs, { disableTracing: true, disableFatalDefects: true }).pipe(
        Layer.provide(handlers),
        Layer.provide(RpcServer.layerProtocolSocketServer),
        Layer.provide([Layer.succeed(SocketServer.SocketServer, server), RpcSerialization.layerMsgPack])
      )
    }).pipe(
      // A file system without sockets: the runner serves its own process, and says so.
      Effect.catchTags({
        SocketServerError: ({ cause }) => unreachable(`${socketOf(directory)}: ${reasonOf(cause)}`),
        Unnameable: ({ reason }) => unreachable(reason)
      })
    )
  )

const isUp = (socket: string): Effect.Effect<boolean> =>
  Effect.async((resume) => {
    const connection = net.createConnection({ path: socket })
    connection.once("connect", () => resume(Effect.succeed(true)))
    connection.once("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => connection.destroy())
  })

/** Goes through the door of the runner that works on the directory. */
export const layerTransport = (directory: string): Layer.Layer<Transport, NoRunner> =>
  Layer.scoped(
    Transport,
    Effect.gen(function* () {
      const none = new NoRunner({ directory: path.resolve(directory) })
      const socket = yield* Effect.mapError(shortNameOf(socketOf(directory)), () => none)
      if (!(yield* isUp(socket))) return yield* none
      const protocol = yield* NodeSocket.makeNet({ path: socket }).pipe(
        Effect.flatMap((connection) =>
          RpcClient.makeProtocolSocket().pipe(Effect.provideService(Socket.Socket, connection))
        ),
        Effect.provide(RpcSerialization.layerMsgPack),
        Effect.orDie
      )
      const client = yield* RpcClient.make(Protocol.SessionRpcs, { disableTracing: true }).pipe(
        Effect.provideService(RpcClient.Protocol, protocol)
      )
      return (key) => ({
        Create: (request) => client.Create({ key, ...request }),
        Accept: (request) => client.Accept({ key, ...request }),
        Pull: (request) => client.Pull({ key, ...request }),
        Inspect: () => client.Inspect({ key })
      })
    })
  )
