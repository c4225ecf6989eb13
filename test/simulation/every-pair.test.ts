/** Every pair of calls of the store, and what can become of them: all pairs in a soak, otherwise those that are close. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { bugs } from "../testing/simulation/bugs.ts"
import * as Fates from "./fates.ts"
import { smallOnes } from "./features.ts"

const distance = Fates.soak ? Number.POSITIVE_INFINITY : 1
const tried = Fates.soak ? smallOnes : (["book"] as const)

describe("whatever becomes of any two calls of the store", { retry: 0 }, () => {
  for (const feature of tried) {
    it.live(
      `${feature}: all invariants hold`,
      () =>
        Effect.gen(function* () {
          const { storeCalls } = yield* Fates.holds(feature, [])
          for (let first = 1; first <= storeCalls; first++) {
            // The second may come after the end of what was: the first has made it longer.
            for (let second = first + 1; second <= Math.min(storeCalls + 20, first + distance); second++) {
              for (const one of Fates.all) {
                for (const other of Fates.all) {
                  yield* Fates.holds(feature, [
                    [first, one],
                    [second, other]
                  ])
                }
              }
            }
          }
        }),
      Fates.timeout
    )
  }
})

it.live("and a runtime that repeats what is in doubt is found so", () =>
  Effect.gen(function* () {
    const liar = bugs.find(({ name }) => name === "a step in doubt is run again")!
    const { storeCalls } = yield* Fates.run("book", [])
    let found = 0
    for (let call = 1; call <= storeCalls && found === 0; call++) {
      for (const fate of Fates.all) {
        const { violations } = yield* Fates.run("book", [[call, fate]], { wraps: liar.wraps() })
        if (violations.some(({ invariant }) => invariant === "I5")) found++
      }
    }
    expect(found).toBeGreaterThan(0)
  })
)
