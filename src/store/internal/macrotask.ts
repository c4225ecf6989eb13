import { Effect } from "effect"

/**
 * Runs `f` in a macrotask of its own and may throw.
 *
 * Effect drains its queue in microtasks. A chain of synchronous commits would run without a break in it, and no timer
 * and no socket of the process would fire for seconds. Interruption before it began cancels it; once begun it is done.
 */
export const macrotask = <A>(f: () => A): Effect.Effect<A, unknown> =>
  Effect.async<A, unknown>((resume) => {
    const handle = setImmediate(() => {
      try {
        resume(Effect.succeed(f()))
      } catch (cause) {
        resume(Effect.fail(cause))
      }
    })
    return Effect.sync(() => clearImmediate(handle))
  })
