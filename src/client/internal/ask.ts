/** Asks a session, wherever it is: again when its runner has moved, died or hung. Every request is idempotent. */
import { Cause, Duration, Effect, Schedule } from "effect"
import { type Fenced, RunnerUnreachable } from "../../domain/Errors.ts"
import type { Settings } from "../Settings.ts"
import type { TransportError } from "../Transport.ts"

const isTransport = (error: { readonly _tag: string }): boolean =>
  error._tag === "Fenced" ||
  error._tag === "AlreadyProcessingMessage" ||
  error._tag === "PersistenceError" ||
  error._tag === "RpcClientError" ||
  // The cluster's own error of that name carries an address, ours a capacity.
  (error._tag === "MailboxFull" && "address" in error)

const elsewhere = { _tag: "Fenced" } as const

/**
 * A session that leaves its runner interrupts what it has not answered in time, and the cluster hands that interruption on
 * to whoever asked: for them it is an answer like any other. When it is the asking fiber that is interrupted, nothing here
 * runs.
 */
const answered = <A, E>(request: Effect.Effect<A, E>): Effect.Effect<A, E | typeof elsewhere> =>
  Effect.catchAllCause(
    request,
    (cause): Effect.Effect<never, E | typeof elsewhere> =>
      Cause.isInterruptedOnly(cause) ? Effect.fail(elsewhere) : Effect.failCause(cause)
  )

/** @param extraMs how long the request itself may wait for its answer, beyond what an answer takes */
export const ask = <A, E extends { readonly _tag: string }>(
  settings: Settings,
  request: Effect.Effect<A, E>,
  extraMs = 0
): Effect.Effect<A, Exclude<E, Fenced | TransportError> | RunnerUnreachable> => {
  const attempt = Duration.sum(settings.attempt, Duration.millis(extraMs))
  const total = Duration.sum(settings.total, Duration.millis(extraMs))
  const unreachable = () =>
    new RunnerUnreachable({
      reason: `none within ${Duration.format(total)}; is a runner of this agent up? Asking again with the same id is safe`
    })
  return answered(request).pipe(
    Effect.timeoutFail({ duration: attempt, onTimeout: () => elsewhere }),
    Effect.retry({
      while: (error) => isTransport(error),
      schedule: Schedule.exponential("5 millis", 1.6).pipe(Schedule.union(Schedule.spaced("200 millis")))
    }),
    Effect.timeoutFail({ duration: total, onTimeout: unreachable })
  ) as Effect.Effect<A, Exclude<E, Fenced | TransportError> | RunnerUnreachable>
}
