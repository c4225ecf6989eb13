/** Loops: found within their bounds, remembered within theirs, and not found where something is new. */
import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { Loops } from "../../src/agent/index.ts"

const { defaults, empty, judge, push, told } = Loops

const round = (what: string | number, result: unknown = what): ReadonlyArray<Loops.Called> => [
  { name: "look", params: { what }, result: result as never, isError: false }
]

/** Follows an agent until it is stopped; the model is told, and goes on all the same. */
const follow = (rounds: (n: number) => ReadonlyArray<Loops.Called>, most: number, settings = defaults) => {
  let memory = empty
  const told: Array<number> = []
  for (let n = 0; n < most; n++) {
    memory = push(memory, rounds(n))
    const verdict = judge(memory, settings)
    if (verdict === null) continue
    if (verdict.action !== "nudge") return { stopped: n + 1, loop: verdict.loop, told, memory }
    told.push(n + 1)
    memory = Loops.told(memory, verdict.nudges)
  }
  return { stopped: null, loop: null, told, memory }
}

const { property, assert } = fc
const numRuns = 300

describe("loops", () => {
  it("one call with one result is told after 5 rounds, and stopped after 10", () => {
    expect(follow(() => round("a"), 100)).toMatchObject({ stopped: 10, loop: "repeat", told: [5] })
  })

  it("two, three or four in turns are told after three times all of them, and stopped after six", () => {
    for (const period of [2, 3, 4]) {
      const found = follow((n) => round(n % period), 100)
      expect(found).toMatchObject({ stopped: 6 * period, loop: "cycle", told: [3 * period] })
    }
  })

  it("nothing new in 12 rounds is told, in 24 it is stopped, in whatever order it comes", () => {
    assert(
      property(fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 300, maxLength: 300 }), (order) => {
        // All of it was seen once.
        const found = follow((n) => round(n <= 20 ? n : order[n]!), 300)
        expect(found.stopped).not.toBeNull()
        expect(found.stopped!).toBeLessThanOrEqual(21 + 24)
      }),
      { numRuns }
    )
  })

  it("whoever finds something new in each round is left alone, and so is who asks the same and is told something else", () => {
    expect(follow((n) => round(n), 1_000).told).toEqual([])
    expect(follow((n) => round("status", n), 1_000).told).toEqual([])
  })

  it("stops any periodic agent of a period up to four within its bound, however its calls are mixed", () => {
    assert(
      property(fc.integer({ min: 1, max: 4 }), fc.array(fc.nat(50), { maxLength: 30 }), (period, before) => {
        const found = follow((n) => (n < before.length ? round(`before ${before[n]}`) : round(n % period)), 200)
        expect(found.stopped).not.toBeNull()
        expect(found.stopped! - before.length).toBeLessThanOrEqual(24 + period)
      }),
      { numRuns }
    )
  })

  it("the order of parallel calls and of keys means nothing", () => {
    const calls = (flip: boolean): ReadonlyArray<Loops.Called> => {
      const two = [
        { name: "a", params: flip ? { x: 1, y: 2 } : { y: 2, x: 1 }, result: 1, isError: false },
        { name: "b", params: {}, result: 2, isError: false }
      ]
      return flip ? two.reverse() : two
    }
    expect(follow((n) => calls(n % 2 === 0), 100)).toMatchObject({ stopped: 10, loop: "repeat" })
  })

  it("is forgiven when something else was done for a while", () => {
    let memory = empty
    for (let n = 0; n < 5; n++) memory = push(memory, round("a"))
    memory = told(memory, 1)
    for (let n = 0; n < 30; n++) memory = push(memory, round(n))
    for (let n = 0; n < 5; n++) memory = push(memory, round("b"))
    expect(judge(memory, defaults)).toMatchObject({ action: "nudge", nudges: 1 })
  })

  it("remembers no more than it says, for however long", () => {
    let memory = empty
    for (let n = 0; n < 2_000; n++) memory = push(memory, round(n))
    expect(memory.rounds.length).toBeLessThanOrEqual(64)
    expect(memory.known.length).toBeLessThanOrEqual(128)
    expect(JSON.stringify(memory).length).toBeLessThan(4_000)
  })

  it("numbers that cannot work are refused where they are written", () => {
    expect(() => Loops.resolve("a", { repeat: 1 })).toThrow("loops.repeat must be from 2 to 64, not 1")
    expect(() => Loops.resolve("a", { nudges: -1 })).toThrow("loops.nudges")
    expect(Loops.resolve("a", false)).toBeNull()
    expect(Loops.resolve("a", { then: "ask", stale: undefined })).toMatchObject({ then: "ask", stale: 12 })
  })
})
