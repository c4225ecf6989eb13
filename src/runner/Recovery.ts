/**
 * What a runner does with shards that come to it: loads their pending timers and wakes their unfinished sessions.
 */
import { Duration, Effect, Layer, Queue, Schedule } from "effect"
import { SessionKey, type Shard } from "../domain/Id.ts"
import { Alarms, Protocol, SessionSettings } from "../session/index.ts"
import { Store } from "../store/index.ts"
import { Acquired, Leaving } from "./Membership.ts"
import type { Sharding } from "@effect/cluster"

/**
 * How many sessions wake at once: as many as keep the store busy. Of a thousand that all begin at once the first would go on
 * when the last does, and a client's request would wait for them all.
 */
const concurrency = 12

/** What a runner that leaves has beyond its tools' time: to see that it leaves, and to hand over. */
const settlingTime = Duration.millis(350)

export const layer: Layer.Layer<
  never,
  never,
  Acquired | Leaving | Alarms | Store | SessionSettings | Sharding.Sharding
> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const store = yield* Store
    const alarms = yield* Alarms
    const acquired = yield* Acquired
    const client = yield* Protocol.SessionEntity.client

    const wake = (key: SessionKey) =>
      client(String(key))
        .Wake()
        .pipe(
          Effect.retry({
            while: (error) => error._tag === "StoreUnavailable" || error._tag === "MailboxFull",
            schedule: Schedule.exponential("100 millis").pipe(Schedule.union(Schedule.spaced("5 seconds")))
          }),
          // Fenced: another runner has it and wakes it. Unknown agent, parked: told to whoever asks for the session.
          Effect.catchAllCause((cause) => Effect.logDebug(`session ${key} was not woken`, cause))
        )

    const recover = (shards: ReadonlyArray<Shard>) =>
      Effect.gen(function* () {
        const [timers, unfinished] = yield* Effect.all([store.timers(shards), store.unfinished(shards)], {
          concurrency: "unbounded"
        })
        for (const { due, namespace, session, shard, timer } of timers) {
          const key = SessionKey.make({ namespace, session })
          alarms.set(key, shard, timer, due)
        }
        yield* Effect.forEach(unfinished, (one) => wake(SessionKey.make(one)), { concurrency, discard: true })
      }).pipe(
        Effect.tapError((error) => Effect.logWarning(error.message)),
        Effect.retry(Schedule.spaced(Duration.seconds(1))),
        Effect.ignore
      )

    yield* alarms.run(wake)
    yield* Queue.take(acquired).pipe(
      Effect.flatMap((shards) => Effect.forkDaemon(recover(shards))),
      Effect.forever,
      Effect.forkScoped
    )
    // Built after the cluster and the sessions, so that it is left first.
    const leave = yield* Leaving
    const { drain } = yield* SessionSettings
    yield* Effect.addFinalizer(() =>
      leave.pipe(Effect.interruptible, Effect.timeoutOption(Duration.sum(drain, settlingTime)))
    )
  })
)
