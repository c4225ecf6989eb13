/**
 * Durable timers in memory (I9). The rows are the truth; this holds those of the runner's shards and wakes a session when
 * one is due. The session itself journals that it fired, once, and only if it is due.
 */
import { Clock, Context, Effect, Layer, type Scope } from "effect"
import type { SessionKey, Shard, TimerId } from "../domain/Id.ts"

interface Alarm {
  readonly key: SessionKey
  readonly shard: Shard
  due: number
}

/**
 * The longest sleep: a timer of years must survive `setTimeout`'s 24 days, and a clock that is set. After as long a timer
 * that was due is due again, unless its session has journaled that it fired: by the clock that the session looked at, it may
 * not have been.
 */
const longestSleepMs = 60_000

export class Alarms extends Context.Tag("perdure/Alarms")<
  Alarms,
  {
    readonly set: (key: SessionKey, shard: Shard, timer: TimerId, due: number) => void
    readonly clear: (key: SessionKey, timer: TimerId) => void
    /** The shards have left: their timers are another runner's. */
    readonly drop: (shards: ReadonlyArray<Shard>) => void
    /** Runs for as long as the runner does; `wake` is called for each session with a timer that is due. */
    readonly run: (wake: (key: SessionKey) => Effect.Effect<void>) => Effect.Effect<void, never, Scope.Scope>
  }
>() {
  static readonly layer: Layer.Layer<Alarms> = Layer.sync(Alarms, () => {
    const alarms = new Map<string, Alarm>()
    const latch = Effect.unsafeMakeLatch(false)
    // The earliest due time, so that setting a later timer disturbs nobody.
    let earliest = Number.POSITIVE_INFINITY
    const nameOf = (key: SessionKey, timer: TimerId) => `${key}#${timer}`

    const waking = new Set<string>()

    const takeDue = (now: number): ReadonlyArray<SessionKey> => {
      const due = new Map<string, SessionKey>()
      earliest = Number.POSITIVE_INFINITY
      for (const alarm of alarms.values()) {
        if (alarm.due <= now) {
          due.set(String(alarm.key), alarm.key)
          alarm.due = now + longestSleepMs
        }
        earliest = Math.min(earliest, alarm.due)
      }
      return [...due.values()].filter((key) => !waking.has(String(key)))
    }

    const once = (key: SessionKey, wake: Effect.Effect<void>) => {
      waking.add(String(key))
      return Effect.ensuring(
        wake,
        Effect.sync(() => waking.delete(String(key)))
      )
    }

    return {
      set: (key, shard, timer, due) => {
        alarms.set(nameOf(key, timer), { key, shard, due })
        if (due < earliest) {
          earliest = due
          latch.unsafeOpen()
        }
      },
      clear: (key, timer) => {
        alarms.delete(nameOf(key, timer))
      },
      drop: (shards) => {
        const gone = new Set<string>(shards)
        for (const [name, alarm] of alarms) if (gone.has(alarm.shard)) alarms.delete(name)
      },
      run: (wake) =>
        Effect.gen(function* () {
          while (true) {
            const now = yield* Clock.currentTimeMillis
            const due = takeDue(now)
            yield* Effect.forEach(due, (key) => Effect.forkDaemon(once(key, wake(key))), { discard: true })
            latch.unsafeClose()
            const pause = Math.min(Math.max(earliest - now, 0), longestSleepMs)
            yield* earliest === Number.POSITIVE_INFINITY
              ? latch.await
              : Effect.raceFirst(Effect.sleep(pause), latch.await)
          }
        }).pipe(Effect.forkScoped, Effect.asVoid)
    }
  })
}
