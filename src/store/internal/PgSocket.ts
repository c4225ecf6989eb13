/**
 * A socket to Postgres that does not outlive its use. Whatever was sent is answered within the time given, or the connection
 * leads nowhere (a firewall has forgotten it, the other machine has lost its power), and is destroyed.
 *
 * `pg` gives up a statement after its `query_timeout`, but `@effect/sql-pg` puts the connection back into the pool, where
 * each of the statements that get it waits as long again: until the system gives it up, after a quarter of an hour.
 */
import { Socket } from "node:net"

/** How soon the system begins to ask whether the other side is there, when nothing is said, in milliseconds. */
const keepAlive_ms = 10_000

/** Why a connection was destroyed that leads nowhere. */
export const unanswered = () => Object.assign(new Error("Postgres did not answer"), { code: "ETIMEDOUT" })

/** @param patience_ms how long an answer may take */
export const make = (patience_ms: number) => (): Socket => {
  const socket = new Socket()
  /** How much had been said when something was last heard. */
  let answered = 0
  socket.setKeepAlive(true, keepAlive_ms)
  // Counted from the last thing that was said or heard.
  socket.setTimeout(patience_ms)
  socket.on("data", () => {
    answered = socket.bytesWritten
  })
  socket.on("timeout", () => {
    if (socket.bytesWritten === answered) return
    socket.destroy(unanswered())
  })
  return socket
}
