/**
 * What Postgres's errors mean to an operator.
 *
 * Its messages and details quote values of rows, and the driver's may quote the connection string: none of them is
 * passed on, only the code.
 */
import { SqlError } from "@effect/sql/SqlError"
import { Effect, Option } from "effect"
import { StoreUnavailable } from "../../domain/Errors.ts"

/** The SQLSTATE or the system's code, wherever it is wrapped. */
export const codeOf = (cause: unknown): string => {
  if (cause instanceof SqlError) return codeOf(cause.cause)
  if (typeof cause !== "object" || cause === null) return ""
  if ("code" in cause && typeof cause.code === "string") return cause.code
  // A host with several addresses fails with one error for each.
  if ("errors" in cause && Array.isArray(cause.errors) && cause.errors.length > 0) return codeOf(cause.errors[0])
  if (cause instanceof Error && /timed? ?out/i.test(cause.message)) return "TIMEOUT"
  if (cause instanceof Error && /terminated|not queryable|Connection error|ended/i.test(cause.message)) return "LOST"
  return ""
}

export const isUnique = (cause: unknown): boolean => codeOf(cause) === "23505"

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there: start Postgres, or check the host and port in the database URL",
  ENOENT: "a file that the database URL names is not there: its socket's directory, sslrootcert, sslcert or sslkey",
  ENOTFOUND: "the host is not known: check the database URL",
  EAI_AGAIN: "the host's name cannot be resolved now: check the network",
  EHOSTUNREACH: "the host cannot be reached: check the network",
  ETIMEDOUT: "Postgres did not answer in time: check the network and its load",
  TIMEOUT: "Postgres did not answer in time: check the network and its load",
  ECONNRESET: "the connection was lost: it is made again at the next call",
  EPIPE: "the connection was lost: it is made again at the next call",
  LOST: "the connection was lost: it is made again at the next call",
  "28P01": "the user or the password is wrong: check the database URL",
  "28000": "the user may not log in: check the database URL and pg_hba.conf",
  "3D000": "the database does not exist: create it, or check the database URL",
  "42501": "the user lacks a permission: it must own the database, or have CREATE on its schema",
  "42P01": "a table is missing: was the database emptied under a running process? Start the runner again",
  "53100":
    "the disk of Postgres is full: free some space. Nothing of this was written, and writing goes on when there is room",
  "53200": "Postgres is out of memory",
  "53300": "Postgres has no connection left: raise max_connections, or lower this runner's maxConnections",
  "57P01": "Postgres is shutting down: the connection is made again at the next call",
  "57P02": "Postgres crashed: the connection is made again at the next call",
  "57P03": "Postgres is starting up or shutting down: try again",
  "57014": "the statement was cancelled",
  "40P01": "it met another statement in a deadlock and was rolled back: try again",
  "25006": "the server takes no writes (is it a standby?): name the primary in the database URL",
  "54000": "a value is larger than Postgres takes (1 GB)"
}

export const reasonOf = (cause: unknown): string => {
  const code = codeOf(cause)
  const reason = reasons[code]
  if (reason !== undefined) return `${reason} (${code})`
  return code === "" ? "Postgres failed: an unexpected error" : `Postgres refused (${code})`
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
