/** Bounded pools (A3): how slots are shared, that none is lost, and what a session does while it waits. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, FastCheck as fc, Fiber } from "effect"
import type { StepId } from "../../src/domain/Id.ts"
import { Pools } from "../../src/session/index.ts"
import { FairPool, type Seat } from "../../src/session/internal/fairPool.ts"
import { type Gate, here } from "../../src/session/internal/gate.ts"
import { Slots } from "../../src/session/internal/slots.ts"
import type { OpenStep } from "../../src/session/index.ts"

const runs = process.env["PERDURE_SOAK"] === undefined ? 300 : 10_000

/** A pool with sessions at it, and a log of who was granted what. */
class Table {
  readonly pool: FairPool
  readonly seats = new Map<string, Seat>()
  readonly order: Array<string> = []
  readonly running: Array<string> = []

  constructor(slots: number, perSession = slots) {
    this.pool = new FairPool(slots, perSession)
  }

  seat(session: string): Seat {
    const known = this.seats.get(session)
    if (known !== undefined) return known
    const seat = this.pool.sit(session.slice(0, session.indexOf("/")))
    this.seats.set(session, seat)
    return seat
  }

  ask(session: string, call: string = session): void {
    const seat = this.seat(session)
    const begin = () => {
      this.order.push(call)
      this.running.push(session)
    }
    if (this.pool.free(seat) > 0) {
      this.pool.take(seat)
      begin()
    } else {
      this.pool.wait(seat, { granted: begin })
    }
  }

  end(at = 0): void {
    const [session] = this.running.splice(at, 1)
    this.pool.release(this.seat(session!))
  }
}

describe("a pool", () => {
  it("gives a session of 500 parallel calls no more than what nobody else wants", () => {
    const table = new Table(4)
    for (let i = 0; i < 500; i++) table.ask("a/many", `many ${i}`)
    table.ask("a/one")
    table.end()
    expect(table.order.at(-1)).toBe("a/one")
    // And its own go on in their order.
    table.end()
    expect(table.order.slice(0, 4)).toEqual(["many 0", "many 1", "many 2", "many 3"])
    expect(table.order.at(-1)).toBe("many 4")
  })

  it("shares between namespaces first, however many sessions one has", () => {
    const table = new Table(2)
    for (let i = 0; i < 50; i++) table.ask(`a/${i}`)
    for (let i = 0; i < 3; i++) table.ask(`b/${i}`)
    table.end()
    expect(table.order.at(-1)).toBe("b/0")
    // One each: the next slot of either namespace is its own again, so tools of minutes do not pile up in all slots.
    table.end(0)
    expect(table.order.at(-1)).toBe("a/2")
    table.end(table.running.indexOf("b/0"))
    expect(table.order.at(-1)).toBe("b/1")
  })

  it("keeps a session within its part, and gives the rest to those who come", () => {
    const table = new Table(4, 2)
    for (let i = 0; i < 10; i++) table.ask("a/many", `many ${i}`)
    expect(table.running).toHaveLength(2)
    table.ask("a/one")
    table.ask("b/two")
    expect(table.order.slice(-2)).toEqual(["a/one", "b/two"])
  })

  type Move = { readonly ask: number } | { readonly end: number } | { readonly cancel: number }
  const session = (n: number) => `${"abc"[n % 3]}/${n}`
  const moves = fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.record({ ask: fc.nat(8) }) },
      { weight: 3, arbitrary: fc.record({ end: fc.nat(50) }) },
      { weight: 1, arbitrary: fc.record({ cancel: fc.nat(50) }) }
    ) as fc.Arbitrary<Move>,
    { maxLength: 200 }
  )

  it("has no slot free while somebody waits who may have it, and forgets nobody, whatever happens", () => {
    fc.assert(
      fc.property(moves, fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }), (moves, slots, perSession) => {
        const pool = new FairPool(slots, Math.min(slots, perSession))
        const seats = Array.from({ length: 9 }, (_, n) => pool.sit(session(n).slice(0, 1)))
        const waiting: Array<{ n: number; ticket: { granted: () => void } }> = []
        const running: Array<number> = []
        const busy = (n: number) => running.filter((one) => one === n).length
        const tenant = (n: number) => running.filter((one) => one % 3 === n % 3).length
        const check = () => {
          expect(pool.running).toBe(running.length)
          expect(pool.waiting).toBe(waiting.length)
          expect(running.length).toBeLessThanOrEqual(slots)
          for (const { n } of waiting) {
            expect(running.length === slots || busy(n) >= pool.perSession).toBe(true)
          }
        }
        for (const move of moves) {
          if ("ask" in move) {
            const n = move.ask
            if (pool.free(seats[n]!) > 0) {
              pool.take(seats[n]!)
              running.push(n)
            } else {
              const ticket = {
                granted: () => {
                  const eligible = waiting.filter((one) => busy(one.n) < pool.perSession)
                  // Nobody who could have it has less: neither a namespace, nor a session of the same.
                  for (const other of eligible) {
                    expect(tenant(n)).toBeLessThanOrEqual(tenant(other.n))
                    if (other.n % 3 === n % 3) expect(busy(n)).toBeLessThanOrEqual(busy(other.n))
                  }
                  // First come, first served within a session.
                  expect(waiting.find((one) => one.n === n)!.ticket).toBe(ticket)
                  waiting.splice(
                    waiting.findIndex((one) => one.ticket === ticket),
                    1
                  )
                  running.push(n)
                }
              }
              waiting.push({ n, ticket })
              pool.wait(seats[n]!, ticket)
            }
          } else if ("end" in move) {
            if (running.length === 0) continue
            const [n] = running.splice(move.end % running.length, 1)
            pool.release(seats[n!]!)
          } else if (waiting.length > 0) {
            const [one] = waiting.splice(move.cancel % waiting.length, 1)
            pool.cancel(seats[one!.n]!, one!.ticket)
          }
          check()
        }
        // Whoever waits has its turn, however the rest goes on asking: within as many ends as there are sessions and slots.
        while (waiting.length > 0 || running.length > 0) {
          const [n] = running.splice(0, 1)
          pool.release(seats[n!]!)
          check()
        }
      }),
      { numRuns: runs }
    )
  })

  it("starves nobody: who has nothing running is next in its namespace, and each namespace has its part", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.nat(1_000), { minLength: 60, maxLength: 60 }),
        (slots, ends) => {
          const table = new Table(slots)
          // Greedy sessions of two namespaces, that ask again whenever one of their calls ends; then one that asks once.
          for (const one of ["a/1", "a/2", "b/1"]) for (let i = 0; i < slots + 2; i++) table.ask(one)
          table.ask("a/late")
          let own = 0
          for (const end of ends) {
            if (table.order.includes("a/late")) return
            const at = end % table.running.length
            const again = table.running[at]!
            if (again.startsWith("a/")) own++
            table.end(at)
            table.ask(again)
            // At most as many as its namespace had in excess, one for the other namespace, and one for its own order.
            expect(own).toBeLessThanOrEqual(slots + 2)
          }
        }
      ),
      { numRuns: runs }
    )
  })
})

const open = (n: number): OpenStep => ({
  step: String(n) as StepId,
  turn: 1,
  kind: "tool",
  name: "t",
  input: null,
  repeatable: "readonly",
  attempt: 2,
  dueAt: 0,
  nextInput: "original",
  partial: undefined
})

describe("a session's slots", () => {
  it("may be granted in another order than they were asked for: what is given up later is what still waits", () => {
    const waiting: Array<{ readonly grant: () => void; isGivenUp: boolean }> = []
    const gate: Gate = {
      now: () => 0,
      free: () => 0,
      take: () => expect.unreachable() as never,
      wait: (granted) => {
        const one = {
          grant: () => granted({ elsewhere: null, release: () => {} }),
          isGivenUp: false
        }
        waiting.push(one)
        return () => {
          one.isGivenUp = true
        }
      },
      lacks: () => "slot",
      waited: () => {},
      leave: () => {}
    }
    const slots = new Slots({ gateOf: () => gate, granted: () => {}, waited: () => {} })
    const wanted = { pool: "heavy", kind: "tool" as const, name: "t", step: null, attempt: 1 }
    expect(slots.free("heavy")).toBe(0)
    slots.want([wanted, wanted, wanted])
    waiting[1]!.grant()
    expect(slots.free("heavy")).toBe(1)
    slots.want([])
    expect(waiting.map(({ isGivenUp }) => isGivenUp)).toEqual([true, false, true])
  })

  it.effect("are given back once each, whatever is interrupted, closed or left when (A3)", () =>
    Effect.gen(function* () {
      const move = fc.record({
        what: fc.constantFrom("acquire", "interrupt", "release", "want", "take", "leave", "close", "yield"),
        session: fc.nat(2),
        n: fc.nat(12)
      })
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(fc.array(move, { maxLength: 80 }), fc.integer({ min: 1, max: 3 }), (moves, slots) =>
            Effect.gen(function* () {
              const pools = yield* Pools.Pools
              const pool = pools.get("heavy").fair
              const sessions = Array.from(
                { length: 3 },
                (_, i) =>
                  new Slots({
                    gateOf: () => here(pools.get("heavy"), `n${i % 2}`),
                    granted: () => {},
                    waited: () => {}
                  })
              )
              const fibers = new Map<string, Fiber.RuntimeFiber<unknown>>()
              let steps = 100
              for (const { n, session, what } of moves) {
                const mine = sessions[session]!
                const id = `${session}:${n}`
                switch (what) {
                  case "acquire": {
                    if (fibers.has(id) || mine.of(String(n) as StepId) !== undefined) break
                    // As an attempt does: it holds the slot until it has ended, however it ends.
                    const attempt = Effect.zipRight(mine.acquire("heavy", open(n)), Effect.never).pipe(
                      Effect.ensuring(Effect.sync(() => mine.release(String(n) as StepId)))
                    )
                    fibers.set(id, Effect.runFork(attempt))
                    break
                  }
                  case "interrupt": {
                    const fiber = fibers.get(id)
                    fibers.delete(id)
                    if (fiber !== undefined) yield* n % 2 === 0 ? Fiber.interrupt(fiber) : Fiber.interruptFork(fiber)
                    break
                  }
                  case "release":
                    mine.release(String(n) as StepId)
                    break
                  case "want":
                    mine.want(
                      Array.from({ length: n % 4 }, () => ({
                        pool: "heavy",
                        kind: "tool" as const,
                        name: "t",
                        step: null,
                        attempt: 1
                      }))
                    )
                    break
                  case "take":
                    if (mine.free("heavy") > 0) mine.take("heavy", String(steps++) as StepId)
                    break
                  case "leave":
                    mine.leave()
                    break
                  case "close":
                    for (const [name, fiber] of fibers)
                      if (name.startsWith(`${session}:`)) yield* Fiber.interrupt(fiber)
                    mine.close()
                    break
                  case "yield":
                    yield* Effect.yieldNow()
                    break
                }
                expect(pool.running).toBeLessThanOrEqual(slots)
                expect(pool.running).toBeGreaterThanOrEqual(0)
              }
              yield* Fiber.interruptAll(fibers.values())
              for (const one of sessions) one.close()
              expect([pool.running, pool.waiting]).toEqual([0, 0])
            }).pipe(Effect.provide(Pools.Pools.layer({ heavy: slots })), Effect.runPromise)
          ),
          { numRuns: runs }
        )
      )
    })
  )

  it.effect("are of pools that the runner has, or it does not start", () =>
    Effect.gen(function* () {
      const pools = yield* Pools.Pools
      const error = yield* Effect.flip(pools.require("painter", ["tool", "gpu"]))
      expect(error._tag).toBe("PoolUnknown")
      expect(error.message).toContain('PERDURE_POOLS, e.g. "gpu=2"')
      for (const sizes of [{ heavy: 0 }, { heavy: 1.5 }, { "": 1 }, { heavy: { slots: 2, perSession: 0 } }]) {
        const exit = yield* Effect.exit(Effect.provide(Pools.Pools, Pools.Pools.layer(sizes)))
        expect(Exit.isFailure(exit)).toBe(true)
      }
    }).pipe(Effect.provide(Pools.Pools.layer()))
  )
})
