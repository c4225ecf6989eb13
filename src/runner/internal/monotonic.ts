import { Clock, Effect } from "effect"

/** Milliseconds of a clock that nobody sets: for how long something took, not when it was. */
export const monotonic: Effect.Effect<number> = Effect.map(
  Clock.currentTimeNanos,
  (nanos) => Number(nanos / 1000n) / 1000
)
