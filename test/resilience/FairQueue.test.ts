import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { FairQueue, type Ticket } from "../../src/resilience/FairQueue.ts"

const ticket = (namespace: string, session: string, n: number): Ticket => ({
  id: `${namespace}/${session}/${n}`,
  namespace,
  session
})

const takeOne = (queue: FairQueue<Ticket>): Ticket | undefined => {
  const next = queue.next()
  if (next !== undefined) queue.take(next)
  return next
}

/** The same, as simple as it can be said: all that wait are sorted for each that is served. */
class Sorted {
  private readonly turns = new Map<string, { had: number; readonly clock: { now: number } }>()
  private readonly clocks = new Map<string, { now: number }>()
  readonly waiting = new Map<string, Ticket>()

  private of({ namespace, session }: Ticket) {
    return [this.turn(namespace, ""), this.turn(`${namespace}/${session}`, namespace)] as const
  }

  private turn(name: string, parent: string) {
    const clock = this.clocks.get(parent) ?? { now: 0 }
    this.clocks.set(parent, clock)
    const turn = this.turns.get(name) ?? { had: 0, clock }
    this.turns.set(name, turn)
    return turn
  }

  add(ticket: Ticket): void {
    const others = [...this.waiting.values()]
    const [tenant, seat] = this.of(ticket)
    const isThere = others.some(({ namespace }) => namespace === ticket.namespace)
    const sits = others.some(({ namespace, session }) => namespace === ticket.namespace && session === ticket.session)
    if (!isThere) tenant.had = Math.max(tenant.had, tenant.clock.now)
    if (!sits) seat.had = Math.max(seat.had, seat.clock.now)
    this.waiting.set(ticket.id, ticket)
  }

  next(may: (ticket: Ticket) => boolean): Ticket | undefined {
    const numbers = new Map([...this.turns.values()].map((turn, n) => [turn, n]))
    const key = (ticket: Ticket) => this.of(ticket).flatMap((turn) => [turn.had, numbers.get(turn)!])
    const compare = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) =>
      a.map((n, i) => n - b[i]!).find((d) => d !== 0) ?? 0
    // Sorting is stable: within a session first come, first served.
    return [...this.waiting.values()].sort((a, b) => compare(key(a), key(b))).find(may)
  }

  take(ticket: Ticket, cost: number): void {
    this.waiting.delete(ticket.id)
    for (const turn of this.of(ticket)) {
      turn.clock.now = Math.max(turn.clock.now, turn.had)
      turn.had += cost
    }
  }
}

describe("a fair queue", () => {
  it("serves namespaces alike, though one has fifty sessions that wait and the other one", () => {
    const queue = new FairQueue<Ticket>()
    for (let s = 0; s < 50; s++) for (let n = 0; n < 4; n++) queue.add(ticket("large", `s${s}`, n))
    // The small one asks for its next call when it has the last.
    queue.add(ticket("small", "s", 0))
    const served = Array.from({ length: 40 }, (_, n) => {
      const one = takeOne(queue)!
      if (one.namespace === "small") queue.add(ticket("small", "s", n + 1))
      return one.namespace
    })
    assert.approximately(served.filter((name) => name === "small").length, 20, 1)
  })

  it("serves the sessions of a namespace alike", () => {
    const queue = new FairQueue<Ticket>()
    for (let n = 0; n < 60; n++) queue.add(ticket("n", "greedy", n))
    for (let s = 0; s < 5; s++) queue.add(ticket("n", `s${s}`, 0))
    const first = Array.from({ length: 7 }, () => takeOne(queue)!.session)
    assert.deepStrictEqual(new Set(first), new Set(["greedy", "s0", "s1", "s2", "s3", "s4"]))
  })

  it("saves nothing up for who has asked for nothing", () => {
    const queue = new FairQueue<Ticket>()
    for (let n = 0; n < 200; n++) queue.add(ticket("old", "s", n))
    for (let n = 0; n < 100; n++) takeOne(queue)
    for (let n = 0; n < 100; n++) queue.add(ticket("new", "s", n))
    const served = Array.from({ length: 40 }, () => takeOne(queue)!.namespace)
    assert.approximately(served.filter((name) => name === "old").length, 20, 1)
  })

  it("passes over what may not begin, and keeps it", () => {
    const queue = new FairQueue<Ticket>()
    queue.add(ticket("a", "s", 1))
    queue.add(ticket("b", "s", 1))
    assert.strictEqual(queue.next(({ namespace }) => namespace === "b")?.namespace, "b")
    assert.strictEqual(queue.size, 2)
    assert.isUndefined(queue.next(() => false))
  })

  it("lets nobody wait longer than it takes to serve all others that waited as often", () => {
    const names = fc.constantFrom("a", "b", "c", "d")
    const move = fc.oneof(
      { weight: 3, arbitrary: fc.tuple(fc.constant("add"), names, names) },
      { weight: 2, arbitrary: fc.tuple(fc.constant("take"), names, names) },
      { weight: 1, arbitrary: fc.tuple(fc.constant("remove"), names, names) }
    )
    fc.assert(
      fc.property(fc.array(move, { maxLength: 300 }), (moves) => {
        const queue = new FairQueue<Ticket>()
        const waiting = new Map<string, { readonly ticket: Ticket; passed: number }>()
        let n = 0
        for (const [what, namespace, session] of moves) {
          if (what === "add") {
            const one = ticket(namespace, session, n++)
            queue.add(one)
            waiting.set(one.id, { ticket: one, passed: 0 })
          } else if (what === "remove") {
            const [id] = waiting.keys()
            if (id === undefined) continue
            queue.remove(id)
            waiting.delete(id)
          } else {
            const one = takeOne(queue)
            assert.strictEqual(one === undefined, waiting.size === 0)
            if (one === undefined) continue
            waiting.delete(one.id)
            for (const other of waiting.values()) {
              const { namespace, session } = other.ticket
              // Only who waits alone in its session is measured: others wait for their own.
              const rivals = [...waiting.values()].filter(
                ({ ticket }) => ticket.namespace === namespace && ticket.session === session
              )
              if (rivals.length === 1) other.passed++
              // Four namespaces of four sessions each.
              assert.isAtMost(other.passed, 40)
            }
          }
          assert.strictEqual(queue.size, waiting.size)
        }
      }),
      { numRuns: 100 }
    )
  })

  it("has the order of one that sorts all that wait each time, whatever is passed over and whatever it costs", () => {
    const names = fc.constantFrom("a", "b", "c", "d", "e")
    const move = fc.record({
      what: fc.constantFrom("add", "add", "add", "take", "take", "remove"),
      namespace: names,
      session: names,
      n: fc.nat(1_000),
      cost: fc.constantFrom(1, 1, 1, 2, 0.5, 7.25)
    })
    fc.assert(
      fc.property(fc.array(move, { maxLength: 300 }), (moves) => {
        const queue = new FairQueue<Ticket>()
        const sorted = new Sorted()
        let number = 0
        for (const { cost, n, namespace, session, what } of moves) {
          if (what === "add") {
            const one = ticket(namespace, session, number++)
            queue.add(one)
            sorted.add(one)
          } else if (what === "remove") {
            const ids = [...sorted.waiting.keys()]
            const id = ids[n % Math.max(1, ids.length)]
            if (id === undefined) continue
            queue.remove(id)
            sorted.waiting.delete(id)
          } else {
            // Mostly all may be served.
            const may = (one: Ticket) => n % 3 > 0 || one.namespace !== namespace
            const one = queue.next(may)
            assert.strictEqual(one?.id, sorted.next(may)?.id)
            if (one === undefined) continue
            queue.take(one, cost)
            sorted.take(one, cost)
          }
          assert.strictEqual(queue.size, sorted.waiting.size)
        }
      }),
      { numRuns: 300 }
    )
  })

  it("serves all of thousands once, and forgets nobody who waits, however many come and go", () => {
    const queue = new FairQueue<Ticket>()
    const served = new Set<string>()
    let n = 0
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 500; i++) queue.add(ticket(`n${n % 7}`, `s${n}`, n++))
      for (let i = 0; i < 450; i++) served.add(takeOne(queue)!.id)
    }
    while (queue.size > 0) served.add(takeOne(queue)!.id)
    assert.strictEqual(served.size, n)
    assert.isUndefined(queue.next())
  })
})
