/** What runs outside of all processes: before a run begins, and when it is over. */
import { Effect, Exit, Stream } from "effect"
import { SessionKey } from "../../../domain/Id.ts"
import { Journal } from "../../../journal/index.ts"
import { Store } from "../../../store/index.ts"
import type { Database } from "./Database.ts"
import type { Final } from "./History.ts"
import type { SimProcess } from "./SimProcess.ts"
import type { World } from "./World.ts"

/** Runs something outside of all processes to its end, while the world goes on. */
export const inside = <A, E>(world: World, outside: SimProcess, effect: Effect.Effect<A, E>): A => {
  let exit: Exit.Exit<A, E> | null = null
  outside.fork(effect).addObserver((one) => {
    exit = one
    world.end()
  })
  world.begin()
  const how = world.run(60_000)
  world.begin()
  const done = exit as Exit.Exit<A, E> | null
  if (done === null) {
    throw new Error(`what is outside of a simulated world waits for the real one: its layers may not (${how})`)
  }
  if (Exit.isFailure(done)) throw new Error(`what is outside of a simulated world failed: ${done.cause}`)
  return done.value
}

/** All journals, read and verified beside the runners. */
export const readAll = (database: Database): Effect.Effect<Pick<Final, "journals" | "verified">> =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const journals = new Map<string, Final["journals"] extends ReadonlyMap<string, infer V> ? V : never>()
    const verified = new Map<string, Final["verified"] extends ReadonlyMap<string, infer V> ? V : never>()
    for (const { namespace, session } of database.data.sessions) {
      const key = SessionKey.make({ namespace, session })
      journals.set(String(key), [...(yield* Stream.runCollect(journal.read(key, 0)))])
      verified.set(String(key), yield* journal.verify(key))
    }
    return { journals, verified }
  }).pipe(Effect.provide(Journal.layer), Effect.provideService(Store, database.data.connect("outside")), Effect.orDie)
