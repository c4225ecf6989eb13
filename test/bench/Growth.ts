/** Age: a step and a waking of a session with 10,000 steps, against a young one's. */
import { Effect, Layer } from "effect"
import { Client } from "../../src/client/index.ts"
import { goal, type Row } from "./Report.ts"
import { gaps, median, now, quantile } from "./Stats.ts"
import { type Driver, fresh, type Target } from "./Stores.ts"
import * as Subjects from "./Subjects.ts"

const turnSteps = 500

/** A session with so many steps behind it. */
const grow = (subject: Subjects.Subject, id: string, steps: number) =>
  Effect.gen(function* () {
    const session = yield* Subjects.session(subject, id)
    for (let done = 0; done < steps; done += turnSteps) {
      yield* Subjects.turn(subject, session, Math.min(turnSteps, steps - done))
    }
    return session
  })

/** Young and old in turns; of the young one, steps 50 to 150. */
const compare = (subject: Subjects.Subject, driver: Driver, steps: number, rounds: number) =>
  Effect.gen(function* () {
    const old = yield* grow(subject, "old", steps)
    const youngs: Array<number> = []
    const olds: Array<number> = []
    for (let round = 0; round < rounds; round++) {
      const young = yield* Subjects.session(subject, `young-${round}`)
      yield* Subjects.turn(subject, young, 50)
      youngs.push(...gaps(yield* Subjects.turn(subject, young, 100), 1))
      olds.push(...gaps(yield* Subjects.turn(subject, old, 100), 1))
    }
    const row: Row = {
      name: `${subject.name} ${steps.toLocaleString("en")} of a session`,
      store: driver,
      p50_ms: median(olds),
      p95_ms: quantile(olds, 0.95),
      base_p50_ms: median(youngs),
      base_p95_ms: quantile(youngs, 0.95),
      ratio: median(olds) / median(youngs),
      against: "step 100"
    }
    return goal(row, "ratio", "<=", 1.1)
  })

const resting = 60

/** Young sessions that somebody will ask for. */
const rest = (subject: Subjects.Subject) =>
  Effect.forEach(
    Array.from({ length: resting }, (_, i) => `resting-${i}`),
    (id) => Effect.flatMap(Subjects.session(subject, id), (session) => Subjects.turn(subject, session, 5)),
    { concurrency: 16, discard: true }
  )

const ask = (id: string) =>
  Effect.gen(function* () {
    const session = yield* Client.existing(id)
    const from = now()
    yield* session.state
    return now() - from
  }).pipe(Effect.orDie)

/** Each time a runner that has none of them in memory: all that was there is on disk. */
const wakes = (subject: Subjects.Subject, target: Target, times: number) =>
  Effect.gen(function* () {
    const old: Array<number> = []
    const young: Array<number> = []
    const again: Array<number> = []
    for (let time = 0; time < times; time++) {
      yield* Effect.gen(function* () {
        // The first request waits until the runner has its shards.
        yield* ask("resting-0")
        for (let i = 1; i < resting; i++) young.push(yield* ask(`resting-${i}`))
        old.push(yield* ask("old"))
        for (let i = 1; i < resting; i++) again.push(yield* ask(`resting-${i}`))
      }).pipe(Effect.provide(target.runner([subject.behaviour]).pipe(Layer.provide(subject.services))))
    }
    return { old, young, again }
  })

const of = (subject: Subjects.Subject) => (driver: Driver, quick: boolean) =>
  Effect.gen(function* () {
    const target = yield* fresh(driver)
    const steps = quick ? 2_000 : 10_000
    const step = yield* Effect.zipLeft(compare(subject, driver, steps, quick ? 5 : 12), rest(subject)).pipe(
      Effect.provide(target.runner([subject.behaviour]).pipe(Layer.provide(subject.services)))
    )
    const { again, old, young } = yield* wakes(subject, target, quick ? 3 : 6)
    const wake: Row = {
      name: `waking a session of ${steps.toLocaleString("en")} ${subject.name}s`,
      store: driver,
      p50_ms: median(old),
      p95_ms: quantile(old, 0.95)
    }
    const activation: Row = {
      name: `activation of a resting session (${subject.name})`,
      store: driver,
      p50_ms: median(young),
      p95_ms: quantile(young, 0.95),
      base_p50_ms: median(again),
      base_p95_ms: quantile(again, 0.95),
      ratio: median(young) / median(again),
      against: "the same request, awake"
    }
    return [step, goal(wake, "p50_ms", "<=", 100), goal(activation, "p50_ms", "<=", 3)]
  }).pipe(Effect.scoped)

export const steps = of(Subjects.steps)
export const agent = of(Subjects.agent)
