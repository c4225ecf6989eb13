/** Durable steps: latency and throughput, with 1, 10 and 100 sessions, each beside bare commits at the same width. */
import { Effect, Layer } from "effect"
import { goal, type Row } from "./Report.ts"
import { gaps, median, now, quantile } from "./Stats.ts"
import { Bare, bare, type Driver, fresh } from "./Stores.ts"
import * as Subjects from "./Subjects.ts"

interface Plan {
  readonly sessions: number
  readonly steps: number
  /** Rounds before the measured ones: the compiler takes thousands of steps until it leaves the code alone. */
  readonly warming: number
  /** Batches of ours, each between two of the base. */
  readonly rounds: number
}

const plans = (quick: boolean): ReadonlyArray<Plan> => [
  { sessions: 1, steps: 100, warming: quick ? 10 : 60, rounds: quick ? 5 : 15 },
  { sessions: 10, steps: 40, warming: quick ? 2 : 6, rounds: quick ? 2 : 5 },
  { sessions: 100, steps: 20, warming: quick ? 2 : 6, rounds: quick ? 2 : 5 }
]

/** Commits one after the other, `width` at a time; returns how long each took. */
const commits = (width: number, each: number) =>
  Effect.gen(function* () {
    const commit = yield* Bare
    const took: Array<number> = []
    const one = Effect.gen(function* () {
      for (let i = 0; i < each; i++) {
        const from = now()
        yield* commit
        took.push(now() - from)
      }
    })
    const from = now()
    yield* Effect.all(
      Array.from({ length: width }, () => one),
      { concurrency: "unbounded", discard: true }
    )
    return { took, seconds: (now() - from) / 1000 }
  })

const measure = (subject: Subjects.Subject, driver: Driver, { rounds, sessions, steps, warming }: Plan) =>
  Effect.gen(function* () {
    const latencies: Array<number> = []
    const bases: Array<number> = []
    const rates: Array<number> = []
    const cpus: Array<number> = []
    const baseRates: Array<number> = []
    const round = (number: number) =>
      Effect.gen(function* () {
        const base = yield* commits(sessions, Math.max(5, Math.floor(steps / 2)))
        const opened = yield* Effect.forEach(
          Array.from({ length: sessions }, (_, i) => `${number}-${sessions}-${i}`),
          (id) => Subjects.session(subject, id),
          { concurrency: 32 }
        )
        const cpuBefore = process.cpuUsage()
        const from = now()
        const marks = yield* Effect.forEach(opened, (one) => Subjects.turn(subject, one, steps), {
          concurrency: "unbounded"
        })
        const seconds = (now() - from) / 1000
        const cpu = process.cpuUsage(cpuBefore)
        const after = yield* commits(sessions, Math.max(5, Math.floor(steps / 2)))
        return { base, after, marks, seconds, cpu: cpu.user + cpu.system }
      })
    for (let number = 1; number <= warming + rounds; number++) {
      const { after, base, cpu, marks, seconds } = yield* round(number)
      if (number <= warming) continue
      for (const of of marks) latencies.push(...gaps(of, 1))
      bases.push(...base.took, ...after.took)
      const count = marks.reduce((sum, of) => sum + of.length, 0)
      rates.push(count / seconds)
      cpus.push(cpu / count)
      baseRates.push((base.took.length + after.took.length) / (base.seconds + after.seconds))
    }
    const row: Row = {
      name: `${subject.name}, ${sessions} session${sessions === 1 ? "" : "s"}`,
      store: driver,
      p50_ms: median(latencies),
      p95_ms: quantile(latencies, 0.95),
      base_p50_ms: median(bases),
      base_p95_ms: quantile(bases, 0.95),
      // With several at once the base waits for its connections, or for nobody: only the rates compare.
      ...(sessions === 1 ? { ratio: median(latencies) / median(bases) } : {}),
      per_second: median(rates),
      base_per_second: median(baseRates),
      cpu_us: median(cpus)
    }
    return row
  })

const withGoal = (row: Row, subject: Subjects.Subject, driver: Driver, plan: Plan): Row => {
  if (subject === Subjects.agentDecoded) return row
  if (plan.sessions === 1) {
    const most = driver === "sqlite" ? 2 : subject === Subjects.steps ? 1.3 : 2
    return goal(row, "ratio", "<=", most)
  }
  return plan.sessions === 100 && subject === Subjects.steps && driver === "postgres"
    ? goal(row, "per_second", ">=", 10_000)
    : row
}

const of = (subject: Subjects.Subject, widths: ReadonlyArray<number>) => (driver: Driver, quick: boolean) =>
  Effect.gen(function* () {
    const target = yield* fresh(driver)
    const chosen = plans(quick).filter((plan) => widths.includes(plan.sessions))
    return yield* Effect.forEach(chosen, (plan) =>
      Effect.map(measure(subject, driver, plan), (row) => withGoal(row, subject, driver, plan))
    ).pipe(
      Effect.provide(
        Layer.merge(target.runner([subject.behaviour]).pipe(Layer.provide(subject.services)), bare(target))
      )
    )
  }).pipe(Effect.scoped)

export const steps = of(Subjects.steps, [1, 10, 100])
export const agent = of(Subjects.agent, [1, 10, 100])
export const decoded = of(Subjects.agentDecoded, [1])
