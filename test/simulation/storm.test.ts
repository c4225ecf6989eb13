/** No storm (B4), whatever happens to the runners; and a limiter that forgets when it moves is found out. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Simulation } from "../../src/testing/index.ts"
import { kinds, roomy, storm, storming } from "./storm.ts"

const searchMs = process.env["PERDURE_SOAK"] === "1" ? 30 * 60_000 : 20_000

describe("more calls than a provider allows", () => {
  it.live(
    "get through as it allows them, none is lost, and no runner that dies lets a second window's worth through",
    () =>
      Effect.gen(function* () {
        const { base, runs } = yield* Simulation.explore({
          ...storming,
          workload: storm,
          kinds,
          seeds: 10_000,
          atMostMs: searchMs,
          command: "npm run simulate -- --workload storm --seed %s"
        })
        yield* Effect.sync(() => process.stdout.write(`simulated storm: ${runs} runs from base seed ${base}\n`))
        assert.isAbove(runs, 0)
      }),
    { timeout: searchMs + 120_000, retry: 0 }
  )

  it.live(
    "are let through twice by a limiter that forgets when it moves, and the simulator finds that",
    () =>
      Effect.gen(function* () {
        for (let n = 0; n < 30; n++) {
          const runner = 1 + (n % 3)
          const report = yield* Simulation.run({
            ...storming,
            workload: storm,
            runners: 3,
            fair: true,
            faults: [{ _tag: "Kill", at: 5_000 + n * 100, runner, downMs: 500, silently: false, moved: false }],
            wraps: { lanes: { forgets: true } },
            seed: `forgets/${n}`
          })
          if (report.violations.some(({ invariant }) => invariant === "storm")) return
        }
        assert.fail("not found in 30 runs")
      }),
    120_000
  )
})

/** Machines that stand still for a second, again and again, each time between two other lines. */
const pauses = (n: number): ReadonlyArray<Simulation.Fault> =>
  Array.from({ length: 90 }, (_, i) => ({
    _tag: "Jump",
    at: 1_000 + i * 67,
    runner: 1 + (i % 3),
    ms: 1_001,
    reads: 1 + ((n * 7 + i) % 29)
  }))

describe("fewer calls than a provider allows", () => {
  const run = (n: number, looksTwice: boolean) =>
    Simulation.run({
      ...roomy,
      workload: storm,
      runners: 3,
      fair: true,
      faults: pauses(n),
      wraps: { lanes: { looksTwice } },
      seed: `pauses/${n}`
    })

  it.live(
    "begin, though their machine stands still while they are let through",
    () =>
      Effect.gen(function* () {
        for (let n = 0; n < 8; n++) assert.deepStrictEqual((yield* run(n, false)).violations, [])
      }),
    120_000
  )

  it.live(
    "do not, where whoever takes what was free looks at the clock once more, and the simulator finds that",
    () =>
      Effect.gen(function* () {
        for (let n = 0; n < 30; n++) {
          if ((yield* run(n, true)).violations.some(({ invariant }) => invariant === "I13")) return
        }
        assert.fail("not found in 30 runs")
      }),
    120_000
  )
})
