import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { FailureClass } from "../../src/domain/Failure.ts"
import { Breaker, defaults, speaks } from "../../src/resilience/Breaker.ts"

const failing = (breaker: Breaker, times: number, now = 0) => {
  for (let n = 0; n < times; n++) breaker.failed(now, false)
}

describe("a breaker", () => {
  it("opens after failures in a row, is half-open when its time is over, and closes when a probe is answered", () => {
    const breaker = new Breaker()
    failing(breaker, defaults.failures - 1)
    assert.strictEqual(breaker.state(0), "closed")
    failing(breaker, 1)
    assert.strictEqual(breaker.state(0), "open")
    assert.strictEqual(breaker.until(0), defaults.openMs)
    assert.isFalse(breaker.admits(defaults.openMs - 1))
    assert.isTrue(breaker.admits(defaults.openMs))
    assert.isTrue(breaker.begin(defaults.openMs))
    // One at a time.
    assert.isFalse(breaker.admits(defaults.openMs))
    breaker.succeeded(true)
    assert.strictEqual(breaker.state(defaults.openMs), "closed")
  })

  it("stays open for longer after each probe that fails, and no longer than its bound", () => {
    const breaker = new Breaker()
    failing(breaker, defaults.failures)
    let now = 0
    const open: Array<number> = []
    for (let n = 0; n < 6; n++) {
      const until = breaker.until(now)!
      open.push(until - now)
      now = until
      assert.isTrue(breaker.begin(now))
      breaker.failed(now, true)
    }
    assert.deepStrictEqual(open, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000])
  })

  it("opens at a share of failures, though some calls are answered, but not where half of them fail", () => {
    const mostly = new Breaker()
    for (let n = 0; mostly.state(0) === "closed"; n++) {
      assert.isBelow(n, 100)
      if (n % 6 === 5) mostly.succeeded(false)
      else mostly.failed(0, false)
    }
    const half = new Breaker()
    for (let n = 0; n < 1_000; n++) {
      if (n % 2 === 0) half.succeeded(false)
      else half.failed(0, false)
    }
    assert.strictEqual(half.state(0), "closed")
  })

  it("does not open anew for what was sent before it opened", () => {
    const breaker = new Breaker()
    failing(breaker, defaults.failures)
    failing(breaker, 50, 4_000)
    assert.strictEqual(breaker.until(4_000), defaults.openMs)
  })

  it("counts what speaks of the provider, and nothing else", () => {
    assert.deepStrictEqual(FailureClass.literals.filter(speaks), ["Overloaded", "Unreachable", "TimedOut"])
  })

  it("never has more probes out than it may, and always comes to let one go, whatever happens", () => {
    const event = fc.record({
      wait: fc.integer({ min: 0, max: 20_000 }),
      what: fc.constantFrom("begin", "answering", "answered", "failed", "lost", "retryAfter"),
      which: fc.nat(20)
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 200 }), fc.integer({ min: 1, max: 3 }), (events, probes) => {
        const breaker = new Breaker({ ...defaults, probes, failures: 3 })
        const out: Array<{ readonly probe: boolean; answering: boolean }> = []
        let now = 0
        for (const { wait, what, which } of events) {
          now += wait
          if (what === "begin") {
            if (breaker.admits(now)) out.push({ probe: breaker.begin(now), answering: false })
            else assert.notStrictEqual(breaker.state(now), "closed")
          } else if (what === "answering") {
            const one = out[which % Math.max(1, out.length)]
            if (one === undefined || one.answering) continue
            if (one.probe) breaker.answering()
            one.answering = true
          } else if (out.length > 0) {
            const { answering, probe } = out.splice(which % out.length, 1)[0]!
            if (what === "answered") breaker.succeeded(probe, answering)
            else if (what === "lost") breaker.forgotten(probe, answering)
            else breaker.failed(now, probe, what === "retryAfter" ? 3_600_000 : 0, answering)
          }
          assert.isAtMost(out.filter(({ answering, probe }) => probe && !answering).length, probes)
        }
        for (const { answering, probe } of out) breaker.forgotten(probe, answering)
        assert.isTrue(breaker.admits(now + defaults.openMostMs))
      })
    )
  })
})
