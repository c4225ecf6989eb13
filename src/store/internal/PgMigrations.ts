import type * as SqlClient from "@effect/sql/SqlClient"
import { Effect } from "effect"
import { StoreUnusable } from "../../domain/Errors.ts"
import { guard } from "./PgFailure.ts"
import { lockClass } from "./PgPresence.ts"
import * as Schema from "./Schema.ts"

/** No runner's presence has this key but by a chance of one in two thousand million, and then it only waits a moment. */
const migrationKey = 0

/** Brings the database to this code's version, one process at a time. Refuses a newer one. */
export const migrate = (sql: SqlClient.SqlClient, where: string) => {
  const recorded = Effect.map(
    sql<{ readonly version: string }>`SELECT coalesce(max(version), 0) AS version FROM perdure_migrations`,
    ([row]) => Number(row!.version)
  )
  const version = Effect.gen(function* () {
    const [ledger] = yield* sql<{ readonly there: boolean }>`
      SELECT to_regclass('perdure_migrations') IS NOT NULL AS there`
    return ledger!.there ? yield* recorded : 0
  })
  const upgrade = Effect.gen(function* () {
    yield* sql`SELECT pg_advisory_xact_lock(${lockClass}, ${migrationKey})`
    // Not asked by `to_regclass`: what this session knew of the catalogue before it waited for the lock may be stale.
    yield* sql.unsafe(Schema.ledger.postgres)
    const before = yield* recorded
    for (const migration of Schema.migrations) {
      if (migration.version <= before) continue
      for (const statement of migration.postgres) yield* sql.unsafe(statement)
      yield* sql`INSERT INTO perdure_migrations (version, name) VALUES (${migration.version}, ${migration.name})`
    }
    return before
  }).pipe(sql.withTransaction)

  return version.pipe(
    Effect.flatMap((version) => (version < Schema.current ? upgrade : Effect.succeed(version))),
    guard("migrate"),
    Effect.filterOrFail(
      (version) => version <= Schema.current,
      (version) => new StoreUnusable({ reason: Schema.tooNew(where, version) })
    ),
    Effect.asVoid
  )
}
