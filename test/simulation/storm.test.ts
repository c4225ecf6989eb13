/** No storm (B4), whatever happens to the runners; and a limiter that forgets when it moves is found out. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Simulation } from "../../src/testing/index.ts"
import { kinds, storm, storming } from "./storm.ts"

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
