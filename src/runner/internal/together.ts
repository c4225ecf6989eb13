/** Many calls that come at once become few: what is asked for while one is under way goes together in the next. */
import { Deferred, Effect } from "effect"
import { OneAtATime } from "../../domain/OneAtATime.ts"

interface Batch<A, E> {
  readonly items: Array<A>
  readonly done: Deferred.Deferred<void, E>
  taken: boolean
}

/** @param run is called by one at a time, never with nothing */
export const together = <A, E>(
  run: (items: ReadonlyArray<A>) => Effect.Effect<void, E>
): ((item: A) => Effect.Effect<void, E>) => {
  const fresh = (): Effect.Effect<Batch<A, E>> =>
    Effect.map(Deferred.make<void, E>(), (done) => ({ items: [], done, taken: false }))
  const { run: one } = new OneAtATime()
  let waiting: Batch<A, E> | null = null

  return (item) =>
    Effect.gen(function* () {
      const mine: Batch<A, E> = waiting ?? (yield* fresh())
      waiting = mine
      mine.items.push(item)
      yield* one(
        Effect.suspend(() => {
          if (mine.taken) return Effect.void
          mine.taken = true
          if (waiting === mine) waiting = null
          // Whoever goes away meanwhile has asked for the others too.
          return Effect.uninterruptible(Effect.intoDeferred(run(mine.items), mine.done))
        })
      )
      yield* Deferred.await(mine.done)
    })
}
