/** What SQLite's errors mean to an operator. Its messages name columns, never values, but we write our own anyway. */
import { SqlError } from "@effect/sql/SqlError"
import { Effect, Option } from "effect"
import { StoreUnavailable } from "../../domain/Errors.ts"

/** The code of a libsql error, e.g. `SQLITE_FULL`, wherever it is wrapped. */
export const codeOf = (cause: unknown): string => {
  if (cause instanceof SqlError) return codeOf(cause.cause)
  if (typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string")
    return cause.code
  // Failing to open is a plain error with the number of the code at its end.
  const open = cause instanceof Error ? /local database .*: (\d+)/s.exec(cause.message) : null
  return open === null ? "" : open[1] === "14" ? "SQLITE_CANTOPEN" : `SQLITE_${open[1]}`
}

/** A uniqueness was violated. */
export const isUnique = (cause: unknown): boolean =>
  ["SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"].includes(codeOf(cause))

const reasons: ReadonlyArray<readonly [prefix: string, reason: string]> = [
  [
    "SQLITE_FULL",
    "the disk is full: free some space. Nothing of this was written, and writing goes on when there is room"
  ],
  [
    "SQLITE_READONLY",
    "the store is open for reading only here: write through the runner that owns it, or check the file's permissions"
  ],
  ["SQLITE_BUSY", "another process holds the database: end it, or wait for it"],
  ["SQLITE_CANTOPEN", "the file cannot be opened: check that its directory exists and may be written by this user"],
  ["SQLITE_IOERR", "the disk failed to read or write: check its health and its free space"],
  ["SQLITE_CORRUPT", "the file is damaged: restore it from a backup"],
  ["SQLITE_NOTADB", "the file is not a SQLite database"],
  ["SQLITE_TOOBIG", "a value is larger than SQLite takes (1 GB)"],
  ["SQLITE_NOMEM", "SQLite is out of memory"]
]

export const reasonOf = (cause: unknown): string => {
  const code = codeOf(cause)
  const found = reasons.find(([prefix]) => code.startsWith(prefix))
  if (found !== undefined) return `${found[1]} (${code})`
  return code === "" ? "SQLite refused: an unexpected error" : `SQLite refused (${code})`
}

const unavailable = (operation: string, cause: unknown) => new StoreUnavailable({ operation, reason: reasonOf(cause) })

/** Turns the driver's errors. A failing COMMIT comes as a defect from `withTransaction`: it is one of them. */
export const guard =
  (operation: string) =>
  <A, R>(effect: Effect.Effect<A, SqlError, R>): Effect.Effect<A, StoreUnavailable, R> =>
    effect.pipe(
      Effect.mapError((error) => unavailable(operation, error)),
      Effect.catchSomeDefect((defect) =>
        defect instanceof SqlError ? Option.some(Effect.fail(unavailable(operation, defect))) : Option.none()
      )
    )
