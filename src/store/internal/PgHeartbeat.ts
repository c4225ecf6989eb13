/**
 * A heartbeat that one connection cannot silence. Of a connection that leads nowhere (a firewall has forgotten it) nobody
 * hears for as long as a statement may take, and a runner that is not heard for so long is taken for dead, though Postgres
 * and its other connections are well. So another connection is asked too, and the first answer counts.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { Deferred, Effect, Option } from "effect"
import type { StoreUnavailable } from "../../domain/Errors.ts"
import * as PgConnection from "./PgConnection.ts"
import { guard } from "./PgFailure.ts"

/** How long an answer may take until another connection is asked too, in milliseconds. */
const patience_ms = 1000

/** So many are asked at most: where none answers it is not the connections. */
const connections = 3

/**
 * The first answer of several connections. What has not answered a while after that, or when nobody waits any more, is
 * ended: back in the pool it would make the next statement wait as well.
 *
 * @param ask one statement; it may be run more than once
 */
export const firstAnswer = <A>(
  sql: SqlClient.SqlClient,
  ask: Effect.Effect<A, StoreUnavailable>
): Effect.Effect<A, StoreUnavailable> =>
  Effect.gen(function* () {
    const answer = yield* Deferred.make<A, StoreUnavailable>()
    const silent = new Set<Connection>()
    let open = 0

    const one = Effect.scoped(
      Effect.flatMap(guard("heartbeat")(sql.reserve), (connection) => {
        silent.add(connection)
        return ask.pipe(
          Effect.provideService(SqlClient.TransactionConnection, [connection, 0]),
          Effect.ensuring(Effect.sync(() => silent.delete(connection)))
        )
      })
    ).pipe(
      Effect.exit,
      // One that fails says nothing while another may answer.
      Effect.flatMap((exit) => (--open > 0 && exit._tag === "Failure" ? Effect.void : Deferred.done(answer, exit))),
      // Not interrupted, for the driver would put a connection that nobody answers back into the pool: it is ended.
      Effect.uninterruptible,
      Effect.forkDaemon
    )
    const end = Effect.sync(() => {
      for (const connection of silent) PgConnection.end(connection)
    })

    const first = Effect.gen(function* () {
      for (let asked = 1; asked <= connections; asked++) {
        open++
        yield* one
        const got = yield* Effect.timeoutOption(Deferred.await(answer), patience_ms)
        if (Option.isSome(got)) return got.value
      }
      return yield* Deferred.await(answer)
    })
    return yield* first.pipe(
      Effect.onInterrupt(() => end),
      Effect.ensuring(
        Effect.suspend(() => (silent.size === 0 ? Effect.void : Effect.forkDaemon(Effect.delay(end, patience_ms))))
      )
    )
  })
