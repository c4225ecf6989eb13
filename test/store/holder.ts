/**
 * A process that opens a store, becomes the runner `held:1` of `shard:held`, says so and stays until it is killed.
 * Arguments: `sqlite DIRECTORY` or `postgres URL`.
 */
import { Console, Effect, Redacted } from "effect"
import { Postgres, Sqlite, Store } from "../../src/store/index.ts"
import { group, namespace, row, shard } from "./rows.ts"

const [driver, where] = process.argv.slice(2) as [string, string]

const program = Effect.gen(function* () {
  const store = yield* Store
  yield* store.register({ address: "held:1", incarnation: "one", info: "", healthy: true })
  yield* store.acquire("held:1", "one", [shard("shard:held")], 60_000)
  yield* store.append([group({ namespace: namespace("held"), shard: shard("shard:held") }, "s", 1, [row(1)])])
  yield* Console.log("held")
  return yield* Effect.never
})

const live = driver === "sqlite" ? Sqlite.layer({ directory: where }) : Postgres.layer({ url: Redacted.make(where) })
// A timer, because `never` alone does not keep a process.
setInterval(() => undefined, 60_000)
await Effect.runPromise(program.pipe(Effect.provide(live)))
