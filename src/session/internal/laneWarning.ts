/** A word in the log of a lane's host where its provider wants to hear nothing for long: else nobody knows why all waits. */
import { Effect, type Fiber } from "effect"
import type { Limiter } from "../../resilience/index.ts"

interface Around {
  readonly now: () => number
  readonly fork: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>
}

const longMs = 30_000

/**
 * Says it once, and again where it is put off for long: each of the calls that were under way is refused.
 *
 * @param warned until when it was said that nothing goes out
 * @returns until when that is said now
 */
export const warn = ({ fork, now }: Around, lane: string, limiter: Limiter.Limiter, warned: number): number => {
  const at = now()
  const until = limiter.blockedUntil(at)
  if (until === null || until - Math.max(at, warned) <= longMs) return warned
  const seconds = Math.round((until - at) / 1000)
  fork(
    Effect.logWarning(
      `the provider of lane "${lane}" refuses calls, and nothing is sent to it for ${seconds} s: sessions that ask it wait until then`
    )
  )
  return until
}
