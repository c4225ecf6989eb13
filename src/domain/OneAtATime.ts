/**
 * Lets one effect run at a time; others wait for their turn, first come first served.
 *
 * Not Effect's semaphore: a fiber that yields just when it has taken a permit, and is interrupted there, takes it along, and
 * all that come after it wait for ever. The simulator found a session that nobody could wake any more.
 */
import { Deferred, Effect, FiberId, type Scope } from "effect"

interface Waiting {
  readonly turn: Deferred.Deferred<void>
  isGranted: boolean
}

export class OneAtATime {
  private isTaken = false
  private readonly waiting = new Set<Waiting>()

  /** Whoever is interrupted while it waits gives its place up. */
  readonly run = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.zipRight(this.turn(restore), Effect.ensuring(restore(effect), Effect.sync(this.next)))
    )

  /** A turn that lasts until the scope closes. */
  readonly scoped: Effect.Effect<void, never, Scope.Scope> = Effect.uninterruptibleMask((restore) =>
    Effect.zipRight(
      this.turn(restore),
      Effect.addFinalizer(() => Effect.sync(this.next))
    )
  )

  /** Only in a region that nothing interrupts, so that whoever has its turn comes to where it gives it back. */
  private readonly turn = (restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      if (!this.isTaken) {
        this.isTaken = true
        return Effect.void
      }
      const mine: Waiting = { turn: Deferred.unsafeMake<void>(FiberId.none), isGranted: false }
      this.waiting.add(mine)
      return Effect.onError(restore(Deferred.await(mine.turn)), () =>
        Effect.sync(() => {
          this.waiting.delete(mine)
          if (mine.isGranted) this.next()
        })
      )
    })

  private readonly next = (): void => {
    const [first] = this.waiting
    if (first === undefined) {
      this.isTaken = false
      return
    }
    this.waiting.delete(first)
    first.isGranted = true
    Deferred.unsafeDone(first.turn, Effect.void)
  }
}
