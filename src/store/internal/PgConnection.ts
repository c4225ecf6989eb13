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
import { Effect, Exit, Predicate, Scope } from "effect"
import { unanswered } from "./PgSocket.ts"

interface PgLike {
  readonly query: Function
  /** Its protocol, over a socket. */
  readonly connection?: { readonly stream?: { readonly destroy?: (error: Error) => unknown } }
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
export type Prepared = <A>(
  name: string,
  text: string,
  params: ReadonlyArray<unknown>
) => Effect.Effect<Result<A>, SqlError>

const run = <A>(connection: Connection, name: string, text: string, params: ReadonlyArray<unknown>) => {
  // `pg` takes a config where the interface says text: see above.
  const query = underlying(connection) === undefined ? text : ({ name, text } as unknown as string)
  return connection.executeRaw(query, params) as Effect.Effect<Result<A>, SqlError>
}

/** On any connection of the pool. */
export const prepared =
  (sql: SqlClient.SqlClient): Prepared =>
  (name, text, params) =>
    Effect.scoped(Effect.flatMap(sql.reserve, (connection) => run(connection, name, text, params)))

interface Kept {
  readonly connection: Connection
  readonly scope: Scope.CloseableScope
  isLost: boolean
}

/**
 * On a connection of its own, which is kept from one statement to the next: taking one from the pool and giving it back
 * costs a tenth of a commit. After an error it goes back to the pool, which looks whether it is still good.
 */
export const preparedOnOne = (sql: SqlClient.SqlClient): Effect.Effect<Prepared, never, Scope.Scope> =>
  Effect.gen(function* () {
    let kept: Kept | undefined
    const giveBack = Effect.suspend(() => {
      const was = kept
      kept = undefined
      return was === undefined ? Effect.void : Scope.close(was.scope, Exit.void)
    })
    yield* Effect.addFinalizer(() => giveBack)
    const take = Effect.gen(function* () {
      yield* giveBack
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(sql.reserve, scope).pipe(
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
      const taken: Kept = { connection, scope, isLost: false }
      const lost = () => {
        taken.isLost = true
      }
      yield* Scope.extend(onLost(connection, lost), scope)
      kept = taken
      return taken
    }).pipe(Effect.uninterruptible)

    return (name, text, params) =>
      Effect.suspend(() => {
        const connected = kept === undefined || kept.isLost ? take : Effect.succeed(kept)
        return Effect.flatMap(connected, ({ connection }) => run(connection, name, text, params))
      }).pipe(Effect.tapErrorCause(() => giveBack)) as Effect.Effect<Result<never>, SqlError>
  })

/** Calls `listener` once when the connection is lost, while the scope is open. */
export const onLost = (connection: Connection, listener: () => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const pg = underlying(connection)
      const stop = () => {
        pg?.off("end", once)
        pg?.off("error", once)
      }
      const once = () => {
        stop()
        listener()
      }
      pg?.on("end", once)
      pg?.on("error", once)
      return stop
    }),
    (stop) => Effect.sync(stop)
  ).pipe(Effect.asVoid)

/** Ends a connection that does not answer: the statement that waits on it fails, and the pool forgets it. */
export const end = (connection: Connection): void => {
  underlying(connection)?.connection?.stream?.destroy?.(unanswered())
}
