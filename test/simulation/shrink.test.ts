/** What a failing seed says: as little as it takes, and how to see it again. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Simulation } from "../../src/testing/index.ts"
import { given, nature } from "./agents.ts"
import { features } from "./features.ts"

/** A planted bug: what is in doubt is run again. */
const forgetful: Simulation.Wraps = {
  behaviour: ({ decide, ...behaviour }) => ({
    ...behaviour,
    decide: (state, session) =>
      decide(state, session).map((action) =>
        action._tag === "Step" ? { ...action, repeatable: "idempotent" as const } : action
      )
  })
}

const options = { ...given, repeatable: nature, workload: features.queue, wraps: forgetful, fair: true }

describe("a failing seed", () => {
  it.effect(
    "is told with the invariant, the seed, the faults that it takes and no other, and the end of its trace",
    () =>
      Effect.gen(function* () {
        // The slow tool of the first message has its effect after 0.3 s, and ends after 1 s.
        const faults: ReadonlyArray<Simulation.Fault> = [
          { _tag: "Cut", at: 10 },
          { _tag: "Jump", at: 20, runner: 2, ms: 500 },
          ...[1, 2, 3].map((runner) => ({
            _tag: "Kill" as const,
            at: 700,
            runner,
            downMs: 100,
            silently: false,
            moved: false
          })),
          { _tag: "Slow", at: 2_000, ms: 100, times: 10 }
        ]
        const error = yield* Effect.flip(
          Simulation.explore({ ...options, faults, seeds: 20, base: "told", command: "npm run simulate -- --seed %s" })
        )
        assert.strictEqual(error._tag, "InvariantBroken")
        assert.include(error.violations, "I5")
        const left = JSON.parse(error.faults) as ReadonlyArray<Simulation.Fault>
        assert.deepStrictEqual(
          left.map(({ _tag }) => _tag),
          ["Kill"],
          "nothing else is needed"
        )
        assert.include(error.message, `npm run simulate -- --seed ${error.seed} --faults '[{"_tag":"Kill"`)
        assert.match(error.message, /!!! slow of step \d+ attempt 2/)
        const again = yield* Simulation.run({ ...options, seed: error.seed, faults: left })
        assert.isTrue(again.violations.some(({ invariant }) => invariant === "I5"))
      })
  )

  it.effect("that waits for the real world is told where it does", () =>
    Effect.gen(function* () {
      const report = yield* Simulation.run({
        ...options,
        seed: "real",
        faults: [],
        workload: features.book,
        wraps: {
          behaviour: (behaviour) => ({
            ...behaviour,
            perform: (...args) =>
              Effect.zipRight(
                Effect.async<void>((resume) => void setTimeout(() => resume(Effect.void), 1)),
                behaviour.perform(...args)
              )
          })
        }
      })
      const [violation] = report.violations
      assert.strictEqual(violation?.invariant, "liveness")
      assert.include(violation?.what, "waits for nothing simulated: setTimeout")
      assert.include(violation?.what, "shrink.test.ts")
    })
  )
})
