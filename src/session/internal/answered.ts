/** What a host of errands is asked until it answers. */
import { Cause, Effect, Exit } from "effect"
import { Misrouted } from "../../domain/Errors.ts"
import { ErrandLost } from "./errandProtocol.ts"

/** How long a look may take until its runner is lost, in milliseconds; a host that hears nothing for so long ends the errand. */
export const answerMs = 6_000
/** How long to wait before asking again where there was no answer, or nobody to ask, in milliseconds. */
export const againMs = 200

/** How long a slot is kept in which nothing has begun, when nobody asks for it, in milliseconds. */
export const unaskedMs = 2_500

/** What the host said, if it was the host that said something. */
export const lossOf = (cause: Cause.Cause<unknown>): ErrandLost | null => {
  const error = Cause.squash(cause)
  return error instanceof ErrandLost ? error : null
}

const isAnswer = (cause: Cause.Cause<unknown>): boolean =>
  Cause.isDie(cause) || lossOf(cause) !== null || Cause.squash(cause) instanceof Misrouted

/**
 * Asks until the host has answered. All that is asked of it may be asked again; that a connection was cut, or that a
 * request is there already and its answer is gone, says nothing of the errand.
 */
export const answered = <A, E>(request: Effect.Effect<A, E>): Effect.Effect<A, E | Cause.TimeoutException> => {
  const again: Effect.Effect<A, E> = Effect.flatMap(Effect.exit(request), (exit) =>
    Exit.isSuccess(exit) || isAnswer(exit.cause) ? exit : Effect.zipRight(Effect.sleep(againMs), again)
  )
  return Effect.timeout(again, answerMs)
}
