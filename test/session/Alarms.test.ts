/** Timers in memory (I9): one that is due wakes its session, until that has journaled that it fired. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, TestClock } from "effect"
import { Namespace, SessionId, SessionKey, type Shard, type TimerId } from "../../src/domain/Id.ts"
import { Alarms } from "../../src/session/index.ts"

const key = SessionKey.make({ namespace: Namespace.make("default"), session: SessionId.make("s") })
const shard = "default:1" as Shard
const timer = "wall:1" as TimerId

const woken = (wake: Effect.Effect<void> = Effect.void) =>
  Effect.gen(function* () {
    const alarms = yield* Alarms
    let times = 0
    yield* alarms.run(() =>
      Effect.zipRight(
        Effect.sync(() => void times++),
        wake
      )
    )
    yield* TestClock.adjust("1 millis")
    return { alarms, times: () => times }
  })

describe("an alarm", () => {
  it.scoped("wakes its session once where that says that it fired", () =>
    Effect.gen(function* () {
      const { alarms, times } = yield* woken()
      alarms.set(key, shard, timer, 5_000)
      yield* TestClock.adjust("4900 millis")
      assert.strictEqual(times(), 0)
      yield* TestClock.adjust("200 millis")
      assert.strictEqual(times(), 1)
      alarms.clear(key, timer)
      yield* TestClock.adjust("1 day")
      assert.strictEqual(times(), 1)
    }).pipe(Effect.provide(Alarms.layer))
  )

  it.scoped(
    "wakes it again where that found that it was not due: a clock that was set back in between loses nothing",
    () =>
      Effect.gen(function* () {
        const { alarms, times } = yield* woken()
        alarms.set(key, shard, timer, 5_000)
        yield* TestClock.adjust("6 seconds")
        assert.strictEqual(times(), 1)
        yield* TestClock.adjust("61 seconds")
        assert.strictEqual(times(), 2)
        alarms.drop([shard])
        yield* TestClock.adjust("1 day")
        assert.strictEqual(times(), 2)
      }).pipe(Effect.provide(Alarms.layer))
  )

  it.scoped("does not wake it again while it is being woken: its store may be down for long", () =>
    Effect.gen(function* () {
      const up = yield* Deferred.make<void>()
      const { alarms, times } = yield* woken(Deferred.await(up))
      alarms.set(key, shard, timer, 5_000)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(times(), 1)
      yield* Deferred.succeed(up, undefined)
      yield* TestClock.adjust("61 seconds")
      assert.strictEqual(times(), 2)
    }).pipe(Effect.provide(Alarms.layer))
  )
})
