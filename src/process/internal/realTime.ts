/**
 * The one place of this room with timers of the system. OS processes live in real time: tearing one down must take its
 * half second, and no longer, under a test's clock and a simulator's too.
 */
import { Effect } from "effect"

/** Milliseconds of a clock that never jumps. */
export const now = (): number => performance.now()

export const pause = (ms: number): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const timer = setTimeout(() => resume(Effect.void), ms)
    return Effect.sync(() => clearTimeout(timer))
  })

/**
 * Waits for `register`'s callback to be called, and for `limitMs` at most; `otherwise` is the answer then. It needs no
 * interruption to give up, so it works inside finalizers.
 */
export const within = <A>(register: (done: (value: A) => void) => void, limitMs: number, otherwise: A) =>
  Effect.async<A>((resume) => {
    const timer = setTimeout(() => resume(Effect.succeed(otherwise)), limitMs)
    register((value) => {
      clearTimeout(timer)
      resume(Effect.succeed(value))
    })
    return Effect.sync(() => clearTimeout(timer))
  })

/** Asks until the answer is yes, ever less often; false if it was not within `limitMs`. */
export const poll = (ask: Effect.Effect<boolean>, limitMs: number): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const deadline = now() + limitMs
    for (let delay = 2; ; delay = Math.min(delay * 2, 25)) {
      if (yield* ask) return true
      const left = deadline - now()
      if (left <= 0) return false
      yield* pause(Math.min(delay, left))
    }
  })
