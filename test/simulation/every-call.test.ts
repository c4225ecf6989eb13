/**
 * Every call of the store, and what can become of it: its process dies before or after its commit; in a soak also: its
 * answer is lost, or it is committed when nobody expects it any more.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fates from "./fates.ts"
import { smallOnes } from "./features.ts"

describe("whatever becomes of any call of the store", { retry: 0 }, () => {
  for (const feature of smallOnes) {
    it.live(
      `${feature}: all invariants hold`,
      () =>
        Effect.gen(function* () {
          const { storeCalls } = yield* Fates.holds(feature, [])
          expect(storeCalls).toBeGreaterThan(15)
          for (let call = 1; call <= storeCalls; call++) {
            for (const fate of Fates.all) {
              yield* Fates.holds(feature, [[call, fate]])
              yield* Effect.sleep(0)
            }
          }
        }),
      Fates.timeout
    )
  }
})
