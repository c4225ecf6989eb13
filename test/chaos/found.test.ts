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

/** A store by a connection of its own, and its end. */
const open = (url: string) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    const context = yield* Layer.buildWithScope(Postgres.layer({ url: Redacted.make(url) }), scope)
    return { store: Context.get(context, Store), close: Scope.close(scope, Exit.void) }
  })

const join = (store: Store["Type"], address: string) =>
  store.register({ address, incarnation: "1", info: "", healthy: true })

describe("found under fire", () => {
  it.scopedLive(
    "a runner that is cut off in the middle of a takeover does not hold up the one that comes after it",
    () =>
      Effect.gen(function* () {
        const url = Redacted.value(yield* Server.database)
        const proxied = new URL(url)
        const proxy = yield* Effect.acquireRelease(
          Effect.promise(() =>
            Proxy.listen({ host: proxied.hostname, port: Number(proxied.port) }, { host: "127.0.0.1", port: 0 })
          ),
          (proxy) => Effect.sync(() => proxy.close())
        )
        proxied.host = `127.0.0.1:${proxy.port}`
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
})
