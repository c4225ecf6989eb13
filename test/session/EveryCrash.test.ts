/**
 * The runner is killed at every call that it makes to its store, before it and after its commit: a session of all kinds
 * of steps always ends in the same final state (I1, I2, I4, I5, I6).
 */
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, FastCheck as fc } from "effect"
import { Arbitraries, type TestRunner } from "../../src/testing/index.ts"
import { Liar, run, runSmall } from "./workload.ts"

const soak = process.env["PERDURE_SOAK"] !== undefined

type Run = typeof run

/** Runs one schedule, and names it where it fails: `npx vitest run test/session/EveryCrash` with it is the scenario. */
const attempt = (run: Run, crashes: ReadonlyArray<TestRunner.Crash>) =>
  run(crashes).pipe(
    Effect.catchAllCause((cause) =>
      Effect.die(new Error(`with crashes ${JSON.stringify(crashes)}: ${String(cause)}`, { cause }))
    )
  )

const whens = ["before", "after-commit"] as const

describe("a session of all kinds of steps", () => {
  it.live("ends as it should when nothing crashes", () =>
    Effect.gen(function* () {
      expect((yield* attempt(run, [])).crashes).toBe(0)
    })
  )

  for (const when of whens) {
    it.live(
      `ends the same when its runner is killed ${when} any call of the store`,
      () =>
        Effect.gen(function* () {
          let runs = 0
          for (let storeCall = 1; ; storeCall++) {
            const { crashes } = yield* attempt(run, [{ storeCall, when }])
            if (crashes === 0) break
            runs++
          }
          expect(runs).toBeGreaterThan(30)
        }),
      120_000
    )
  }

  it.live(
    "ends the same whatever schedule of crashes befalls it",
    () =>
      Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(
            Arbitraries.crashes({ storeCalls: 80, steps: ["model", "tool", "tool:book", "tool:pay"] }),
            (crashes) => Effect.runPromise(attempt(run, crashes)).then(() => undefined)
          ),
          { numRuns: soak ? 2_000 : 20, endOnFailure: true }
        )
      ),
    soak ? 1_200_000 : 120_000
  )
})

describe("a session of one tool that may not be repeated", () => {
  it.live(
    soak
      ? "ends the same after crashes in all pairs"
      : "ends the same after crashes in pairs, each call with the next few",
    () =>
      Effect.gen(function* () {
        const { calls } = yield* attempt(runSmall, [])
        let runs = 0
        for (let first = 1; first <= calls; first++) {
          // A life of a runner makes about 15 calls before it works; all that follows is within twice of that.
          const distance = soak ? calls + 20 : 1
          for (const when of whens) {
            for (let second = first + 1; second <= first + distance; second++) {
              for (const then of whens) {
                yield* attempt(runSmall, [
                  { storeCall: first, when },
                  { storeCall: second, when: then }
                ])
                runs++
              }
            }
          }
        }
        expect(runs).toBeGreaterThan(4 * calls - 1)
      }),
    soak ? 1_200_000 : 120_000
  )

  it.live("and these checks find a runtime that repeats it", () =>
    Effect.gen(function* () {
      const { calls } = yield* runSmall([], Liar)
      const found: Array<string> = []
      for (let storeCall = 1; storeCall <= calls; storeCall++) {
        const exit = yield* Effect.exit(runSmall([{ storeCall, when: "before" }], Liar))
        if (Exit.isFailure(exit)) found.push(Cause.pretty(exit.cause))
      }
      expect(found.length).toBeGreaterThan(0)
      expect(found[0]).toContain("ran at most once (I5)")
    })
  )
})
