import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { firstAtOnce, Limiter, type Rates } from "../../src/resilience/Limiter.ts"
import { Meter } from "../../src/resilience/internal/Meter.ts"

/** A provider that counts what it gets. */
interface Server {
  /** Whether it takes a request at `at`. */
  readonly takes: (at: number, tokens: number) => boolean
}

/** Counts in windows that begin at `phase`. */
const fixed = (limit: number, perMs: number, phase: number): Server => {
  let window = Number.NaN
  let count = 0
  return {
    takes: (at) => {
      const now = Math.floor((at - phase) / perMs)
      if (now !== window) count = 0
      window = now
      return ++count <= limit
    }
  }
}

/** Counts what came in the last `perMs`. */
const sliding = (limit: number, perMs: number, weigh: (tokens: number) => number = () => 1): Server => {
  let log: Array<{ readonly at: number; readonly weight: number }> = []
  return {
    takes: (at, tokens) => {
      log = log.filter((one) => one.at > at - perMs)
      log.push({ at, weight: weigh(tokens) })
      return log.reduce((sum, { weight }) => sum + weight, 0) <= limit
    }
  }
}

/** Gives back what it takes bit by bit. */
const bucket = (limit: number, perMs: number): Server => {
  let level = limit
  let last = 0
  return {
    takes: (at) => {
      level = Math.min(limit, level + ((at - last) * limit) / perMs)
      last = at
      if (level < 1) return false
      level--
      return true
    }
  }
}

interface Call {
  /** Milliseconds until the next one wants to begin. */
  readonly after: number
  /** Milliseconds until it arrives, and from there until it is answered, and to its end. */
  readonly there: number
  readonly answer: number
  readonly rest: number
  readonly tokens: number
  readonly guessed: number
  /** Whether it is given back instead of being used. */
  readonly unused: boolean
}

const call = (tokensMost = 100): fc.Arbitrary<Call> =>
  fc.record({
    after: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 400 })),
    there: fc.integer({ min: 0, max: 300 }),
    answer: fc.integer({ min: 0, max: 300 }),
    rest: fc.integer({ min: 0, max: 2_000 }),
    tokens: fc.integer({ min: 1, max: tokensMost }),
    guessed: fc.integer({ min: 1, max: tokensMost }),
    unused: fc.boolean()
  })

interface Ran {
  readonly sent: number
  readonly refused: number
  readonly endedAt: number
  readonly most: number
}

/** Lets calls begin as soon as the limiter lets them, in their order, against a server. */
const run = (limiter: Limiter, calls: ReadonlyArray<Call>, server: Server, retryAfterMs?: number): Ran => {
  type Event = { readonly at: number; readonly rank: number; readonly then: () => void }
  const events: Array<Event> = []
  let now = 0
  let wanted = 0
  let sent = 0
  let refused = 0
  let most = 0
  const again: Array<Call> = []
  const on = (at: number, rank: number, then: () => void) => {
    const i = events.findIndex((event) => event.at > at || (event.at === at && event.rank > rank))
    events.splice(i < 0 ? events.length : i, 0, { at, rank, then })
  }
  const waiting: Array<Call> = []
  let at = 0
  for (const one of calls) {
    at += one.after
    wanted++
    on(at, 1, () => {
      waiting.push(one)
    })
  }
  const begin = (one: Call) => {
    const number = limiter.grant(now, one.guessed)
    most = Math.max(most, limiter.running)
    if (one.unused && !again.includes(one)) {
      again.push(one)
      return on(now + one.there, 0, () => {
        limiter.unused(number)
        waiting.push(one)
      })
    }
    on(now + one.there, 0, () => {
      sent++
      const takes = server.takes(now, one.tokens)
      on(now + one.answer, 0, () => {
        if (!takes) {
          refused++
          limiter.refused(number, now, retryAfterMs)
          waiting.push(one)
          return
        }
        limiter.seen(number, now)
        on(now + one.rest, 0, () => limiter.ended(number, now, one.tokens))
      })
    })
  }
  for (let steps = 0; ; steps++) {
    if (steps > 200_000) throw new Error("it never ends")
    const next = events.shift()
    if (next !== undefined) {
      now = next.at
      next.then()
    }
    while (waiting.length > 0 && limiter.fits(now, waiting[0]!.guessed)) begin(waiting.shift()!)
    if (waiting.length > 0) {
      const due = limiter.nextAt(now, waiting[0]!.guessed)
      if (due !== null) on(due, 2, () => {})
      else if (events.length === 0) throw new Error("nothing is under way, and the limiter waits for it")
    } else if (events.length === 0) break
  }
  assert.isAtLeast(sent, wanted)
  return { sent, refused, endedAt: now, most }
}

const perMs = 1_000
const some = fc.array(call(), { minLength: 1, maxLength: 120 })

describe("a limiter that knows the limit", () => {
  const limited = (rates: Partial<Rates>) => new Limiter({ perMs, ...rates })

  it("never exceeds it, however the provider counts and whatever the way to it takes", () => {
    fc.assert(
      fc.property(
        some,
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 0, max: perMs }),
        (calls, requests, phase) => {
          for (const server of [fixed(requests, perMs, phase), sliding(requests, perMs), bucket(requests, perMs)]) {
            assert.strictEqual(run(limited({ requests }), calls, server).refused, 0)
          }
        }
      ),
      { numRuns: 60 }
    )
  })

  it("uses what it may: all of it in each window, but for what the way takes", () => {
    const calls = Array.from({ length: 100 }, () => ({
      after: 0,
      there: 5,
      answer: 5,
      rest: 500,
      tokens: 1,
      guessed: 1,
      unused: false
    }))
    // Ten windows of ten, each with its 10 milliseconds there and back.
    assert.isAtMost(run(limited({ requests: 10 }), calls, sliding(10, perMs)).endedAt, 9 * (perMs + 11) + 510)
  })

  it("never has more tokens in a window than the provider allows, where they are known before", () => {
    fc.assert(
      fc.property(some, fc.integer({ min: 100, max: 400 }), (calls, tokens) => {
        const exact = calls.map((one) => ({ ...one, guessed: one.tokens }))
        assert.strictEqual(
          run(
            limited({ tokens }),
            exact,
            sliding(tokens, perMs, (weight) => weight)
          ).refused,
          0
        )
      }),
      { numRuns: 60 }
    )
  })

  it("corrects what it thought a call would use by what it used", () => {
    const limiter = limited({ tokens: 100 })
    const number = limiter.grant(0, 90)
    assert.isFalse(limiter.fits(0, 20))
    limiter.ended(number, 0, 10)
    assert.isTrue(limiter.fits(0, 90))
    assert.isFalse(limiter.fits(0, 91))
    assert.strictEqual(limiter.nextAt(0, 91), perMs)
  })

  it("lets one go alone that is larger than the limit", () => {
    const limiter = limited({ tokens: 100 })
    assert.isTrue(limiter.fits(0, 1_000))
    const number = limiter.grant(0, 1_000)
    assert.isFalse(limiter.fits(0, 1))
    limiter.ended(number, 0)
    assert.strictEqual(limiter.nextAt(0, 1), perMs)
  })

  it("never has more calls at once", () => {
    fc.assert(
      fc.property(some, fc.integer({ min: 1, max: 5 }), (calls, concurrent) => {
        const limiter = limited({ concurrent, requests: 50 })
        assert.isAtMost(run(limiter, calls, sliding(50, perMs)).most, concurrent)
      }),
      { numRuns: 40 }
    )
  })

  it("counts what another has spent until its window is over", () => {
    const before = limited({ requests: 4 })
    const [a, b] = [before.grant(0, 1), before.grant(0, 1)]
    before.ended(a, 100)
    const after = limited({ requests: 4 })
    after.inherit(500, before.spent(500))
    assert.isTrue(after.fits(500, 1))
    after.grant(500, 1)
    after.grant(500, 1)
    assert.isFalse(after.fits(500, 1))
    // What was answered at 100 is forgotten first, never before its time.
    const due = after.nextAt(500, 1)!
    assert.isAtLeast(due, 100 + perMs)
    assert.isAtMost(due, 100 + perMs + perMs / 16)
    before.ended(b, 500)
  })
})

describe("a limiter that knows nothing", () => {
  it("begins with a few, and learns from each answer that more is taken", () => {
    const limiter = new Limiter({ perMs })
    const begun: Array<number> = []
    while (limiter.fits(0, 1)) begun.push(limiter.grant(0, 1))
    assert.strictEqual(begun.length, firstAtOnce)
    for (const number of begun) limiter.ended(number, 10)
    begun.length = 0
    while (limiter.fits(10, 1)) begun.push(limiter.grant(10, 1))
    assert.strictEqual(begun.length, 2 * firstAtOnce)
  })

  it("has one wait for all after a refusal, and the next window is the size of what was taken", () => {
    const limiter = new Limiter({ perMs: 60_000 })
    let now = 0
    let sent = 0
    let taken = 0
    let refused = 0
    const perWindow: Array<number> = []
    // 50 in two seconds are taken; it is never said, only refused.
    for (let window = 0; window < 20; window++) {
      let left = 50
      const end = (window + 1) * 2_000
      const before = refused
      while (now < end) {
        const batch: Array<number> = []
        while (limiter.fits(now, 1)) batch.push(limiter.grant(now, 1))
        now += 10
        sent += batch.length
        for (const number of batch) {
          if (left-- > 0) {
            limiter.ended(number, now)
            taken++
          } else {
            refused++
            limiter.refused(number, now, end - now)
          }
        }
      }
      perWindow.push(refused - before)
    }
    assert.isAtLeast(taken, 20 * 50 * 0.9)
    assert.isAtMost(sent, 20 * 50 * 1.1, `refused a window: ${perWindow}`)
  })

  it("learns from a time of refusals once, however late those come that were under way", () => {
    const limiter = new Limiter({ perMs: 1_000 })
    for (let now = 0; now < 1_000; now += 10) limiter.ended(limiter.grant(now, 1), now)
    const late = Array.from({ length: 100 }, () => limiter.grant(1_000, 1))
    limiter.refused(late[0]!, 1_000, 100)
    const { requestLimit } = limiter
    assert.isAtLeast(requestLimit!, 90)
    late.slice(1).forEach((number, n) => {
      const now = 1_500 + 10 * n
      limiter.refused(number, now, 5)
      assert.isFalse(limiter.fits(now, 1))
    })
    assert.strictEqual(limiter.requestLimit, requestLimit)
    assert.isTrue(limiter.fits(3_000, 1))
  })

  it("tries one again after five minutes that asked for longer", () => {
    const limiter = new Limiter({ perMs: 60_000 })
    limiter.refused(limiter.grant(0, 1), 0, 365 * 24 * 3_600_000)
    assert.strictEqual(limiter.nextAt(0, 1), 300_000)
  })

  it("goes on after refusals that do not say for how long, later each time", () => {
    const limiter = new Limiter({ perMs: 60_000 })
    const waits: Array<number> = []
    let now = 0
    for (let n = 0; n < 8; n++) {
      limiter.refused(limiter.grant(now, 1), now)
      const next = limiter.nextAt(now, 1)!
      waits.push(next - now)
      now = next
    }
    assert.deepStrictEqual(waits.slice(0, 7), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000])
  })

  it("ends, whatever the provider refuses, and sends little that is", () => {
    fc.assert(
      fc.property(some, fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: perMs }), (calls, limit, phase) => {
        for (const server of [fixed(limit, perMs, phase), bucket(limit, perMs)]) {
          const { endedAt, refused } = run(new Limiter({ perMs }), calls, server, 300)
          // What is out when the first is refused, and then a few a window.
          assert.isAtMost(refused, 2 * firstAtOnce + 8 * Math.ceil(endedAt / 300))
        }
      }),
      { numRuns: 40 }
    )
  })
})

describe("what an answer says is left", () => {
  /** How many calls may begin at once. */
  const begin = (limiter: Limiter, now: number): number => {
    let granted = 0
    for (; limiter.fits(now, 1); granted++) limiter.ended(limiter.grant(now, 1), now)
    return granted
  }

  it("is not exceeded, and refills bit by bit where it is said to be whole just when that would have refilled it", () => {
    const limiter = new Limiter({ perMs: 60_000 })
    const first = limiter.grant(0, 10)
    // Others have used most of it: 47 of 50 are there again in 47 fiftieths of a minute.
    limiter.heard(first, 0, { requests: { limit: 50, remaining: 3, resetMs: 56_400 } })
    limiter.ended(first, 0)
    assert.strictEqual(begin(limiter, 0), 3)
    assert.approximately(limiter.nextAt(0, 1)!, 1_200, 1)
    assert.strictEqual(begin(limiter, 1_200), 1)
  })

  it("is not exceeded before its window's border where it says no more than that", () => {
    const limiter = new Limiter({ perMs: 60_000 })
    const first = limiter.grant(0, 10)
    limiter.heard(first, 0, { requests: { limit: 50, remaining: 3, resetMs: 20_000 } })
    limiter.ended(first, 0)
    assert.strictEqual(begin(limiter, 0), 3)
    assert.strictEqual(begin(limiter, 19_999), 0)
    assert.isAtLeast(begin(limiter, 20_000), 20)
  })

  it("does not count what was granted before the answer twice", () => {
    const limiter = new Limiter({ perMs: 60_000, requests: 50 })
    const all = Array.from({ length: 50 }, () => limiter.grant(0, 1))
    // The server had them in this order.
    all.forEach((number, i) => {
      limiter.heard(number, 10, { requests: { limit: 50, remaining: 49 - i, resetMs: 60_000 } })
      limiter.ended(number, 10)
    })
    assert.isFalse(limiter.fits(10, 1))
    assert.isTrue(limiter.fits(60_010, 1))
  })

  it("learns what others take of it, and begins the next window with a few", () => {
    const limiter = new Limiter({ perMs: 60_000 })
    const numbers = Array.from({ length: firstAtOnce }, () => limiter.grant(0, 1))
    // For each one of ours another has one, and the answers come late.
    numbers.slice(0, 10).forEach((number, i) => {
      limiter.heard(number, 10, { requests: { limit: 50, remaining: 48 - 2 * i, resetMs: 20_000 } })
      limiter.ended(number, 10)
    })
    // 30 were left at the tenth; each of six under way takes two.
    assert.strictEqual(begin(limiter, 10), 9)
    assert.strictEqual(begin(limiter, 20_009), 0)
    for (const number of numbers.slice(10)) limiter.ended(number, 20_010)
    let unanswered = 0
    for (; limiter.fits(20_010, 1); unanswered++) limiter.grant(20_010, 1)
    assert.strictEqual(unanswered, firstAtOnce)
  })

  it("teaches a limit that nobody had set", () => {
    const limiter = new Limiter({ perMs: 60_000 })
    const first = limiter.grant(0, 1)
    limiter.heard(first, 0, {
      requests: { limit: 50, remaining: 49, resetMs: 1_200 },
      tokens: { limit: 1_000, remaining: 900, resetMs: 6_000 }
    })
    limiter.ended(first, 0)
    assert.strictEqual(limiter.requestLimit, 50)
    assert.strictEqual(limiter.tokenLimit, 1_000)
    assert.isFalse(limiter.fits(0, 901))
  })
})

describe("a meter", () => {
  it("says when there is room, and is right", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 50 })), { maxLength: 40 }),
        fc.integer({ min: 0, max: 60 }),
        (charges, most) => {
          const meter = new Meter(100)
          let now = 0
          for (const [weight, wait] of charges) {
            meter.begin(weight)
            meter.seen(weight, weight, now)
            now += wait
          }
          const at = meter.freeAt(now, most)!
          const usedThen = charges.reduce(
            ({ sum, time }, [weight, wait]) => ({ sum: sum + (time + 100 > at ? weight : 0), time: time + wait }),
            { sum: 0, time: 0 }
          ).sum
          assert.isAtMost(usedThen, most)
          const pieces = meter.pieces(now, 4).reduce((sum, { weight }) => sum + weight, 0)
          assert.strictEqual(pieces, meter.used(now))
        }
      )
    )
  })
})
