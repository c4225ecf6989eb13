/**
 * Keeps the sessions awake whose work outlasts their requests: the cluster sees requests, not turns, and lets go what
 * nobody asks for. One look at all of them now and then: a fiber for each would weigh more than the session.
 */
import { Duration, Effect, type Scope } from "effect"

interface Watched {
  readonly isActive: () => boolean
  /** Tells the cluster to keep it, or that it need not any more. */
  readonly keep: (active: boolean) => Effect.Effect<void>
  kept: boolean
}

export class Vigil {
  private readonly watched = new Map<string, Watched>()

  /** Begins to watch a session that has work; ends by itself when that is done. */
  watch(key: string, isActive: Watched["isActive"], keep: Watched["keep"]): void {
    if (!this.watched.has(key)) this.watched.set(key, { isActive, keep, kept: false })
  }

  /** The session leaves its runner. */
  forget(key: string): void {
    this.watched.delete(key)
  }

  /** @param idle how long the cluster keeps what nobody asks for */
  run(idle: Duration.DurationInput): Effect.Effect<void, never, Scope.Scope> {
    return Effect.sleep(Duration.times(idle, 1 / 3)).pipe(
      Effect.zipRight(Effect.suspend(() => Effect.forEach([...this.watched], this.look, { discard: true }))),
      Effect.forever,
      Effect.interruptible,
      Effect.forkScoped,
      Effect.asVoid
    )
  }

  private readonly look = ([key, one]: readonly [string, Watched]): Effect.Effect<void> => {
    const active = one.isActive()
    if (!active) this.watched.delete(key)
    if (active === one.kept) return Effect.void
    one.kept = active
    return one.keep(active)
  }
}
