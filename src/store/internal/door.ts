/** Whether anybody is there to be spoken to: a process that has ended listens no longer, whatever else is known of it. */
import { Effect } from "effect"
import { connect } from "node:net"

/**
 * - `shut`: its machine says that nobody listens there.
 * - `open`: somebody does.
 * - `unknown`: no answer in time, or no such place.
 */
export type Door = "shut" | "open" | "unknown"

/** How long an answer may take: on the network of a cluster it comes in a few milliseconds. */
const patience_ms = 40

/** @param address `HOST:PORT` */
export const knock = (address: string): Effect.Effect<Door> =>
  Effect.async<Door>((resume) => {
    const colon = address.lastIndexOf(":")
    const port = Number(address.slice(colon + 1))
    if (colon < 1 || !Number.isInteger(port) || port < 1 || port > 65_535) return resume(Effect.succeed("unknown"))
    const socket = connect({ host: address.slice(0, colon), port })
    const end = (door: Door) => {
      socket.destroy()
      resume(Effect.succeed(door))
    }
    socket.once("connect", () => end("open"))
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code === "ECONNREFUSED" ? "shut" : "unknown"))
    return Effect.sync(() => socket.destroy())
  }).pipe(Effect.timeoutTo({ duration: patience_ms, onTimeout: () => "unknown", onSuccess: (door) => door }))
