/**
 * How long to wait before the next attempt, as data that becomes an Effect `Schedule`.
 *
 * A `Schedule` is code and cannot be journaled, printed or compared, so a policy names one of these; one that is none of
 * them is given as code beside the policy, and its data is its name ({@link named}).
 */
import { Duration, Effect, Exit, Random, Schedule, ScheduleDecision, ScheduleIntervals, Schema } from "effect"
import type { Failure } from "../domain/Failure.ts"
import { Text } from "../domain/Json.ts"

/** Milliseconds. */
const Millis = Schema.NonNegative.pipe(Schema.finite())

export const Delay = Schema.Union(
  /** The same each time. */
  Schema.TaggedStruct("Fixed", { ms: Millis }),
  /** `ms`, then each time `factor` as much, up to `maxMs`. */
  Schema.TaggedStruct("Exponential", { ms: Millis, factor: Schema.Finite.pipe(Schema.positive()), maxMs: Millis }),
  /** `ms`, `ms`, then the sum of the two before, up to `maxMs`. */
  Schema.TaggedStruct("Fibonacci", { ms: Millis, maxMs: Millis }),
  /** These in order; the last one from then on. */
  Schema.TaggedStruct("Steps", { ms: Schema.NonEmptyArray(Millis) }),
  /** A schedule that is given as code, by this name. It sees each failure, and may end. */
  Schema.TaggedStruct("Named", { name: Text })
)
export type Delay = typeof Delay.Type

/** A schedule of one's own. It may draw from `Random`, but neither sleep nor ask anybody: a policy is pure. */
export type Given = Schedule.Schedule<unknown, Failure>

/** Schedules of one's own, by name. */
export type Schedules = Readonly<Record<string, Given>>

const millis = Duration.toMillis

/** At once, each time. */
export const none: Delay = { _tag: "Fixed", ms: 0 }

/** The same each time. */
export const fixed = (duration: Duration.DurationInput): Delay => ({ _tag: "Fixed", ms: millis(duration) })

/** Doubled each time (or times `factor`), up to `max`: a minute unless told. */
export const exponential = (
  base: Duration.DurationInput,
  options: { readonly max?: Duration.DurationInput | undefined; readonly factor?: number | undefined } = {}
): Delay => ({
  _tag: "Exponential",
  ms: millis(base),
  factor: options.factor ?? 2,
  maxMs: millis(options.max ?? "1 minute")
})

/** Each the sum of the two before, up to `max`: a minute unless told. */
export const fibonacci = (
  base: Duration.DurationInput,
  options: { readonly max?: Duration.DurationInput | undefined } = {}
): Delay => ({ _tag: "Fibonacci", ms: millis(base), maxMs: millis(options.max ?? "1 minute") })

/** These in order; the last one from then on. */
export const steps = (first: Duration.DurationInput, ...rest: ReadonlyArray<Duration.DurationInput>): Delay => ({
  _tag: "Steps",
  ms: [millis(first), ...rest.map(millis)]
})

/** The schedule that is given by this name beside the policy. */
export const named = (name: string): Delay => ({ _tag: "Named", name })

/** The schedule that a delay stands for; `undefined` for a name that nothing is given by. */
export const toSchedule = (delay: Delay, given: Schedules = {}): Given | undefined => {
  const upTo = (schedule: Schedule.Schedule<unknown>, maxMs: number): Given =>
    Schedule.either(schedule, Schedule.spaced(Duration.millis(maxMs)))
  switch (delay._tag) {
    case "Fixed":
      return Schedule.spaced(Duration.millis(delay.ms))
    case "Exponential":
      return upTo(Schedule.exponential(Duration.millis(delay.ms), delay.factor), delay.maxMs)
    case "Fibonacci":
      return upTo(Schedule.fibonacci(Duration.millis(delay.ms)), delay.maxMs)
    case "Steps": {
      const [first, ...rest] = delay.ms
      const last = delay.ms[delay.ms.length - 1]!
      return Schedule.andThen(
        Schedule.fromDelays(Duration.millis(first), ...rest.map((ms) => Duration.millis(ms))),
        Schedule.spaced(Duration.millis(last))
      )
    }
    case "Named":
      return Object.hasOwn(given, delay.name) ? given[delay.name] : undefined
  }
}

/** Steps a schedule from its beginning: the delay after the n-th failure in milliseconds, `null` where it has ended. */
const step = (schedule: Given, n: number, failure: Failure) =>
  Effect.gen(function* () {
    let state: unknown = schedule.initial
    let now = 0
    let delay = 0
    for (let i = 0; i < n; i++) {
      const [next, , decision] = yield* schedule.step(now, failure, state)
      if (ScheduleDecision.isDone(decision)) return null
      state = next
      delay = Math.max(0, ScheduleIntervals.start(decision.intervals) - now)
      now += delay
    }
    return delay
  })

/**
 * The delay after the n-th failure (1 is the first), in milliseconds; `null` where there is none: the schedule has ended,
 * is not given, or cannot be stepped. `random` in [0, 1) is what a schedule of one's own draws from.
 */
export const after = (
  delay: Delay,
  n: number,
  failure: Failure,
  random: number,
  given: Schedules = {}
): number | null => {
  const schedule = toSchedule(delay, given)
  if (schedule === undefined) return null
  // One that is no plain function of its input is no schedule for a policy; the check at the start has said so.
  const exit = Effect.runSyncExit(Effect.withRandom(step(schedule, n, failure), Random.make(random)))
  return Exit.isSuccess(exit) && exit.value !== null && Number.isFinite(exit.value) ? exit.value : null
}

const seconds = (ms: number): string => Duration.format(Duration.millis(ms))

/** For people: `500ms, doubled up to 30s`. */
export const print = (delay: Delay): string => {
  switch (delay._tag) {
    case "Fixed":
      return delay.ms === 0 ? "at once" : `after ${seconds(delay.ms)}`
    case "Exponential":
      return `after ${seconds(delay.ms)}, × ${delay.factor} up to ${seconds(delay.maxMs)}`
    case "Fibonacci":
      return `after ${seconds(delay.ms)}, growing as Fibonacci's up to ${seconds(delay.maxMs)}`
    case "Steps":
      return `after ${delay.ms.map(seconds).join(", ")}`
    case "Named":
      return `by the schedule "${delay.name}"`
  }
}
