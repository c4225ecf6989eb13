/**
 * Every call of the store, and what can become of it: its process dies before or after its commit; in a soak also: its
 * answer is lost, or it is committed when nobody expects it any more. Where there are many, a test run takes each second
 * or fourth, beginning with a fresh one.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fates from "./fates.ts"
import { smallOnes } from "./features.ts"

const callsMax = Fates.soak ? Number.POSITIVE_INFINITY : 75

describe("whatever becomes of any call of the store", { retry: 0 }, () => {
  for (const feature of smallOnes) {
    it.live(
      `${feature}: all invariants hold`,
      () =>
        Effect.gen(function* () {
          const { storeCalls } = yield* Fates.holds(feature, [])
          expect(storeCalls).toBeGreaterThan(15)
          const stride = Math.max(1, Math.ceil(storeCalls / callsMax))
          const first = 1 + Math.floor(Math.random() * stride)
          for (let call = first; call <= storeCalls; call += stride) {
            for (const fate of Fates.all) {
              yield* Fates.holds(feature, [[call, fate]])
            }
          }
        }),
      Fates.timeout
    )
  }
})
