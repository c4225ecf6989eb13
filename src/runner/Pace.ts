/**
 * How soon the cluster looks again for shards that it wants and has not got.
 *
 * `@effect/cluster` sleeps for a second after each look, whatever it found: a runner that dies, leaves or joins within that
 * second is noticed late, and a shard that is being handed over is without an owner for as long. Its loop has no setting,
 * but it sleeps by Effect's clock and its log lines carry its name: here is a clock that lets this one sleep end early. In
 * a version where the loop is called otherwise it would sleep its second again: slower, never wrong.
 */
import { type Clock, Context, Duration, Effect, Equal, type Fiber, FiberRef, HashMap, Layer } from "effect"

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

/** Its pauses. */
const pausesMs: ReadonlyArray<number> = [1000, pollMs]

/**
 * Whether this fiber is the loop itself. What it forks has its annotations too, by inheritance: the release of its shards,
 * the sessions' ends, timeouts. Whoever has set them is on top of their stack. A timeout of theirs that ended early would
 * take every answer for none: a runner could never give its shards back, and would never take one again.
 */
const isLoop = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => {
  const annotations = fiber.getFiberRefs().locals.get(FiberRef.currentLogAnnotations)?.[0]
  if (annotations === undefined || !Equal.equals(annotations[0], fiber.id())) return false
  const name = HashMap.get(annotations[1] as HashMap.HashMap<string, unknown>, "fiber")
  return name._tag === "Some" && name.value === loop
}

/** The clock of the surroundings for all but that loop. */
const clockOf = (clock: Clock.Clock, pace: () => number): Clock.Clock => {
  const sleep: Clock.Clock["sleep"] = (duration) =>
    Effect.withFiberRuntime((fiber) => {
      const millis = Duration.toMillis(duration)
      if (!pausesMs.includes(millis)) return clock.sleep(duration)
      return clock.sleep(isLoop(fiber) ? Duration.millis(Math.min(millis, pace())) : duration)
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
