import * as SqlClient from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Exit, Layer, Redacted } from "effect"
import { Client } from "../../src/client/index.ts"
import { SessionKey } from "../../src/domain/Id.ts"
import { Journal } from "../../src/journal/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { Postgres } from "../../src/store/index.ts"
import { Ticker } from "../fixtures/ticker.ts"
import * as TestPostgres from "../support/Postgres.ts"
import * as Runners from "../support/Runners.ts"

const clientOf = (database: Redacted.Redacted) =>
  Runner.layerClient().pipe(
    Layer.provide(
      Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["PERDURE_DATABASE_URL", Redacted.value(database)]])))
    )
  )

const sessions = Array.from({ length: 8 }, (_, i) => `s${i}`)
const expiryMs = 8000

describe("runners whose Postgres is in trouble", () => {
  it.scopedLive(
    "crash, lost connections and a freeze beyond the heartbeat's expiry: no call is lost or doubled, and all goes on",
    () =>
      Effect.gen(function* () {
        // A server of its own, because it is crashed and frozen.
        const server = yield* Effect.acquireRelease(Effect.promise(TestPostgres.start), (server) =>
          Effect.promise(server.stop)
        )
        const database = yield* TestPostgres.databaseOn(server.url)
        const runners = yield* Runners.make(database)
        const environment = { PERDURE_HEARTBEAT_EXPIRY: `${expiryMs} millis` }
        const both = yield* Effect.all([runners.start(environment), runners.start(environment)], { concurrency: 2 })
        const seen = (test: () => boolean) =>
          Effect.suspend(() => (test() ? Effect.void : Effect.fail("not yet"))).pipe(
            Effect.retry({ schedule: Runners.often }),
            Effect.orDie
          )
        /** Each session makes two more calls: the first may have been on its way. */
        const goOn = (what: string) =>
          Effect.suspend(() => {
            const from = Date.now()
            const before = runners.witness().length
            const count = (id: string) =>
              runners
                .witness()
                .slice(before)
                .filter(({ session }) => session === id).length
            return seen(() => sessions.every((id) => count(id) >= 2)).pipe(
              Effect.tap(() => Effect.sync(() => console.log(`all went on ${Date.now() - from} ms after ${what}`)))
            )
          })
        yield* Effect.gen(function* () {
          yield* Effect.forEach(
            sessions,
            (id) => Effect.flatMap(Client.session(Ticker, id), (session) => session.send("10000 300 tick")),
            { concurrency: 8 }
          )
          yield* goOn("their start")

          yield* Effect.promise(() => server.restart("immediate"))
          yield* goOn("a crash of Postgres")

          const sql = yield* Effect.map(
            Layer.build(Layer.orDie(Postgres.layerClient({ url: database }))),
            (context) => context.unsafeMap.get(SqlClient.SqlClient.key) as SqlClient.SqlClient
          )
          yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()`
          yield* goOn("the loss of all connections")
          const cut = sql`SELECT session, step FROM (SELECT session, convert_from(payload, 'UTF8') AS step
            FROM perdure_journal WHERE tag = 'StepInDoubt') AS rows`
          expect(yield* cut).toEqual([])

          server.freeze()
          const gaveUp = () => both.every((runner) => runner.output().includes("gives its sessions up"))
          const thawed = yield* Effect.exit(
            Effect.gen(function* () {
              yield* seen(gaveUp)
              const before = runners.witness().length
              // Nothing begins while others might have the sessions: for longer than a call takes.
              yield* Effect.sleep("1 second")
              expect(runners.witness().length).toBe(before)
            })
          )
          server.thaw()
          if (Exit.isFailure(thawed)) return yield* thawed
          yield* goOn("a freeze of Postgres")

          const journal = yield* Journal
          for (const id of sessions) {
            expect((yield* journal.verify(SessionKey.parse(`default/${id}`))).problems).toEqual([])
            const lines = runners.witness().filter(({ session }) => session === id)
            expect(lines.map(({ n }) => n)).toEqual(lines.map((_, i) => i + 1))
          }
          const keys = runners.witness().map(({ key }) => key)
          expect(new Set(keys).size).toBe(keys.length)
          for (const runner of both) runner.kill("SIGTERM")
          for (const runner of both) {
            expect(yield* runner.ended.pipe(Effect.timeout("20 seconds"))).toBe(0)
          }
        }).pipe(Effect.provide(clientOf(database)))
      }),
    120_000
  )
})
