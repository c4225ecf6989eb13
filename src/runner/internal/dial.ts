/** Connections to other runners, which have proven who they are before anything is asked of them. */
import * as net from "node:net"
import * as tls from "node:tls"
import type { RunnerAddress } from "@effect/cluster"
import { Socket } from "@effect/platform"
import { NodeSocket } from "@effect/platform-node"
import { Effect, type Redacted } from "effect"
import type { Certificates } from "./certificates.ts"
import { complaints } from "./complaints.ts"
import { asClient, HandshakeFailed } from "./exchange.ts"
import { handshake_ms, keepAlive_ms } from "./limits.ts"

type Address = Pick<RunnerAddress.RunnerAddress, "host" | "port">

const tlsOptions = ({ name, options }: Certificates, host: string): tls.ConnectionOptions => {
  // An address cannot be a server's name in TLS; it is checked against the certificate all the same.
  const servername = name ?? (net.isIP(host) === 0 ? host : undefined)
  return { ...options, ...(servername === undefined ? {} : { servername }) }
}

const open = ({ host, port }: Address, certificates: Certificates | null) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket =
        certificates === null
          ? net.connect({ host, port })
          : tls.connect({ host, port, ...tlsOptions(certificates, host) })
      socket.setNoDelay(true)
      socket.setKeepAlive(true, keepAlive_ms)
      // Whoever uses it listens as well; between two of them nobody does.
      socket.on("error", () => {})
      return socket
    }),
    (socket) => Effect.sync(() => socket.closed || socket.destroySoon())
  ).pipe(
    Effect.tap((socket) =>
      Effect.async<void, Error>((resume) => {
        socket.once(certificates === null ? "connect" : "secureConnect", () => resume(Effect.void))
        socket.once("error", (cause) => resume(Effect.fail(cause)))
        socket.once("close", () => resume(Effect.fail(new Error("it ended the connection"))))
      })
    )
  )

/** @param secret what both sides must know; `null` where certificates are enough */
export const dial = (secret: Redacted.Redacted | null, certificates: Certificates | null) => {
  const complain = complaints()
  return (address: Address): Effect.Effect<Socket.Socket> => {
    const name = `${address.host}:${address.port}`
    const opened = Effect.gen(function* () {
      const socket = yield* open(address, certificates)
      return secret === null ? socket : yield* asClient(socket, secret, name)
    }).pipe(
      Effect.tapError((cause) =>
        cause instanceof HandshakeFailed
          ? complain(`no connection to the runner at ${name}: ${cause.reason}`)
          : Effect.void
      ),
      Effect.mapError((cause) => new Socket.SocketGenericError({ reason: "Open", cause }))
    )
    return NodeSocket.fromDuplex(opened, { openTimeout: handshake_ms })
  }
}
