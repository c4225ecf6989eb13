/** The time that one attempt of a tool may take, and how long it may be silent. */
import { type Clock, Duration, Effect } from "effect"
import { StepFailure } from "../../domain/Failure.ts"
import type { Bounds } from "../ToolOptions.ts"

/** When a call has last shown that it is at work. */
export class Pulse {
  /** In milliseconds since the epoch. */
  at: number

  constructor(private readonly clock: Clock.Clock) {
    this.at = clock.unsafeCurrentTimeMillis()
  }

  beat(): void {
    this.at = this.clock.unsafeCurrentTimeMillis()
  }
}

const timedOut = (message: string, code: string) => new StepFailure({ failure: { class: "TimedOut", message, code } })

const span = (ms: number): string => Duration.format(Duration.millis(ms))

/**
 * Ends the effect for its time, by interrupting it; returns when that is done.
 *
 * @param since when the step was intended, in milliseconds since the epoch
 */
export const bounded = <A, E, R>(
  tool: string,
  { silenceMs, timeoutMs, totalMs }: Bounds,
  since: number,
  pulse: Pulse,
  clock: Clock.Clock,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | StepFailure, R> => {
  if (Math.min(silenceMs, timeoutMs, totalMs) === Number.POSITIVE_INFINITY) return effect
  return Effect.suspend(() => {
    const now = () => clock.unsafeCurrentTimeMillis()
    const startedAt = now()
    const ends: ReadonlyArray<readonly [at: () => number, end: () => StepFailure]> = [
      [() => since + totalMs, () => expired(tool, totalMs)],
      [() => startedAt + timeoutMs, () => timedOut(`"${tool}" did not end within ${span(timeoutMs)}`, "timeout")],
      [() => pulse.at + silenceMs, () => timedOut(`"${tool}" showed no sign of life for ${span(silenceMs)}`, "silence")]
    ]
    if (ends[0]![0]() <= startedAt) return ends[0]![1]()
    const watch: Effect.Effect<never, StepFailure> = Effect.suspend(() => {
      const time = now()
      for (const [at, end] of ends) if (at() <= time) return end()
      const next = Math.min(...ends.map(([at]) => at()))
      // A clock that is set must not make it wait for years; nor can a timer.
      return Effect.zipRight(Effect.sleep(Duration.millis(Math.min(next - time, 60_000))), watch)
    })
    return Effect.raceFirst(effect, watch)
  })
}

/** All attempts together have had their time. */
export const expired = (tool: string, totalMs: number) =>
  timedOut(`"${tool}" did not end within ${span(totalMs)}, all its attempts together`, "total")
