import * as SqlClient from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Redacted } from "effect"
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

/** Nobody dies or hangs here: a machine that is busy with other tests must not look like it. */
const patient = { PERDURE_HEARTBEAT_EXPIRY: "30 seconds" }

const sessions = Array.from({ length: 24 }, (_, i) => `s${i}`)

describe("runners that come and go under load", () => {
  it.scopedLive(
    "one, three, a new one for each, and one again: no call is lost, doubled or in doubt, and a migration disturbs nobody",
    () =>
      Effect.gen(function* () {
        const database = yield* TestPostgres.database
        const runners = yield* Runners.make(database)
        const hosts = () => new Set(runners.witness().map(({ pid }) => pid))
        const seen = (test: () => boolean) =>
          Effect.suspend(() => (test() ? Effect.void : Effect.fail("not yet"))).pipe(
            Effect.retry({ schedule: Runners.often }),
            Effect.orDie
          )
        const leave = (runner: Runners.RunnerProcess) =>
          Effect.gen(function* () {
            const askedAt = Date.now()
            runner.kill("SIGTERM")
            expect(yield* runner.ended.pipe(Effect.timeout("10 seconds"))).toBe(0)
            console.log(`left ${Date.now() - askedAt} ms after SIGTERM`)
          })
        yield* Effect.gen(function* () {
          const first = yield* runners.start(patient)
          yield* Effect.forEach(
            sessions,
            (id) =>
              Effect.gen(function* () {
                const session = yield* Client.session(Ticker, id)
                // Calls that take longer than it takes to notice who has left or joined.
                return yield* session.send("1000 500 tick")
              }),
            { concurrency: 8 }
          )
          yield* seen(() => runners.witness().length >= sessions.length)
          expect([...hosts()]).toEqual([first.pid])

          const [second, third] = yield* Effect.all([runners.start(patient), runners.start(patient)], {
            concurrency: 2
          })
          yield* seen(() => hosts().has(second.pid) && hosts().has(third.pid))

          const sql = yield* Effect.map(
            Layer.build(Layer.orDie(Postgres.layerClient({ url: database }))),
            (context) => context.unsafeMap.get(SqlClient.SqlClient.key) as SqlClient.SqlClient
          )
          for (const table of ["journal", "sessions", "leases", "runners", "timers", "snapshots"]) {
            yield* sql.unsafe(`ALTER TABLE perdure_${table} ADD COLUMN of_a_later_version text`)
          }

          const [fourth, fifth] = yield* Effect.all([runners.start(patient), runners.start(patient)], {
            concurrency: 2
          })
          yield* leave(first)
          yield* leave(second)
          yield* seen(() => hosts().has(fourth.pid) && hosts().has(fifth.pid))
          yield* leave(third)
          yield* leave(fourth)

          const before = runners.witness().length
          const later = () =>
            new Set(
              runners
                .witness()
                .slice(before)
                .map(({ session }) => session)
            )
          yield* seen(() => later().size === sessions.length)
          yield* leave(fifth)

          const journal = yield* Journal
          let longestMs = 0
          for (const id of sessions) {
            expect((yield* journal.verify(SessionKey.parse(`default/${id}`))).problems).toEqual([])
            const lines = runners.witness().filter(({ session }) => session === id)
            expect(lines.map(({ n }) => n)).toEqual(lines.map((_, i) => i + 1))
            lines.reduce((last, line) => {
              longestMs = Math.max(longestMs, line.at - last.at)
              return line
            })
          }
          console.log(`between two calls of 500 ms of a session: ${longestMs} ms at most`)
          const cut = yield* sql`SELECT tag, session FROM perdure_journal WHERE tag IN ('StepInDoubt', 'StepFailed')`
          expect(cut).toEqual([])
        }).pipe(Effect.provide(clientOf(database)))
      }),
    120_000
  )
})
