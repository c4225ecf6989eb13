/**
 * A cluster under fire: real runners, a real Postgres, real subprocesses, and clients in two processes. Whatever is killed,
 * stopped, cut or lost, what is left is checked against the invariants by the simulator's checks: of I1 to I7 and liveness, with the joins of their
 * witnesses tried in each run (`awake.ts`). Its agents meet no limits and have no children: I8 and I10 are the simulator's.
 *
 * `PERDURE_CHAOS_SEED` chooses another run of faults, `PERDURE_CHAOS_FAULTS` is a plan as JSON, `PERDURE_SOAK` the long form.
 * `PERDURE_CHAOS_KEEP` is a file for all that happened.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Prng } from "../../src/testing/internal/sim/Prng.ts"
import { allKinds, draw, type Fault } from "./Plan.ts"
import { type Report, run } from "./run.ts"

const isLong = process.env["PERDURE_SOAK"] === "1"
const seed = process.env["PERDURE_CHAOS_SEED"] ?? String(Date.now() % 1_000_000)

const keep = process.env["PERDURE_CHAOS_KEEP"]

const planned = (otherwise: ReadonlyArray<Fault>): ReadonlyArray<Fault> => {
  const given = process.env["PERDURE_CHAOS_FAULTS"]
  return given === undefined ? otherwise : (JSON.parse(given) as ReadonlyArray<Fault>)
}

const tell = (line: string) => void process.stderr.write(`${line}\n`)

const judge = (faults: ReadonlyArray<Fault>, report: Report) => {
  tell(report.table)
  if (report.violations.length === 0) {
    assert.deepStrictEqual(report.unseen, [], "the checks are blind for these")
    return
  }
  const listed = report.violations.map(
    ({ invariant, session, what }) => `  ${invariant}${session === null ? "" : ` (${session})`}: ${what}`
  )
  assert.fail(
    `seed ${seed} breaks ${listed.length}:\n${listed.slice(0, 60).join("\n")}\nIts faults: ${JSON.stringify(faults)}\n${report.words()}`
  )
}

// What is found once is found: another try would be another run.
describe("a cluster under fire", { retry: 0 }, () => {
  it.scopedLive.skipIf(isLong)(
    "in twenty seconds of trouble nothing is lost, nothing is doubled, nothing is left behind",
    () =>
      Effect.gen(function* () {
        const random = new Prng(seed).fork("plan")
        // What takes a minute to be noticed is for the long form.
        const kinds = allKinds.filter((kind) => kind !== "DbForgets")
        const faults = planned(draw(random, { kinds, count: 12, fromMs: 1500, untilMs: 21_000, longestMs: 3000 }))
        tell(`PERDURE_CHAOS_SEED=${seed}`)
        const report = yield* run({ seed, faults, runners: 3, most: 4, here: 5, away: 2, boundMs: 120_000, tell, keep })
        judge(faults, report)
      }),
    240_000
  )

  it.scopedLive.skipIf(!isLong)(
    "in ten minutes of it, neither",
    () =>
      Effect.gen(function* () {
        const random = new Prng(seed).fork("plan")
        const faults = planned(
          draw(random, { kinds: allKinds, count: 150, fromMs: 3000, untilMs: 595_000, longestMs: 8000 })
        )
        tell(`PERDURE_CHAOS_SEED=${seed}`)
        const report = yield* run({ seed, faults, runners: 3, most: 5, here: 8, away: 3, boundMs: 120_000, tell, keep })
        judge(faults, report)
        const done = report.injected.filter(({ what }) => what !== null)
        assert.isAtLeast(done.length, 100)
        assert.isAtLeast(new Set(done.map(({ fault }) => fault._tag)).size, 8)
      }),
    900_000
  )
})
