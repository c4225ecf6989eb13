/** What was found under fire, as scenarios: each failed once, for the reason that it names. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Redacted, Scope } from "effect"
import { Postgres, Store } from "../../src/store/index.ts"
import type { Shard } from "../../src/domain/Id.ts"
import * as Server from "../support/Postgres.ts"
import { until } from "../support/World.ts"
import { Proxy } from "./Proxy.ts"

const shard = "default:1" as Shard
const expiryMs = 60_000

/** A store by connections of its own, and its end. */
const open = (url: string, settings: Partial<Postgres.Settings> = {}) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    const context = yield* Layer.buildWithScope(Postgres.layer({ url: Redacted.make(url), ...settings }), scope)
    return { store: Context.get(context, Store), close: Scope.close(scope, Exit.void) }
  })

const join = (store: Store["Type"], address: string) =>
  store.register({ address, incarnation: "1", info: "", healthy: true })

/** What lies between this process and a database. */
const between = (url: URL) =>
  Effect.acquireRelease(
    Effect.promise(() => Proxy.listen({ host: url.hostname, port: Number(url.port) }, { host: "127.0.0.1", port: 0 })),
    (proxy) => Effect.sync(() => proxy.close())
  ).pipe(
    Effect.tap((proxy) =>
      Effect.sync(() => {
        url.host = `127.0.0.1:${proxy.port}`
      })
    )
  )

describe("found under fire", () => {
  it.scopedLive(
    "a runner that is cut off in the middle of a takeover does not hold up the one that comes after it",
    () =>
      Effect.gen(function* () {
        const url = Redacted.value(yield* Server.database)
        const proxied = new URL(url)
        const proxy = yield* between(proxied)
        const [dead, cut, next] = yield* Effect.all([open(url), open(proxied.toString()), open(url)])
        yield* join(dead.store, "dead:1")
        assert.deepStrictEqual(yield* dead.store.acquire("dead:1", "1", [shard], expiryMs), [
          { shard, epoch: 1 } as never
        ])
        yield* dead.close
        yield* join(cut.store, "cut:1")
        yield* join(next.store, "next:1")

        // Before the stores close: they say good-bye.
        yield* Effect.addFinalizer(() => Effect.sync(() => proxy.close()))

        // It declares the dead one dead, and never hears that it has.
        proxy.deafAt = /DELETE 1/
        yield* Effect.forkScoped(Effect.ignore(cut.store.acquire("cut:1", "1", [shard], expiryMs)))
        yield* until("the one that is cut off has begun its takeover", () => proxy.deaf)
        const leases = yield* next.store.acquire("next:1", "1", [shard], expiryMs).pipe(Effect.timeout("5 seconds"))
        assert.deepStrictEqual(leases, [{ shard, epoch: 2 } as never])
      })
  )

  it.scopedLive("a connection that leads nowhere is given up, and not used again", () =>
    Effect.gen(function* () {
      const proxied = new URL(Redacted.value(yield* Server.database))
      const proxy = yield* between(proxied)
      const { store } = yield* open(proxied.toString(), { maxConnections: 1, statementTimeout: "1500 millis" })
      assert.deepStrictEqual(yield* store.runners(expiryMs), [])
      proxy.forget()
      const silence = yield* Effect.flip(store.runners(expiryMs))
      assert.include(silence.message, "did not answer in time")
      assert.deepStrictEqual(yield* store.runners(expiryMs), [])
    })
  )
})
