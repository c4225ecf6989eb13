/** What becomes of some calls of the store, by number: the same calls in each run of a seed, until the first of them. */
import { Effect } from "effect"
import { Simulation } from "../../src/testing/index.ts"
import type { Wraps } from "../../src/testing/internal/sim/Fleet.ts"
import type { Fate } from "../../src/testing/internal/sim/Database.ts"
import { given, nature } from "./agents.ts"
import { type Feature, features } from "./features.ts"

export const soak = process.env["PERDURE_SOAK"] === "1"
/** How long a test of many runs may take, in real milliseconds: its processor may be slow, and others may use it too. */
export const timeout = soak ? 6 * 60 * 60 * 1000 : 20 * 60_000

/** Deaths in each test run; in a soak also answers that are lost, and commits that come when nobody expects them. */
export const all: ReadonlyArray<Fate> = soak ? ["before", "after", "lost", "late"] : ["before", "after"]

export type Fates = ReadonlyArray<readonly [call: number, fate: Fate]>

/** `12:before,30:lost` */
const print = (fates: Fates): string => fates.map(([call, fate]) => `${call}:${fate}`).join()

/** Reads what is printed for a failure. */
export const parse = (text: string): Fates =>
  text.split(",").map((one) => {
    const [call, fate] = one.split(":")
    return [Number(call), fate as Fate]
  })

export const crash =
  (fates: Fates) =>
  ({ number }: { readonly number: number }): Fate | null =>
    fates.find(([call]) => call === number)?.[1] ?? null

const seed = "fates"
const runners = 2

/** Two runners that nothing befalls but what these calls meet. */
export const run = (feature: Feature, fates: Fates, more: { readonly wraps?: Wraps | undefined } = {}) =>
  Simulation.run({
    ...given,
    ...more,
    repeatable: nature,
    workload: features[feature],
    seed,
    runners,
    fair: true,
    faults: [],
    crash: crash(fates)
  })

/** Runs it, and fails with how to see it again if it breaks an invariant. */
export const holds = (feature: Feature, fates: Fates): Effect.Effect<Simulation.Report, Simulation.InvariantBroken> =>
  Effect.flatMap(run(feature, fates), (report) =>
    report.violations.length === 0
      ? Effect.succeed(report)
      : Effect.fail(
          Simulation.broken(
            report,
            `npm run simulate -- --seed %s --workload ${feature} --runners ${runners} --fair --fates ${print(fates)}`
          )
        )
  )
