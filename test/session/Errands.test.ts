/** What a runner does for the sessions of others, whatever is said to it twice, late or by the dead. */
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Option, Runtime, TestClock } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Blobs } from "../../src/blob/index.ts"
import type { Epoch, StepId } from "../../src/domain/Id.ts"
import { SessionKey } from "../../src/domain/Id.ts"
import { type Behaviour, type OpenStep, Pools, type StepContext } from "../../src/session/index.ts"
import { Errand } from "../../src/session/internal/errand.ts"
import { ErrandHost } from "../../src/session/internal/errandHost.ts"
import { here } from "../../src/session/internal/gate.ts"
import { Sqlite } from "../../src/store/index.ts"

const epoch = (n: number) => n as Epoch

const step: OpenStep = {
  step: "2" as StepId,
  turn: 1,
  kind: "tool",
  name: "paint",
  input: null,
  repeatable: "never",
  attempt: 1,
  dueAt: 0,
  nextInput: "original",
  partial: undefined
}

/** A host, and a witness of what ran on it. */
const setting = (slots: number, perform: (context: StepContext) => Effect.Effect<string>) =>
  Effect.gen(function* () {
    const pools = yield* Pools.Pools.pipe(Effect.provide(Pools.Pools.layer({ heavy: slots })))
    const runtime = yield* Effect.runtime<Blobs>()
    const witness: Array<string> = []
    let now = 0
    const behaviour: Behaviour = {
      ...Agent.make("painter").behaviour,
      perform: (_, __, context) =>
        Effect.sync(() => witness.push("began")).pipe(
          Effect.zipRight(perform(context)),
          Effect.onInterrupt(() => Effect.sync(() => witness.push("interrupted"))),
          Effect.map((output) => ({ output }))
        )
    }
    const registered = { behaviour, context: Context.empty() }
    const host = new ErrandHost("a:2#1.1", SessionKey.parse("default/s"), {
      elapsed: () => now,
      gateOf: (pool) => here(pools.get(pool), "default"),
      fork: (_, effect) => Runtime.runFork(runtime)(effect)
    })
    const begin = (ticket: string, at: Epoch) => host.begin(ticket, at, host.name, step)
    const drop = (ticket: string, at: Epoch) => host.drop(ticket, at, host.name)
    const pool = pools.get("heavy").fair
    /** Whether the slot is there. */
    const reserve = (ticket: string, at: Epoch) =>
      Effect.map(host.reserve(ticket, at, "heavy", registered, "a:1", 0), (name) => name !== null)
    return { host, begin, drop, reserve, witness, pool, wait: (ms: number) => (now += ms) }
  })

const live = <A, E>(effect: Effect.Effect<A, E, Blobs>) =>
  effect.pipe(Effect.provide(Blobs.layer.pipe(Layer.provide(Sqlite.layerMemory))))

describe("an errand", () => {
  it.live("waits for its slot, begins once however often that is said, and tells its end until it is dropped", () =>
    live(
      Effect.gen(function* () {
        const { begin, drop, host, pool, reserve, witness } = yield* setting(1, ({ emit }) =>
          Effect.as(emit("progress", "half"), "painted")
        )
        expect(yield* reserve("1", epoch(1))).toBe(true)
        expect(yield* reserve("2", epoch(1))).toBe(false)
        yield* Effect.all([begin("1", epoch(1)), begin("1", epoch(1))], { concurrency: 2 })
        const first = yield* host.follow("1", epoch(1), 0, 0, 1_000)
        expect(first.pieces).toEqual([{ channel: "progress", text: "half" }])
        // The answer was lost: it is asked for again.
        expect(yield* host.follow("1", epoch(1), 0, 0, 1_000)).toEqual(first)
        const last = yield* host.follow("1", epoch(1), 1, 0, 1_000)
        expect(last.outcome).toMatchObject({ _tag: "Succeeded", output: { output: "painted" } })
        yield* begin("1", epoch(1))
        expect(witness).toEqual(["began"])
        // Its slot went to the next when it was done.
        expect(yield* reserve("2", epoch(1))).toBe(true)
        yield* drop("1", epoch(1))
        expect((yield* Effect.flip(begin("1", epoch(1))))._tag).toBe("ErrandLost")
        yield* host.close
        expect([pool.running, pool.waiting]).toEqual([0, 0])
        expect(witness).toEqual(["began"])
      })
    )
  )

  it.live("of an older epoch is refused, and ended before one of a newer epoch begins (I3)", () =>
    live(
      Effect.gen(function* () {
        const { begin, host, reserve, witness } = yield* setting(1, () => Effect.never)
        yield* reserve("1", epoch(1))
        yield* begin("1", epoch(1))
        expect(yield* reserve("9", epoch(2))).toBe(true)
        expect(witness).toEqual(["began", "interrupted"])
        expect((yield* Effect.flip(begin("1", epoch(1)))).message).toContain("another runner now")
        expect((yield* Effect.flip(reserve("8", epoch(1)))).message).toContain("another runner now")
        yield* host.close
      })
    )
  )

  it.live("that nobody asks after is ended, and one that was never begun is never begun elsewhere (I5, I7)", () =>
    live(
      Effect.gen(function* () {
        const { begin, host, pool, reserve, wait, witness } = yield* setting(1, () => Effect.never)
        expect((yield* Effect.flip(begin("0", epoch(1))))._tag).toBe("ErrandLost")
        yield* reserve("1", epoch(1))
        yield* begin("1", epoch(1))
        yield* reserve("2", epoch(1))
        wait(10)
        yield* reserve("2", epoch(1))
        yield* host.sweep(({ seenAt }) => seenAt < 5)
        expect(witness).toEqual(["began", "interrupted"])
        expect(yield* reserve("2", epoch(1))).toBe(true)
        yield* host.close
        expect(pool.running).toBe(0)
      })
    )
  )

  it.live("saves what it wants saved when the other runner says that it is, and goes on then", () =>
    live(
      Effect.gen(function* () {
        const { begin, host, reserve } = yield* setting(1, ({ save }) => Effect.as(save({ layers: 1 }), "painted"))
        yield* reserve("1", epoch(1))
        yield* begin("1", epoch(1))
        const asked = yield* host.follow("1", epoch(1), 0, 0, 1_000)
        expect([asked.save, asked.outcome]).toEqual([{ number: 1, partial: { layers: 1 } }, null])
        const waiting = yield* Effect.fork(host.follow("1", epoch(1), 0, 1, 1_000))
        expect((yield* Fiber.join(waiting)).outcome).toMatchObject({ _tag: "Succeeded" })
        yield* host.close
      })
    )
  )

  it.live(
    "that is ended from outside is lost to whoever follows it, when it is over: that is no end of the tool's (I5)",
    () =>
      live(
        Effect.gen(function* () {
          for (const by of ["sweep", "close", "newer epoch"]) {
            const { begin, host, reserve, witness } = yield* setting(1, () => Effect.never)
            yield* reserve("1", epoch(1))
            yield* begin("1", epoch(1))
            const follow = (): Effect.Effect<unknown, unknown> =>
              Effect.flatMap(host.follow("1", epoch(1), 0, 0, 60_000), ({ outcome }) =>
                outcome === null ? follow() : Effect.succeed(outcome)
              )
            const following = yield* Effect.fork(Effect.flip(follow()))
            yield* Effect.yieldNow()
            if (by === "sweep") yield* host.sweep(() => true)
            else if (by === "close") yield* host.close
            else {
              // Both wait until it is over.
              yield* Effect.all([reserve("8", epoch(2)), reserve("9", epoch(2))], { concurrency: 2 })
            }
            expect(witness).toEqual(["began", "interrupted"])
            expect(yield* Fiber.join(following)).toMatchObject({ _tag: "ErrandLost", neverBegan: false })
          }
        })
      )
  )

  it.live("of a runner that leaves may end and is told; none comes any more, and the rest is ended (I5, I7)", () =>
    live(
      Effect.gen(function* () {
        const go = yield* Effect.makeLatch(false)
        const { begin, drop, host, reserve, witness } = yield* setting(2, ({ step }) =>
          Effect.as(step === "2" ? go.await : Effect.void, "painted")
        )
        yield* reserve("1", epoch(1))
        yield* reserve("2", epoch(1))
        yield* begin("1", epoch(1))
        yield* reserve("3", epoch(1))
        const leaving = yield* Effect.fork(host.leave("1 minute"))
        yield* Effect.yieldNow()
        // Nothing begins: not what waits, not what has its slot, not what is new; and that is certain.
        expect(yield* Effect.flip(begin("2", epoch(1)))).toMatchObject({ neverBegan: true })
        expect((yield* Effect.flip(reserve("3", epoch(1))))._tag).toBe("ErrandLost")
        expect((yield* Effect.flip(reserve("4", epoch(1))))._tag).toBe("ErrandLost")
        // Whatever would end it has had its turn.
        yield* Effect.promise(() => new Promise<void>((resume) => setImmediate(resume)))
        expect(witness).toEqual(["began"])
        yield* go.open
        expect((yield* host.follow("1", epoch(1), 0, 0, 1_000)).outcome).toMatchObject({ _tag: "Succeeded" })
        expect(yield* Fiber.poll(leaving)).toMatchObject({ _tag: "None" })
        yield* drop("1", epoch(1))
        yield* Fiber.join(leaving)
        expect(witness).toEqual(["began"])

        const other = yield* setting(1, () => Effect.never)
        yield* other.reserve("1", epoch(1))
        yield* other.begin("1", epoch(1))
        yield* other.host.leave("10 millis")
        expect(other.witness).toEqual(["began", "interrupted"])
        expect(yield* Effect.flip(other.host.follow("1", epoch(1), 0, 0, 0))).toMatchObject({ neverBegan: false })
      })
    )
  )

  it.live("that is over when it is ended is told to have come to what it came to, once (I5)", () =>
    live(
      Effect.gen(function* () {
        const { begin, drop, host, reserve } = yield* setting(2, () => Effect.succeed("painted"))
        for (const ticket of ["1", "2"]) {
          yield* reserve(ticket, epoch(1))
          yield* begin(ticket, epoch(1))
          yield* host.follow(ticket, epoch(1), 0, 0, 1_000)
        }
        expect(yield* drop("1", epoch(1))).toMatchObject({ _tag: "Succeeded", output: { output: "painted" } })
        expect(yield* drop("1", epoch(1))).toBe("unknown")
        expect(yield* host.drop("2", epoch(1), host.name, true)).toBe("unknown")
        yield* host.close
      })
    )
  )

  it.live("does not begin for a call that was under way for long, whatever else comes late (I5)", () =>
    live(
      Effect.gen(function* () {
        const { begin, host, reserve, wait, witness } = yield* setting(2, () => Effect.never)
        for (const ticket of ["1", "2", "3"]) yield* reserve(ticket, epoch(1)).pipe(Effect.ignore)
        wait(2_000)
        yield* host.keep("1", epoch(1), host.name)
        expect(yield* reserve("2", epoch(1))).toBe(true)
        wait(2_000)
        yield* begin("1", epoch(1))
        expect(yield* Effect.flip(begin("2", epoch(1)))).toMatchObject({ neverBegan: true })
        expect(witness).toEqual(["began"])
        // What has begun goes on, however late it is asked after; the slot of the other went to the next.
        wait(4_000)
        yield* host.follow("1", epoch(1), 0, 0, 0)
        expect(yield* reserve("3", epoch(1))).toBe(true)
        yield* host.close
      })
    )
  )

  it.live("is known not to have begun only where its slot was granted, and never comes back (I5)", () =>
    live(
      Effect.gen(function* () {
        const { begin, drop, host, reserve, witness } = yield* setting(2, () => Effect.never)
        yield* reserve("1", epoch(1))
        const elsewhere = yield* Effect.flip(host.begin("1", epoch(1), "b:1#1.1", step))
        expect(elsewhere.neverBegan).toBe(false)
        expect(yield* drop("1", epoch(1))).toBe("neverBegan")
        // Said before it was dropped, and late.
        expect((yield* Effect.flip(reserve("1", epoch(1))))._tag).toBe("ErrandLost")
        expect((yield* Effect.flip(begin("1", epoch(1)))).neverBegan).toBe(true)
        yield* reserve("2", epoch(1))
        yield* begin("2", epoch(1))
        expect(yield* drop("2", epoch(1))).toBe("stopped")
        expect(yield* drop("2", epoch(1))).toBe("stopped")
        expect(yield* drop("3", epoch(1))).toBe("unknown")
        expect((yield* Effect.flip(reserve("3", epoch(1))))._tag).toBe("ErrandLost")
        expect(witness).toEqual(["began", "interrupted"])
        yield* host.close
      })
    )
  )

  it.live("that says more than is fetched waits, loses nothing, and ends though nobody fetches (I7)", () =>
    live(
      Effect.gen(function* () {
        let said = 0
        const piece = "x".repeat(64 * 1024)
        const flood = ({ emit }: StepContext) =>
          Effect.as(
            Effect.forEach(
              Array.from({ length: 100 }),
              () =>
                Effect.zipRight(
                  emit("progress", piece),
                  Effect.sync(() => said++)
                ),
              { discard: true }
            ),
            "painted"
          )
        const { begin, host, reserve } = yield* setting(2, flood)
        yield* reserve("1", epoch(1))
        yield* begin("1", epoch(1))
        let heard = 0
        const follow = (seen: number): Effect.Effect<unknown, unknown> =>
          Effect.flatMap(host.follow("1", epoch(1), seen, 0, 1_000), ({ outcome, pieces }) => {
            // Less than two megabytes wait, however fast it speaks.
            expect(said - seen).toBeLessThan(32)
            for (const { text } of pieces) heard += text.length
            return outcome === null ? follow(seen + pieces.length) : Effect.succeed(outcome)
          })
        expect(yield* follow(0)).toMatchObject({ _tag: "Succeeded" })
        expect(heard).toBe(100 * piece.length)

        const deaf = yield* setting(1, (context) => Effect.uninterruptible(flood(context)))
        yield* deaf.reserve("1", epoch(1))
        yield* deaf.begin("1", epoch(1))
        yield* Effect.yieldNow()
        yield* deaf.host.close
        expect(deaf.pool.running).toBe(0)
      })
    )
  )

  it.live("that cannot be interrupted holds up neither its runner when that leaves, nor its shard", () =>
    live(
      Effect.gen(function* () {
        const { begin, host, reserve } = yield* setting(1, () => Effect.uninterruptible(Effect.never))
        expect(yield* reserve("1", epoch(1))).toBe(true)
        yield* begin("1", epoch(1))
        yield* Effect.timeoutFail(Effect.disconnect(host.leave("50 millis")), {
          duration: "5 seconds",
          onTimeout: () => "its runner does not leave"
        })
        yield* Effect.timeoutFail(Effect.disconnect(host.close), {
          duration: "5 seconds",
          onTimeout: () => "its shard does not move"
        })
      })
    )
  )
})

describe("what waits for news of an errand", () => {
  it.effect("waits until it is so, whatever else changes, and no longer than it may", () =>
    Effect.gen(function* () {
      const registered = { behaviour: Agent.make("painter").behaviour, context: Context.empty() }
      const errand = new Errand("1", epoch(1), registered, "a:1", 0)
      let looks = 0
      let isSo = false
      const looked = () => {
        looks++
        return isSo
      }
      const fiber = yield* Effect.fork(errand.until(looked, 1_000))
      yield* Effect.repeat(Effect.yieldNow(), { until: () => looks === 2 })
      // Something changes, and it is not so.
      errand.leave()
      yield* Effect.repeat(Effect.yieldNow(), { until: () => looks === 3 })
      expect(yield* Fiber.poll(fiber)).toEqual(Option.none())
      isSo = true
      errand.leave()
      yield* Fiber.join(fiber)

      const late = yield* Effect.fork(errand.until(() => false, 1_000))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(late)
    })
  )
})
