/** Attackers on a wire: strangers who connect, and somebody in between who records, changes and replays. */
import * as net from "node:net"
import { Effect, Schedule, type Scope } from "effect"

/** A connection that says nothing by itself. Closed with the scope. */
export const open = (port: number, host = "127.0.0.1"): Effect.Effect<net.Socket, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<net.Socket>((resume) => {
      const socket = net.connect({ host, port })
      socket.on("error", () => {})
      // Whoever does not read does not notice the end.
      socket.resume()
      socket.once("connect", () => resume(Effect.succeed(socket)))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** Sends bytes and takes what comes until the other side ends the connection. */
export const visit = (port: number, bytes: Buffer) =>
  Effect.async<{ readonly bytes: Buffer; readonly ended: "closed" }>((resume) => {
    const got: Array<Buffer> = []
    const socket = net.connect({ host: "127.0.0.1", port }, () => socket.write(bytes))
    socket.on("data", (data) => got.push(data))
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.succeed({ bytes: Buffer.concat(got), ended: "closed" })))
    return Effect.sync(() => socket.destroy())
  })

export interface Tap {
  /** All that clients have sent through it, in order. */
  readonly fromClient: () => Buffer
  readonly fromServer: () => Buffer
  /** What becomes of each piece that a client sends; `count` is how many of its connection came before. */
  readonly change: (by: (piece: Buffer, count: number) => ReadonlyArray<Buffer>) => void
  /** Completes when no connection is left. */
  readonly closed: Effect.Effect<void>
}

/** Listens where clients believe that the runner is, and passes on to where it is: the same port of 127.0.0.1 unless told. */
export const tap = (
  at: { readonly host: string; readonly port: number },
  to = at.port
): Effect.Effect<Tap, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clients: Array<Buffer> = []
    const servers: Array<Buffer> = []
    const sockets = new Set<net.Socket>()
    let change: Parameters<Tap["change"]>[0] = (piece) => [piece]
    yield* Effect.acquireRelease(
      Effect.async<net.Server>((resume) => {
        const server = net.createServer((client) => {
          const runner = net.connect({ host: "127.0.0.1", port: to })
          let count = 0
          client.on("data", (piece) => {
            clients.push(piece)
            for (const out of change(piece, count++)) runner.write(out)
          })
          runner.on("data", (piece) => {
            servers.push(piece)
            client.write(piece)
          })
          for (const [one, another] of [
            [client, runner],
            [runner, client]
          ] as const) {
            sockets.add(one)
            one.setNoDelay(true)
            one.on("error", () => {})
            one.on("close", () => {
              sockets.delete(one)
              another.destroy()
            })
          }
        })
        server.listen(at, () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    return {
      fromClient: () => Buffer.concat(clients),
      fromServer: () => Buffer.concat(servers),
      change: (by) => {
        change = by
      },
      closed: until(() => sockets.size === 0)
    }
  })

/** Looks often, for as long as a test may take. */
export const until = (test: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (test() ? Effect.void : Effect.fail("not yet"))).pipe(
    Effect.retry(Schedule.spaced("5 millis").pipe(Schedule.upTo("20 seconds"))),
    Effect.orDie
  )
