/**
 * A SqlClient on `libsql`'s synchronous API, and the two things that a SqlClient cannot say: a synchronous
 * transaction, and the settings of a durable connection.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import { Effect, Stream } from "effect"
import Database from "libsql"
import { StoreUnavailable, StoreUnusable } from "../../domain/Errors.ts"
import { OneAtATime } from "../../domain/OneAtATime.ts"
import { codeOf, reasonOf } from "./SqliteFailure.ts"
import { turn } from "./turn.ts"

/** A row by column. Bytes are Buffers. */
export type SqlRow = Readonly<Record<string, unknown>>
export type Run = (sql: string, params?: ReadonlyArray<unknown>) => ReadonlyArray<SqlRow>

export interface Sqlite {
  readonly client: SqlClient.SqlClient
  /** Runs `f` between BEGIN IMMEDIATE and COMMIT: synchronous, one commit, in a {@link turn} of its own. What `f` throws rolls back. */
  readonly transaction: <A>(f: (run: Run) => A) => Effect.Effect<A, SqlError>
  /** Verifies that commits are on disk when they return. */
  readonly verify: Effect.Effect<void, StoreUnusable>
}

interface Prepared {
  readonly all: (params: ReadonlyArray<unknown>) => ReadonlyArray<SqlRow>
  readonly values: (params: ReadonlyArray<unknown>) => ReadonlyArray<ReadonlyArray<unknown>>
}

// libsql aborts the process on a boolean or undefined parameter.
const parameter = (value: unknown): unknown => {
  switch (typeof value) {
    case "boolean":
      return value ? 1 : 0
    case "undefined":
      return null
    default:
      return value
  }
}

const prepared_max = 256

const statements = (db: Database.Database) => {
  const cache = new Map<string, Prepared>()
  const prepare = (sql: string): Prepared => {
    const statement = db.prepare(sql)
    if (!statement.reader) {
      const none: ReadonlyArray<never> = []
      const run = (params: ReadonlyArray<unknown>) => {
        statement.run(params.map(parameter))
        return none
      }
      return { all: run, values: run }
    }
    statement.raw()
    const names = statement.columns().map((column) => column.name)
    const values = (params: ReadonlyArray<unknown>) =>
      statement.all(params.map(parameter)) as ReadonlyArray<ReadonlyArray<unknown>>
    return {
      values,
      all: (params) => values(params).map((row) => Object.fromEntries(names.map((name, i) => [name, row[i]])))
    }
  }
  return (sql: string): Prepared => {
    let statement = cache.get(sql)
    if (statement === undefined) {
      if (cache.size >= prepared_max) cache.clear()
      statement = prepare(sql)
      cache.set(sql, statement)
    }
    return statement
  }
}

const synchronousFull = 2

/** Full: a commit is on disk when it returns. An open file can lose the setting, so it is read back. */
const verifySynchronous = (run: Run, filename: string): Effect.Effect<void, StoreUnusable> =>
  Effect.suspend(() => {
    const level = Number(run("PRAGMA synchronous")[0]?.["synchronous"])
    if (level === synchronousFull) return Effect.void
    return new StoreUnusable({
      reason: `${filename}: SQLite does not keep synchronous=FULL (it says ${level}), so a commit could be lost: use another file system or build`
    })
  })

const make = Effect.fnUntraced(function* (db: Database.Database, filename: string) {
  const prepare = statements(db)
  const oneAtATime = new OneAtATime()

  const attempt = <A>(f: () => A) =>
    Effect.try({ try: f, catch: (cause) => new SqlError({ cause, message: "Failed to execute statement" }) })
  const connection: Connection = {
    execute: (sql, params, transform) =>
      attempt(() => {
        const rows = prepare(sql).all(params)
        return transform === undefined ? rows : transform(rows)
      }),
    executeRaw: (sql, params) => attempt(() => prepare(sql).all(params)),
    executeValues: (sql, params) => attempt(() => prepare(sql).values(params)),
    executeUnprepared: (sql, params) => attempt(() => prepare(sql).all(params)),
    executeStream: () => Stream.dieMessage("the embedded store does not stream")
  }

  const client = yield* SqlClient.make({
    acquirer: oneAtATime.run(Effect.succeed(connection)),
    transactionAcquirer: Effect.as(oneAtATime.scoped, connection),
    compiler: Statement.makeCompilerSqlite(),
    beginTransaction: "BEGIN IMMEDIATE",
    spanAttributes: [
      ["db.system.name", "sqlite"],
      ["db.namespace", filename]
    ]
  }).pipe(Effect.provide(Reactivity.layer))

  const run: Run = (sql, params = []) => prepare(sql).all(params)
  const commit = <A>(f: (run: Run) => A): A => {
    run("BEGIN IMMEDIATE")
    try {
      const result = f(run)
      run("COMMIT")
      return result
    } catch (cause) {
      // Some errors (a full disk) have rolled back already.
      if (db.inTransaction) run("ROLLBACK")
      throw cause
    }
  }
  // The turn of the process comes first: nobody waits for the connection while its holder waits for that.
  const transaction: Sqlite["transaction"] = (f) => Effect.zipRight(turn, oneAtATime.run(attempt(() => commit(f))))

  return { client, transaction, verify: verifySynchronous(run, filename) } satisfies Sqlite
})

/** Opens a file for as long as the scope lives. `reader`: every write is refused. */
export const open = Effect.fnUntraced(function* (filename: string, options: { readonly reader: boolean }) {
  const unusable = (cause: unknown) =>
    cause instanceof StoreUnusable
      ? cause
      : codeOf(cause) === "SQLITE_NOTADB"
        ? new StoreUnusable({
            reason: `${filename} is not a SQLite database: name another directory, or move the file away`
          })
        : new StoreUnavailable({ operation: "open", reason: `${filename}: ${reasonOf(cause)}` })

  const db = yield* Effect.acquireRelease(Effect.try({ try: () => new Database(filename), catch: unusable }), (db) =>
    Effect.sync(() => db.close())
  )
  const sqlite = yield* make(db, filename)
  yield* Effect.try({
    try: () => {
      // Reading the header first: what is not a database says so here.
      db.prepare("SELECT count(*) FROM sqlite_master").all()
      // Another process may read, or be cleaning up after a crash: wait for it a little.
      db.prepare("PRAGMA busy_timeout = 5000").all()
      if (options.reader) {
        db.exec("PRAGMA query_only = ON")
        return
      }
      if (filename !== ":memory:") {
        const mode = db.prepare("PRAGMA journal_mode = WAL").all() as ReadonlyArray<{ readonly journal_mode: string }>
        if (mode[0]?.journal_mode !== "wal") {
          throw new StoreUnusable({
            reason: `${filename}: SQLite cannot use a write-ahead log here (is it a network file system?): use a local disk`
          })
        }
      }
      db.exec("PRAGMA synchronous = FULL")
      db.prepare("PRAGMA journal_size_limit = 67108864").all()
    },
    catch: unusable
  })
  return sqlite
})
