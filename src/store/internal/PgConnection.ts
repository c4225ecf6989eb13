/**
 * What `@effect/sql-pg` does not say of a connection: prepared statements, and that it was lost.
 *
 * Both rest on what its reserved connection is: an object around a `pg` client, whose `query` takes `{ name, text }`
 * where a text is expected. Should a later version change that, statements run unprepared and a lost connection is
 * noticed at its next use: slower, never wrong.
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Predicate } from "effect"

interface PgLike {
  readonly query: Function
  readonly on: (event: "end" | "error", listener: () => void) => unknown
  readonly off: (event: "end" | "error", listener: () => void) => unknown
}

const underlying = (connection: Connection): PgLike | undefined =>
  Predicate.hasProperty(connection, "pg") &&
  Predicate.hasProperty(connection.pg, "on") &&
  Predicate.hasProperty(connection.pg, "off") &&
  Predicate.isFunction(connection.pg.on)
    ? (connection.pg as unknown as PgLike)
    : undefined

/** Of what `pg` gives: the rows that came back, and how many the command touched. */
export interface Result<A> {
  readonly rows: ReadonlyArray<A>
  readonly rowCount: number
}

/**
 * Runs a statement that the server parses and plans once a connection. A name stands for one text for ever.
 * `@effect/sql` prepares nothing: on the hot path that costs as much as the commit.
 */
export const prepared = <A>(
  sql: SqlClient.SqlClient,
  name: string,
  text: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<Result<A>, SqlError> =>
  Effect.scoped(
    Effect.flatMap(sql.reserve, (connection) => {
      // `pg` takes a config where the interface says text: see above.
      const query = underlying(connection) === undefined ? text : ({ name, text } as unknown as string)
      return connection.executeRaw(query, params) as Effect.Effect<Result<A>, SqlError>
    })
  )

/** Calls `listener` once when the connection is lost. */
export const onLost = (connection: Connection, listener: () => void): void => {
  const pg = underlying(connection)
  if (pg === undefined) return
  let called = false
  const once = () => {
    if (called) return
    called = true
    pg.off("end", once)
    pg.off("error", once)
    listener()
  }
  pg.on("end", once)
  pg.on("error", once)
}
