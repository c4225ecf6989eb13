/** The simulator is tried too: each planted bug has to be found within a bounded number of seeds. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Simulation } from "../../../src/testing/index.ts"
import { given, nature } from "../../simulation/agents.ts"
import { mixed } from "../../simulation/features.ts"
import { bugs } from "./bugs.ts"

/** Seeds that a bug may take. */
const most = 60

describe("the simulator", { retry: 0 }, () => {
  for (const { breaks, faults, name, where, wraps } of bugs) {
    it.live(
      `finds that ${name} (${breaks.join(", ")})`,
      () =>
        Effect.gen(function* () {
          for (let n = 0; n < most; n++) {
            const report = yield* Simulation.run({
              ...given,
              repeatable: nature,
              workload: mixed,
              runners: 3,
              ...where,
              faults: faults?.(n),
              wraps: wraps(),
              seed: `${name}/${n}`
            })
            if (report.violations.some(({ invariant }) => breaks.includes(invariant))) return
          }
          expect.fail(`not found in ${most} runs`)
        }),
      120_000
    )
  }
})
