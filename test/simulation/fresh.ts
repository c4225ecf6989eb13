/** Fresh seeds, as many as fit the time: what nobody has tried before. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Simulation } from "../../src/testing/index.ts"
import { given, nature } from "./agents.ts"

/** How long a file searches, in real milliseconds: three minutes of `npm test`, or as long as it takes in a soak. */
const soak = process.env["PERDURE_SOAK"] === "1"
const searchMs = soak ? 6 * 60 * 60 * 1000 : 170_000
/** How many runs a file makes at most. */
const runsMax = soak ? 50_000 : 20_000

/** Searches with a workload until the time is up. */
export const search = (name: string, workload: Simulation.Workload, share = 1) =>
  describe("fresh seeds", () => {
    it.live(
      `nothing breaks an invariant, whatever goes wrong: ${name}`,
      () =>
        Effect.gen(function* () {
          const explored = yield* Simulation.explore({
            ...given,
            repeatable: nature,
            workload,
            seeds: Math.ceil(runsMax * share),
            atMostMs: searchMs * share,
            command: `npm run simulate -- --workload ${name} --seed %s`
          })
          // Shown, so that a run that found nothing can be had again.
          yield* Effect.sync(() =>
            process.stdout.write(
              `simulated ${name}: ${explored.runs} runs from base seed ${explored.base}, ${explored.faults} faults, ${Math.round(explored.virtualMs / 60_000)} minutes of their time\n`
            )
          )
          assert.isAbove(explored.runs, 0)
        }),
      { timeout: searchMs + 120_000, retry: 0 }
    )
  })
