/** Shards that were asked for without an answer: they may be ours by the store, and nobody here knows it. */
import { Effect, Exit } from "effect"
import type { Shard } from "../../domain/Id.ts"
import { OneAtATime } from "../../domain/OneAtATime.ts"
import { monotonic } from "./monotonic.ts"

/** For how long a question that was not answered may still be granted: as long as the store lets a statement run. */
const doubtMs = 60_000

export class Doubts {
  /** When each was last asked for in vain. An answer to another question does not end it: the first may be on its way yet. */
  private readonly since = new Map<Shard, number>()
  private readonly oneAtATime = new OneAtATime().run

  /** Asks the store for shards. Whoever asked may give up waiting, too. */
  asking<A, E, R>(shards: ReadonlyArray<Shard>, ask: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return ask.pipe(
      Effect.onExit((exit) =>
        Exit.isSuccess(exit)
          ? Effect.void
          : Effect.map(monotonic, (at) => {
              for (const shard of shards) this.since.set(shard, at)
            })
      ),
      this.oneAtATime
    )
  }

  /** Gives back what nobody here knows to have: others wait for it, and this runner may never ask for it again. */
  settle<E>(
    isKnown: (shard: Shard) => boolean,
    release: (shards: ReadonlyArray<Shard>) => Effect.Effect<void, E>
  ): Effect.Effect<void, E> {
    return Effect.gen(this, function* () {
      if (this.since.size === 0) return
      const at = yield* monotonic
      const ghosts = [...this.since.keys()].filter((shard) => !isKnown(shard))
      if (ghosts.length > 0) yield* release(ghosts)
      for (const [shard, since] of this.since) if (at - since > doubtMs) this.since.delete(shard)
    }).pipe(this.oneAtATime)
  }
}
