import { describe, expect, it } from "@effect/vitest"
import { Breaker, RateLimits } from "../../src/resilience/index.ts"

const refusal = (limit: object) => expect(() => RateLimits.layer({ sonnet: limit }))

describe("RateLimits.layer", () => {
  it("takes what can work, and fills in what is left out", () => {
    const limits = { sonnet: { requests: 50, per: "1 second", breaker: { failures: 3 } } } as const
    expect(() => RateLimits.layer(limits)).not.toThrow()
    expect(RateLimits.named(limits, "sonnet").breaker).toEqual({
      ...Breaker.defaults,
      failures: 3
    })
  })

  it("refuses a breaker that would open for ever, or never, where it is written", () => {
    refusal({ breaker: { failures: 0 } }).toThrow(
      'the rate limit of "sonnet": breaker: failures is to be a whole number from 1 on, not 0'
    )
    refusal({ breaker: { probes: 0 } }).toThrow("breaker: probes is to be a whole number from 1 on, not 0")
    refusal({ breaker: { answers: 1.5 } }).toThrow("breaker: answers")
    refusal({ breaker: { of: Number.POSITIVE_INFINITY } }).toThrow("breaker: of")
    refusal({ breaker: { share: Number.NaN } }).toThrow("breaker: share is to be above 0 and at most 1, not NaN")
    refusal({ breaker: { openMs: -1 } }).toThrow("breaker: openMs is to be a number of milliseconds above 0, not -1")
    refusal({ breaker: { openMs: 90_000 } }).toThrow("breaker: openMostMs")
    refusal({ breaker: { treshold: 3 } }).toThrow('breaker: there is no "treshold": it has failures')
  })

  it("refuses numbers that are none, times that are none, and names that it does not know", () => {
    refusal({ requests: 0 }).toThrow("requests is to be a number from 1 on, not 0")
    refusal({ per: "-3 seconds" }).toThrow('per is to be a time that is longer than nothing, such as "1 minute"')
    refusal({ per: "a while" }).toThrow("per is to be a time")
    refusal({ models: [] }).toThrow("models is empty")
    refusal({ rpm: 50 }).toThrow('there is no "rpm": a limit has requests')
  })
})
