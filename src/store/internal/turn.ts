import { Effect } from "effect"

/**
 * Waits for a macrotask: timers and sockets of the process had their turn before what comes next.
 *
 * Effect drains its queue in microtasks. A chain of synchronous commits would run without a break in it, and nothing
 * else of the process would happen for seconds. So would a chain of reads, by one who polls for what another writes.
 */
export const turn: Effect.Effect<void> = Effect.async((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})
