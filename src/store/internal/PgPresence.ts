/**
 * A runner is present exactly while its Postgres session holds its lock: gone within milliseconds of the process, however
 * that died, with nobody having to wait for an expiry.
 *
 * One connection of its own holds the locks of all runners of this store (one, outside of tests). When it drops while
 * the process lives (Postgres restarted, the backend was ended, a firewall forgot it), it is made again at once and the
 * locks are taken again; those who judge knock at its door and wait, so a quick one is not noticed. A runner that does not
 * manage is declared dead, and learns it from its next heartbeat. Safety never rests on this (I3).
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import { Clock, Effect, Exit, Queue, Schedule, Scope } from "effect"
import { createHash } from "node:crypto"
import { OneAtATime } from "../../domain/OneAtATime.ts"
import * as PgConnection from "./PgConnection.ts"

/** Our own first key of the two-key advisory locks: "perd" as a number. */
export const lockClass = 0x70657264

/** The second key: of the incarnation too, so that a restarted runner does not wait for what it was before. */
export const lockKey = (address: string, incarnation: string): number =>
  createHash("sha256").update(`${address}\u0000${incarnation}`).digest().readUInt32BE(0) & 0x7fffffff

/** After trouble with Postgres of its own, a runner does not judge others for this long: they had the same. */
export const truce_ms = 2000

/** How long a good-bye may take: it is over with the process anyway. */
const leave_ms = 150

const retry_ms_min = 5
const retry_ms_max = 250

export interface Presence {
  /** Takes the lock, and keeps it. */
  readonly enter: (key: number) => Effect.Effect<void, SqlError>
  readonly leave: (key: number) => Effect.Effect<void>
  /** Whether the absence of others can be told from trouble of our own. */
  readonly canJudge: Effect.Effect<boolean>
}

export const make = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
  const keys = new Set<number>()
  const lost = yield* Queue.unbounded<Connection>()
  const oneAtATime = new OneAtATime()
  let current: { readonly connection: Connection; readonly scope: Scope.CloseableScope } | undefined
  let brokenAt = Number.NEGATIVE_INFINITY

  const drop = Effect.suspend(() => {
    const was = current
    current = undefined
    return was === undefined ? Effect.void : Scope.close(was.scope, Exit.void)
  })

  const run = (connection: Connection, text: string, params: ReadonlyArray<unknown>) =>
    connection.executeUnprepared(text, params, undefined)

  /** True when it is ours; false while a backend that has not noticed its death holds it for us. */
  const lock = (connection: Connection, key: number) =>
    Effect.map(
      run(connection, "SELECT pg_try_advisory_lock($1, $2) AS held", [lockClass, key]),
      (rows) => (rows[0] as { readonly held: boolean }).held
    )

  const connect = Effect.gen(function* () {
    if (current !== undefined) return current.connection
    const scope = yield* Scope.make()
    const connection = yield* Scope.extend(sql.reserve, scope).pipe(
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
    current = { connection, scope }
    const noticed = () => Queue.unsafeOffer(lost, connection)
    yield* Scope.extend(PgConnection.onLost(connection, noticed), scope)
    return connection
  })

  const hold = (key: number) =>
    Effect.gen(function* () {
      const connection = yield* connect
      yield* Effect.repeat(lock(connection, key), {
        until: (held) => held || current?.connection !== connection,
        schedule: Schedule.spaced("20 millis")
      })
    })

  const again = Effect.gen(function* () {
    brokenAt = yield* Clock.currentTimeMillis
    yield* drop
    for (const key of keys) yield* hold(key)
    brokenAt = yield* Clock.currentTimeMillis
  }).pipe(
    Effect.tapError(() => drop),
    oneAtATime.run
  )

  const retried = (delay: number): Effect.Effect<void> =>
    Effect.catchAll(again, () =>
      Effect.zipRight(
        Effect.sleep(delay),
        Effect.suspend(() => retried(Math.min(delay * 2, retry_ms_max)))
      )
    )

  yield* Queue.take(lost).pipe(
    Effect.flatMap((connection) => (current?.connection === connection ? retried(retry_ms_min) : Effect.void)),
    Effect.forever,
    Effect.forkScoped
  )
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() =>
      // Back in the pool, the connection must not go on saying that we are here.
      current === undefined
        ? Effect.void
        : run(current.connection, "SELECT pg_advisory_unlock_all()", []).pipe(
            Effect.disconnect,
            Effect.interruptible,
            Effect.timeoutOption(leave_ms),
            Effect.ignore,
            Effect.zipRight(drop)
          )
    )
  )

  const enter: Presence["enter"] = (key) =>
    hold(key).pipe(
      Effect.tapError(() => drop),
      oneAtATime.run,
      Effect.tap(() => Effect.sync(() => keys.add(key)))
    )

  const leave: Presence["leave"] = (key) =>
    Effect.suspend(() => {
      keys.delete(key)
      return current === undefined
        ? Effect.void
        : Effect.ignore(run(current.connection, "SELECT pg_advisory_unlock($1, $2)", [lockClass, key]))
    }).pipe(oneAtATime.run)

  const canJudge = Effect.map(Clock.currentTimeMillis, (now) => now - brokenAt >= truce_ms)

  return { enter, leave, canJudge } satisfies Presence
})
