/**
 * How soon the cluster looks again for shards that it wants and has not got.
 *
 * `@effect/cluster` sleeps for a second after each look, whatever it found: a runner that dies, leaves or joins within that
 * second is noticed late, and a shard that is being handed over is without an owner for as long. Its loop has no setting,
 * but it sleeps by Effect's clock and its log lines carry its name: here is a clock that lets this one sleep end early. In
 * a version where the loop is called otherwise it would sleep its second again: slower, never wrong.
 */
import { type Clock, Context, Duration, Effect, FiberRef, HashMap, Layer } from "effect"

/** The longest that the loop should sleep now, in milliseconds. */
export class Pace extends Context.Tag("perdure/Pace")<Pace, () => number>() {}

/** While shards that are ours to have are still another's: how soon to look again, and after a while, in milliseconds. */
const soonMs = 25
const laterMs = 250

/** What the looks for shards have found so far. */
export class Looks {
  pauseMs = soonMs

  /** With nothing left to take the loop may end its sleep: it waits for a change then. */
  found(asked: number, got: number): void {
    if (got === asked) this.pauseMs = 0
    else this.pauseMs = got > 0 ? soonMs : Math.min(Math.max(this.pauseMs, soonMs) * 1.2, laterMs)
  }

  readonly failed = (): void => {
    this.pauseMs = laterMs
  }
}

const loop = "Shard acquisition loop"

/** The cluster's `entityMessagePollInterval`: also how long the loop pauses after a failure. */
export const pollMs = 10_000

/** Its pauses. Its timeouts sleep by the same clock, for other times. */
const pausesMs: ReadonlyArray<number> = [1000, pollMs]

/** The clock of the surroundings for all but that loop. */
const clockOf = (clock: Clock.Clock, pace: () => number): Clock.Clock => {
  const sleep: Clock.Clock["sleep"] = (duration) =>
    Effect.withFiberRuntime((fiber) => {
      const millis = Duration.toMillis(duration)
      if (!pausesMs.includes(millis)) return clock.sleep(duration)
      const name = HashMap.get(fiber.getFiberRef(FiberRef.currentLogAnnotations), "fiber")
      const isLoop = name._tag === "Some" && name.value === loop
      return clock.sleep(isLoop ? Duration.millis(Math.min(millis, pace())) : duration)
    })
  return Object.assign(Object.create(clock) as Clock.Clock, { sleep })
}

/** Builds a cluster with such a clock. */
export const paced = <A, E, R>(layer: Layer.Layer<A, E, R>): Layer.Layer<A, E, R | Pace> =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const clock = yield* Effect.clock
      const pace = yield* Pace
      return Layer.provide(layer, Layer.setClock(clockOf(clock, pace)))
    })
  )
