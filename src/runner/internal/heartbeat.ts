/**
 * Whether the store still takes this runner for alive, as far as the runner can know.
 *
 * A heartbeat that is answered says so for `heartbeatExpiry` from when it was sent. Without an answer for as long, others
 * may own the sessions: they are given up before that, though the store may come back and say that nobody took them.
 */
import { Clock, Duration, Effect, type Scope } from "effect"
import type { StoreUnavailable } from "../../domain/Errors.ts"
import { monotonic } from "./monotonic.ts"

export interface Options {
  readonly heartbeat: Duration.DurationInput
  readonly heartbeatExpiry: Duration.DurationInput
  /** False: others have declared this runner dead. `null`: it is not registered, or not any more. */
  readonly beat: Effect.Effect<boolean | null, StoreUnavailable>
  /** The runner has been declared dead. */
  readonly onDead: Effect.Effect<void>
  /** Nothing has come from the store for too long. */
  readonly onGivenUp: () => void
}

export interface Heartbeat {
  /** The next heartbeat is due now: a write was fenced. */
  readonly suspect: () => void
  /** The sessions have been given up, and no heartbeat has been answered since. */
  readonly isLost: () => boolean
  /** When the store has last answered, in milliseconds since the epoch; `null` before it ever has. */
  readonly heardAt: () => number | null
  /** The store has just confirmed this runner by other means. */
  readonly confirm: Effect.Effect<void>
}

export const make = (options: Options): Effect.Effect<Heartbeat, never, Scope.Scope> =>
  Effect.gen(function* () {
    const interval = Duration.toMillis(options.heartbeat)
    const expiry = Duration.toMillis(options.heartbeatExpiry)
    const due = Effect.unsafeMakeLatch(false)
    /** When the last heartbeat that was answered was sent; `null` before the first. */
    let confirmedAt: number | null = null
    let heardAt: number | null = null
    let lost = false

    const confirm = (sentAt: number) =>
      Effect.flatMap(Clock.currentTimeMillis, (at) => {
        confirmedAt = sentAt
        heardAt = at
        if (!lost) return Effect.void
        lost = false
        return Effect.logInfo("The store answers again and nobody has taken this runner for dead: it goes on.")
      })

    yield* Effect.gen(function* () {
      yield* Effect.raceFirst(Effect.sleep(interval), due.await)
      due.unsafeClose()
      const sentAt = yield* monotonic
      const answer = yield* options.beat.pipe(
        // Where the store is well it has found out by then that a connection leads nowhere, and asked on another one.
        Effect.disconnect,
        Effect.timeoutOption(Math.max(expiry, 1000))
      )
      if (answer._tag === "None" || answer.value === null) return
      if (!answer.value) return yield* options.onDead
      yield* confirm(sentAt)
      // What was asked long ago says little of now.
      if ((yield* monotonic) - sentAt > interval) due.unsafeOpen()
    }).pipe(
      // A store that does not answer is no verdict: the next heartbeat that gets through brings one.
      Effect.catchAll((error) => Effect.logWarning(error.message)),
      Effect.forever,
      Effect.forkScoped
    )

    yield* Effect.gen(function* () {
      let before = yield* monotonic
      let patientUntil = Number.NEGATIVE_INFINITY
      while (true) {
        yield* Effect.sleep(interval)
        const at = yield* monotonic
        // Awake after a pause of our own: the store may be well, and is asked first.
        if (at - before > 2 * interval) patientUntil = at + interval
        before = at
        if (lost || confirmedAt === null || at < patientUntil || at - confirmedAt <= expiry - interval) continue
        lost = true
        const seconds = ((at - confirmedAt) / 1000).toFixed(1)
        yield* Effect.logError(
          `The store has not answered for ${seconds} s: this runner gives its sessions up and goes on trying. Others may own them.`
        )
        options.onGivenUp()
      }
    }).pipe(Effect.forkScoped)

    return {
      suspect: () => due.unsafeOpen(),
      isLost: () => lost,
      heardAt: () => heardAt,
      confirm: Effect.flatMap(monotonic, confirm)
    }
  })
