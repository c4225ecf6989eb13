import { Clock, Effect } from "effect"

/** How often a stranger may fill a line of the log, in milliseconds. */
const every_ms = 10_000

/** Warns at most once in a while, and says how much it has kept to itself: whoever knocks at a port must not fill a disk. */
export const complaints = () => {
  let last = Number.NEGATIVE_INFINITY
  let kept = 0
  return (message: string): Effect.Effect<void> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (now - last < every_ms) {
        kept += 1
        return Effect.logDebug(message)
      }
      const more = kept === 0 ? "" : ` (${kept} more like this were not logged)`
      last = now
      kept = 0
      return Effect.logWarning(message + more)
    })
}
