/** How long a runner that leaves waits for its store: without its last words the others find out by themselves. */
import { Effect } from "effect"
import { StoreUnavailable } from "../../domain/Errors.ts"

/** For each of the last words. Nobody waits for them: that this process is gone is seen at once. */
const goodbyeMs = 300

const unheard = new StoreUnavailable({ operation: "unregister", reason: `no answer within ${goodbyeMs} ms` })

// Finalizers are not interruptible by themselves, and what is not cannot time out.
const apart = <A, E>(effect: Effect.Effect<A, E>) => effect.pipe(Effect.disconnect, Effect.interruptible)

export const lastWord = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | StoreUnavailable> =>
  Effect.timeoutFail(apart(effect), { duration: goodbyeMs, onTimeout: () => unheard })

/**
 * How long all of it takes is for whoever leaves to say: tools may have minutes.
 *
 * @param isLost the sessions have been given up: what is left of leaving would wait for one answer after another that does
 *   not come, until the orchestrator kills it
 * @param end ends the process
 */
export const orWithoutAWord = (
  leave: Effect.Effect<void, StoreUnavailable>,
  isLost: () => boolean,
  end: Effect.Effect<void>
): Effect.Effect<void> =>
  apart(leave).pipe(
    Effect.catchAll((error) => Effect.logWarning(error.message)),
    Effect.zipRight(
      Effect.suspend(() =>
        isLost()
          ? Effect.zipRight(Effect.logWarning("The store does not answer: this runner goes without a word."), end)
          : Effect.void
      )
    )
  )
