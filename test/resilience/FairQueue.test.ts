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
})
