import { Effect } from "effect"
import { StoreUnusable } from "../../domain/Errors.ts"
import * as Schema from "./Schema.ts"
import type { Sqlite } from "./SqliteClient.ts"
import { guard } from "./SqliteFailure.ts"

/** Brings the file to this code's version, in one transaction. Refuses a newer one. */
export const migrate = ({ transaction }: Sqlite, where: string) =>
  transaction((run): number => {
    run(Schema.ledger.sqlite)
    const version = Number(run("SELECT coalesce(max(version), 0) AS version FROM perdure_migrations")[0]!["version"])
    for (const migration of Schema.migrations) {
      if (migration.version <= version) continue
      for (const statement of migration.sqlite) run(statement)
      run("INSERT INTO perdure_migrations (version, name) VALUES (?, ?)", [migration.version, migration.name])
    }
    return version
  }).pipe(
    guard("migrate"),
    Effect.filterOrFail(
      (version) => version <= Schema.current,
      (version) => new StoreUnusable({ reason: Schema.tooNew(where, version) })
    ),
    Effect.asVoid
  )

/** For a reader, which may not migrate: the file must be of this code's version. */
export const verify = ({ client: sql }: Sqlite, where: string) =>
  sql<{ readonly version: number }>`SELECT coalesce(max(version), 0) AS version FROM perdure_migrations`.pipe(
    Effect.orElseSucceed(() => [{ version: 0 }]),
    Effect.flatMap(([row]) => {
      const version = Number(row!.version)
      if (version === Schema.current) return Effect.void
      return new StoreUnusable({
        reason:
          version > Schema.current
            ? Schema.tooNew(where, version)
            : version === 0
              ? `${where} is not a Perdure store: start a runner on its directory, or name another one`
              : `${where} has version ${version}, this Perdure reads ${Schema.current}: start a runner on its directory once, it will bring it up to date`
      })
    })
  )
