/** A lane of the cluster (B4): several runners, one host that may die, move, or not be reached; no network, a test's clock. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, type Fiber, Logger, Runtime, type Scope, TestClock } from "effect"
import type { FailureClass } from "../../src/domain/Failure.ts"
import { Limiter, RateLimits } from "../../src/resilience/index.ts"
import { Lane, unheardMs, unreachableMs } from "../../src/session/internal/lane.ts"
import { aheadMost } from "../../src/session/internal/laneAhead.ts"
import { LaneHost, silenceMs } from "../../src/session/internal/laneHost.ts"
import type { Permit } from "../../src/session/internal/lanePermits.ts"
import type { Copy, Request } from "../../src/session/internal/laneProtocol.ts"
import { left } from "../../src/session/internal/laneSettling.ts"
import { Unheard } from "../../src/session/internal/laneUnheard.ts"

const perMs = 60_000

interface Sent {
  readonly at: number
  readonly runner: string
  readonly namespace: string
  readonly session: string
  readonly model: string
  readonly permit: Permit
}

/** As runners are called: by their address, and which of all that were ever there. */
const nameOf = (runner: string): string => `${runner}#1`

class World {
  readonly sent: Array<Sent> = []
  readonly lanes = new Map<string, Lane>()
  private readonly fibers = new Map<string, Fiber.RuntimeFiber<never>>()
  host: LaneHost | null = null
  /** Runners that nobody hears. */
  readonly cut = new Set<string>()
  /** Runners that are not members of the cluster yet. */
  readonly strangers = new Set<string>()
  /** Of each runner's answers, so many come, and then one is lost. */
  losesAfter = Number.POSITIVE_INFINITY
  private readonly answers = new Map<string, number>()
  private hosts = 0
  /** How long the machine has stood still, in milliseconds: nothing has run meanwhile. */
  stoodStill = 0

  constructor(
    readonly limit: RateLimits.Limit,
    readonly clock: Clock.Clock,
    readonly runtime: Runtime.Runtime<never>,
    readonly scope: Scope.Scope
  ) {}

  readonly now = () => this.clock.unsafeCurrentTimeMillis() + this.stoodStill

  get lane(): RateLimits.Lane {
    return RateLimits.named({ it: { per: perMs, ...this.limit } }, "it")
  }

  /** The lane's host is on this runner now. */
  move(runner: string, isSuccessor = this.host !== null): void {
    this.host?.close()
    this.host = new LaneHost(`host-${++this.hosts}`, this.lane, {
      now: this.now,
      fork: (effect) => Runtime.runFork(this.runtime)(effect),
      self: () => nameOf(runner),
      isGone: (name) => !this.lanes.has(name.slice(0, -2)),
      runners: () => [...this.lanes.keys()],
      isSuccessor
    })
    const own = this.lanes.get(runner)
    if (own?.copy != null) this.host.inherit(own.copy, own.copyAgoMs)
  }

  readonly ask = (runner: string) => (request: Request) =>
    Effect.suspend(() => {
      const { host } = this
      if (host === null || this.cut.has(runner)) return Effect.fail("nobody answers")
      return Effect.flatMap(host.sync(request), (reply) => {
        if (this.cut.has(runner) || host !== this.host) return Effect.fail("it was cut off")
        const answers = (this.answers.get(runner) ?? 0) + 1
        this.answers.set(runner, answers > this.losesAfter ? 0 : answers)
        if (answers > this.losesAfter) return Effect.fail("the answer was lost")
        return Effect.succeed(reply)
      })
    })

  start(runner: string): Effect.Effect<Lane> {
    const lane = new Lane(this.lane, {
      now: this.now,
      name: () => nameOf(runner),
      runners: () => 2,
      isMember: () => !this.strangers.has(runner),
      ask: this.ask(runner),
      // Far away, so that what is said is seen.
      near: () => null,
      waited: () => {},
      changed: () => {}
    })
    this.lanes.set(runner, lane)
    return Effect.map(Effect.forkIn(lane.run, this.scope), (fiber) => {
      this.fibers.set(runner, fiber)
      return lane
    })
  }

  /** Calls as soon as it may. */
  call(runner: string, namespace = "n", session = "s", model = "it", tokens = 10): () => void {
    const lane = this.lanes.get(runner)!
    const begin = (permit: Permit) => {
      permit.begun()
      this.sent.push({ at: this.now(), runner, namespace, session, model, permit })
    }
    if (lane.free(model, tokens) > 0) {
      begin(lane.take(model, tokens))
      return () => {}
    }
    return lane.wait({ namespace, session, model, tokens, granted: begin, shut: null })
  }

  /** All that is out is answered. */
  answer(failure?: FailureClass, retryAfterMs?: number): void {
    for (const { permit } of this.sent) permit.over({ failure, retryAfterMs, tokens: 10 })
  }

  readonly die = (runner: string): void => {
    const fiber = this.fibers.get(runner)!
    fiber.unsafeInterruptAsFork(fiber.id())
    this.cut.add(runner)
    this.lanes.delete(runner)
  }
}

const make = (limit: RateLimits.Limit, ...runners: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const clock = yield* Clock.clockWith(Effect.succeed)
    const world = new World(limit, clock, yield* Effect.runtime<never>(), yield* Effect.scope)
    for (const runner of runners) yield* world.start(runner)
    world.move(runners[0]!)
    yield* pass(0)
    return world
  })

/** Lets time pass, a little at a time, and what waits for it happen. */
const pass = (ms: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (let n = 0; n < 20; n++) yield* Effect.yieldNow()
    for (let left = ms; left > 0; ) {
      const step = Math.min(left, ms > 5_000 ? 500 : 100)
      left -= step
      yield* TestClock.adjust(step)
      for (let n = 0; n < 20; n++) yield* Effect.yieldNow()
    }
  })

const at = (sent: ReadonlyArray<Sent>, from: number, to: number) =>
  sent.filter((one) => one.at >= from && one.at < to).length

/** The host has died, its successor is another one, and a third runner hears neither. */
const hostGone = Effect.gen(function* () {
  const world = yield* make({ requests: 20 }, "a", "b", "c")
  yield* pass(500)
  world.cut.add("b")
  world.die("a")
  world.move("c")
  return world
})

describe("a lane", () => {
  it.scoped("lets all runners together through to what is allowed, and no more in any window", () =>
    Effect.gen(function* () {
      const world = yield* make({ requests: 10 }, "a", "b")
      for (let n = 0; n < 15; n++) for (const runner of ["a", "b"]) world.call(runner)
      yield* pass(2_000)
      assert.strictEqual(world.sent.length, 10)
      world.answer()
      yield* pass(perMs - 3_000)
      assert.strictEqual(world.sent.length, 10)
      yield* pass(3_100)
      assert.strictEqual(world.sent.length, 20)
    })
  )

  it.scoped("has some permits at hand where nobody waits, and gives them back for who does", () =>
    Effect.gen(function* () {
      const world = yield* make({ requests: 40 }, "a", "b")
      world.call("a")
      yield* pass(200)
      assert.isAbove(world.lanes.get("a")!.free("it", 10), 0)
      // Everything is wanted over there: what is at hand here is not lost to it.
      for (let n = 0; n < 60; n++) world.call("b")
      yield* pass(2_500)
      assert.strictEqual(world.sent.length, 40)
    })
  )

  it.scoped("what was free is taken, though the machine stood still in between, and counts", () =>
    Effect.gen(function* () {
      const world = yield* make({ requests: 40 }, "a", "b")
      world.call("a")
      yield* pass(200)
      const lane = world.lanes.get("a")!
      const free = lane.free("it", 10)
      assert.isAbove(free, 0)
      world.stoodStill = 5_000
      assert.strictEqual(lane.free("it", 10), 0)
      // As many as were free, and one more: by a clock that is set, all may look different.
      const permits = Array.from({ length: free + 1 }, () => lane.take("it", 10))
      for (const permit of permits) permit.begun()
      yield* pass(500)
      for (let n = 0; n < 60; n++) world.call("b")
      yield* pass(2_500)
      assert.strictEqual(world.sent.length + permits.length, 40)
    })
  )

  it.scoped(
    "goes on from the freshest that anybody knows, though its new host was cut off from the one that died",
    () =>
      Effect.gen(function* () {
        const world = yield* make({ requests: 40 }, "a", "b", "c")
        yield* pass(500)
        const from = world.now()
        world.cut.add("b")
        for (let n = 0; n < 40; n++) world.call("a")
        yield* pass(3_000)
        assert.strictEqual(world.sent.length, 40)
        world.answer()
        world.die("a")
        world.cut.delete("b")
        world.move("b")
        for (let n = 0; n < 50; n++) for (const runner of ["b", "c"]) world.call(runner)
        yield* pass(perMs - 6_000)
        assert.isAtMost(at(world.sent, from, from + perMs), 40 + aheadMost(40))
      })
  )

  it.scoped("is fair between namespaces, whichever runner their sessions are on", () =>
    Effect.gen(function* () {
      const world = yield* make({ requests: 20 }, "a", "b")
      for (let n = 0; n < 50; n++) world.call("a", "large", `s${n}`)
      yield* pass(500)
      assert.strictEqual(world.sent.length, 20)
      world.answer()
      for (let n = 0; n < 20; n++) world.call("b", "small", "s")
      yield* pass(perMs + 1_000)
      const then = world.sent.slice(20)
      assert.strictEqual(then.length, 20)
      assert.approximately(then.filter(({ namespace }) => namespace === "small").length, 10, 1)
    })
  )

  it.scoped("says once in the log that nothing is sent for long, and no word of less", () => {
    const said: Array<string> = []
    const logger = Logger.make(({ message }) => void said.push(String(message)))
    return Effect.gen(function* () {
      const world = yield* make({ requests: 10 }, "a", "b")
      const refuse = function* (retryAfterMs: number) {
        for (const runner of ["a", "b"]) world.call(runner)
        yield* pass(200)
        world.answer("RateLimited", retryAfterMs)
        world.sent.length = 0
        yield* pass(200)
      }
      yield* refuse(20_000)
      assert.deepStrictEqual(said, [])
      yield* pass(perMs)
      yield* refuse(300_000)
      assert.strictEqual(said.length, 1)
      assert.match(said[0]!, /provider of lane "it" refuses calls, and nothing is sent to it for 300 s/)
      yield* pass(400_000)
      yield* refuse(300_000)
      assert.strictEqual(said.length, 2)
    }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  })

  it.scoped("gives the leases of a runner that died to others, and counts what it may have sent", () =>
    Effect.gen(function* () {
      const world = yield* make({ requests: 10, concurrent: 4 }, "a", "b")
      for (let n = 0; n < 4; n++) world.call("b")
      yield* pass(100)
      assert.strictEqual(world.sent.length, 4)
      for (let n = 0; n < 10; n++) world.call("a")
      yield* pass(1_000)
      assert.strictEqual(world.sent.length, 4)
      world.die("b")
      for (let n = 0; n < (silenceMs + 2_000) / 500; n++) {
        world.host!.sweep()
        yield* pass(500)
      }
      assert.strictEqual(world.sent.length, 8)
      world.answer()
      yield* pass(1_000)
      // Six of ten: four were the dead one's.
      assert.strictEqual(world.sent.length, 10)
    })
  )

  it("counts from now what was under way when the copy was made that its next host begins with", () => {
    const before = new Limiter.Limiter({ perMs, requests: 10 })
    before.ended(before.grant(0, 1), 0)
    before.grant(perMs / 2, 1)
    const copy = { spent: before.spent(perMs / 2), requests: 10, meanTokens: 1 } as unknown as Copy
    const next = new Limiter.Limiter({ perMs, requests: 4 })
    next.inherit(perMs * 0.6, left(copy, perMs * 0.1, next.rates))
    // One that is known, one that may have been sent just now, and two that nobody knows of.
    assert.isFalse(next.fits(perMs * 0.9, 1))
    assert.isTrue(next.fits(perMs * 1.1, 1))
    next.ended(next.grant(perMs * 1.1, 1), perMs * 1.1)
    assert.isFalse(next.fits(perMs * 1.59, 1))
    assert.isTrue(next.fits(perMs * 1.6, 1))
  })

  for (const survivors of [["b"], ["b", "c"]]) {
    it.scoped(
      `does not let a second window's worth through when its host dies, and ${survivors.length} others are left`,
      () =>
        Effect.gen(function* () {
          const world = yield* make({ requests: 40 }, "a", ...survivors)
          const from = world.now()
          for (let n = 0; n < 100; n++) for (const runner of ["a", ...survivors]) world.call(runner)
          yield* pass(3_000)
          assert.strictEqual(world.sent.length, 40)
          world.answer()
          world.die("a")
          world.move("b")
          yield* pass(perMs - 4_000)
          assert.isAtMost(at(world.sent, from, from + perMs), 40 + aheadMost(40))
          yield* pass(perMs)
          // And then it goes on as before, but for what it could not know of.
          assert.isAtLeast(at(world.sent, from + perMs, from + 2 * perMs), 40 - aheadMost(40))
        })
    )
  }

  it.scoped("does not let much through at once to its host's own runner that no other knows of", () =>
    Effect.gen(function* () {
      const world = yield* make({ requests: 40 }, "a", "b")
      // b hears nothing any more, and dies with what it knows.
      world.cut.add("b")
      for (let n = 0; n < 40; n++) world.call("a")
      yield* pass(3_000)
      assert.isAtMost(world.sent.length, aheadMost(40))
      // Once it is known to be gone, there is nobody who must know.
      world.die("b")
      for (let n = 0; n < (silenceMs + 2_000) / 500; n++) {
        world.host!.sweep()
        yield* pass(500)
      }
      assert.strictEqual(world.sent.length, 40)
    })
  )

  it.scoped(
    "counts a call once, though answers get lost",
    () =>
      Effect.gen(function* () {
        for (const losesAfter of [1, 2, 3]) {
          const world = yield* make({ requests: 12 }, "a", "b")
          world.losesAfter = losesAfter
          for (let n = 0; n < 10; n++) for (const runner of ["a", "b"]) world.call(runner)
          yield* pass(3_000)
          world.answer()
          yield* pass(10_000)
          assert.strictEqual(world.sent.length, 12)
          yield* pass(perMs)
          assert.strictEqual(world.sent.length, 20)
        }
      }),
    60_000
  )

  it.scoped("goes on under a part of the limit while the host cannot be reached, and counts that when it can", () =>
    Effect.gen(function* () {
      const world = yield* make({ requests: 20 }, "a", "b")
      yield* pass(500)
      const from = world.now()
      world.cut.add("b")
      for (let n = 0; n < 30; n++) world.call("b")
      yield* pass(unreachableMs - 1_000)
      assert.strictEqual(world.sent.length, 0)
      yield* pass(4_000)
      assert.strictEqual(world.sent.length, 10)
      assert.isNotNull(world.lanes.get("b")!.view.unreachableSince)
      world.answer()
      world.cut.delete("b")
      yield* pass(3_000)
      assert.isNull(world.lanes.get("b")!.view.unreachableSince)
      for (let n = 0; n < 30; n++) world.call("a")
      yield* pass(3_000)
      assert.isAtMost(at(world.sent, from, from + perMs), 20)
    })
  )

  // Found by the simulator (storm, rucsfk/14): the machine of the host had died, and one runner still waited for its answer.
  it.scoped("a new host sets aside the part of whoever is there and is not heard of, until it is", () =>
    Effect.gen(function* () {
      const world = yield* hostGone
      const from = world.now()
      for (let n = 0; n < 30; n++) for (const runner of ["b", "c"]) world.call(runner)
      yield* pass(unreachableMs + 2_000)
      assert.strictEqual(world.sent.filter(({ runner }) => runner === "b").length, 10)
      yield* pass(perMs - 10_000)
      assert.isAtMost(at(world.sent, from, from + perMs), 20)
    })
  )

  it.scoped("what was set aside for one that has sent nothing is there for all as soon as it speaks", () =>
    Effect.gen(function* () {
      const world = yield* hostGone
      for (let n = 0; n < 30; n++) world.call("c")
      yield* pass(6_000)
      assert.isAtMost(world.sent.length, 10)
      world.cut.delete("b")
      yield* pass(2_000)
      assert.strictEqual(world.sent.length, 20 - aheadMost(20))
    })
  )

  it.scoped("what was set aside for one that dies is there for all when its window is over, and no sooner", () =>
    Effect.gen(function* () {
      const world = yield* hostGone
      for (let n = 0; n < 60; n++) world.call("c")
      yield* pass(6_000)
      world.die("b")
      world.host!.sweep()
      yield* pass(perMs - 7_000)
      assert.isAtMost(world.sent.length, 10)
      world.answer()
      yield* pass(perMs + 14_000)
      assert.isAtLeast(world.sent.length, 25)
    })
  )

  it.scoped("that it cannot be reached says nothing as long as this runner is no member yet", () =>
    Effect.gen(function* () {
      const world = yield* make({ requests: 20 }, "a", "b")
      world.cut.add("b")
      world.strangers.add("b")
      for (let n = 0; n < 30; n++) world.call("b")
      yield* pass(unreachableMs + 2_000)
      world.strangers.delete("b")
      yield* pass(unreachableMs - 1_000)
      assert.strictEqual(world.sent.length, 0)
      yield* pass(2_000)
      assert.strictEqual(world.sent.length, 10)
    })
  )

  // Found by the simulator (storm, s11br2storm/6): the store was silent for eight seconds, and nobody knew where the host was.
  it.scoped("whoever has never heard of a host waits longer: no host has set its part aside", () =>
    Effect.gen(function* () {
      const world = yield* make({ requests: 8 }, "a")
      const from = world.now()
      world.cut.add("b")
      yield* world.start("b")
      for (let n = 0; n < 8; n++) world.call("b")
      yield* pass(unreachableMs + 2_000)
      for (let n = 0; n < 8; n++) world.call("a")
      yield* pass(2_000)
      world.cut.delete("b")
      yield* pass(perMs - 10_000)
      assert.strictEqual(at(world.sent, from, from + perMs), 8)
      // Beside a host that is never reached it goes on by itself in the end.
      world.cut.add("c")
      yield* world.start("c")
      world.call("c")
      yield* pass(unheardMs + 2_000)
      assert.strictEqual(world.sent.filter(({ runner }) => runner === "c").length, 1)
    })
  )

  it.scoped("a refusal that one has stops all, until it says", () =>
    Effect.gen(function* () {
      const world = yield* make({}, "a", "b")
      world.call("a")
      yield* pass(200)
      world.answer("RateLimited", 20_000)
      yield* pass(200)
      for (let n = 0; n < 5; n++) for (const runner of ["a", "b"]) world.call(runner)
      yield* pass(10_000)
      assert.strictEqual(world.sent.length, 1)
      const why = world.lanes.get("b")!.why("it")
      assert.strictEqual(why.reason, "blocked")
      assert.approximately(why.until! - world.now(), 10_000, 400)
      yield* pass(11_000)
      assert.isAbove(world.sent.length, 1)
    })
  )

  it.scoped("gives up what nobody wants any more, whenever that is", () =>
    Effect.gen(function* () {
      const world = yield* make({ requests: 6 }, "a", "b")
      const giveUps = Array.from({ length: 30 }, () => world.call("a"))
      yield* pass(10)
      for (const giveUp of giveUps) giveUp()
      yield* pass(2_000)
      const already = world.sent.length
      for (let n = 0; n < 10; n++) world.call("b")
      yield* pass(2_000)
      assert.strictEqual(world.sent.length, 6)
      assert.isBelow(already, 7)
    })
  )
})

describe("a part that is set aside", () => {
  const make = () => {
    let now = 0
    let runners = ["a:1", "b:1"]
    const limiter = new Limiter.Limiter({ requests: 10, perMs })
    const unheard = new Unheard(limiter, { now: () => now, runners: () => runners })
    unheard.add("b:1", "b:1#1.0")
    assert.strictEqual(limiter.room(now), 5)
    return {
      unheard,
      room: (at: number) => {
        now = at
        return limiter.room(now)
      },
      leave: () => {
        runners = ["a:1"]
        unheard.sweep()
      }
    }
  }

  it("comes back when its runner speaks, who tells what it has sent", () => {
    const { room, unheard } = make()
    unheard.sweep()
    assert.strictEqual(room(10 * perMs), 5)
    unheard.heard("b:1#1.0")
    assert.strictEqual(room(10 * perMs), 10)
  })

  it("counts for another window when its runner is gone, or another process speaks from its address", () => {
    const [left, replaced] = [make(), make()]
    left.leave()
    replaced.unheard.heard("b:1#2.0")
    for (const { room } of [left, replaced]) {
      assert.strictEqual(room(perMs - 1), 5)
      assert.strictEqual(room(perMs), 10)
    }
  })
})

describe("the breaker of a model", () => {
  const breaker = { failures: 3, openMs: 10_000, openMostMs: 10_000 }

  it.scoped("opens for all runners, and lets one probe through when its time is over", () =>
    Effect.gen(function* () {
      const world = yield* make({ breaker }, "a", "b")
      world.call("b")
      for (let n = 0; n < 3; n++) world.call("a")
      yield* pass(300)
      world.answer("Overloaded")
      yield* pass(300)
      assert.strictEqual(world.lanes.get("b")!.stateOf("it").state, "open")
      for (let n = 0; n < 5; n++) for (const runner of ["a", "b"]) world.call(runner)
      yield* pass(9_000)
      assert.strictEqual(world.sent.length, 4)
      yield* pass(1_500)
      assert.strictEqual(world.sent.length, 5)
      world.answer()
      yield* pass(1_000)
      assert.strictEqual(world.sent.length, 14)
    })
  )

  it.scoped("is half-open for no longer than a probe waits for an answer, however long that one is", () =>
    Effect.gen(function* () {
      const world = yield* make({ breaker }, "a", "b")
      for (let n = 0; n < 3; n++) world.call("a")
      yield* pass(300)
      world.answer("Overloaded")
      yield* pass(300)
      for (let n = 0; n < 3; n++) for (const runner of ["a", "b"]) world.call(runner)
      yield* pass(10_500)
      assert.strictEqual(world.sent.length, 4)
      // It streams, and goes on to; the next is tried, and is not answered.
      world.sent[3]!.permit.heard(undefined, true)
      yield* pass(5_000)
      assert.strictEqual(world.sent.length, 5)
      world.sent[4]!.permit.heard(undefined, true)
      yield* pass(1_000)
      assert.strictEqual(world.sent.length, 6)
      // Whole: now it is closed.
      world.sent[3]!.permit.over({ tokens: 10 })
      yield* pass(1_000)
      assert.strictEqual(world.sent.length, 9)
      // Those that were under way say nothing any more when they break off.
      world.sent[4]!.permit.over({ failure: "Interrupted" })
      world.sent[5]!.permit.over({ tokens: 10 })
      for (let n = 0; n < 3; n++) world.call("b")
      yield* pass(1_000)
      assert.strictEqual(world.sent.length, 12)
    })
  )

  it.scoped("is open after a move too, and a probe that died with its runner is tried anew", () =>
    Effect.gen(function* () {
      const world = yield* make({ breaker }, "a", "b")
      for (let n = 0; n < 3; n++) world.call("b")
      yield* pass(300)
      world.answer("Unreachable")
      yield* pass(1_200)
      world.die("a")
      world.move("b")
      yield* pass(500)
      world.call("b")
      yield* pass(5_000)
      assert.strictEqual(world.sent.length, 3)
      yield* world.start("c")
      yield* pass(5_000)
      assert.strictEqual(world.sent.length, 4)
      world.die("b")
      world.move("c")
      yield* pass(300)
      for (let n = 0; n < 3; n++) world.call("c")
      yield* pass(12_000)
      // One, until it is answered.
      assert.strictEqual(world.sent.length, 5)
      world.answer()
      yield* pass(1_000)
      assert.strictEqual(world.sent.length, 7)
    })
  )
})
