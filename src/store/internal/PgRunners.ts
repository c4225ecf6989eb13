/**
 * Who is alive, and who owns which shard.
 *
 * A runner is dead when its row is gone. The row is deleted by the one who takes its shards, after it has seen that the
 * runner's lock is gone and that nobody listens at its address (its process is gone), or that its heartbeat is older than
 * allowed (it hangs). A lease whose owner has no row is free.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { Fragment } from "@effect/sql/Statement"
import { Clock, Effect } from "effect"
import { StoreUnavailable } from "../../domain/Errors.ts"
import type { Epoch, Shard } from "../../domain/Id.ts"
import type { Store } from "../Store.ts"
import { escape, unescape } from "./Escape.ts"
import { type Door, knock } from "./door.ts"
import { guard } from "./PgFailure.ts"
import { lockClass, lockKey, type Presence, truce_ms } from "./PgPresence.ts"
import * as Rows from "./Rows.ts"

type Service = Store["Type"]

interface Seen extends Rows.RunnerColumns {
  readonly present: boolean
  readonly silent: boolean
}

/**
 * How long the lock of a runner must have been gone until its process counts as gone, in milliseconds. Where its door is
 * open it has lost its connection to Postgres and makes a new one, which takes a busy one a while.
 */
const absence_ms: Readonly<Record<Door, number>> = { shut: 0, unknown: 50, open: 500 }

interface Absence {
  /** By our clock. */
  readonly since: number
  readonly door: Door
}

const isProven = ({ door, since }: Absence, now: number): boolean => now - since >= absence_ms[door]

/** Who was heard within it lives, where its lock is held. */
const lately_ms = 10_000

/** A look that took longer met a Postgres that did not answer: it was frozen, or could not be reached. */
const slow_ms = 1000

export const make = (sql: SqlClient.SqlClient, presence: Presence, now: Fragment) => {
  const present = sql`EXISTS (SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = ${lockClass}::oid
    AND l.objid = r.presence::oid AND l.objsubid = 2 AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))`
  // While Postgres was down nobody could be heard: silence counts from when it came up.
  const silent = (expiryMs: number) =>
    sql`greatest(r.heartbeat_at, (extract(epoch FROM pg_postmaster_start_time()) * 1000)::bigint)
      < ${now} - ${Math.ceil(expiryMs)}::bigint`

  const nameOf = (row: { readonly address: string; readonly incarnation: string }) =>
    `${row.address} ${row.incarnation}`

  /** Runners that this process has registered: it knows that they are here, whatever their connection does. */
  const own = new Set<string>()
  const absences = new Map<string, Absence>()

  /** Until when silence says nothing, by our clock: Postgres failed us, so it may have failed those who are silent. */
  let truceUntil = Number.NEGATIVE_INFINITY
  const truce = Effect.map(Clock.currentTimeMillis, (at) => {
    truceUntil = at + truce_ms
  })

  const list = (expiryMs: number): Effect.Effect<ReadonlyArray<Seen>, SqlError> =>
    Effect.gen(function* () {
      const begun = yield* Clock.currentTimeMillis
      const rows = yield* sql<Seen>`SELECT r.address, r.incarnation, r.info, r.healthy, ${present} AS present,
        ${silent(expiryMs)} AS silent FROM perdure_runners r ORDER BY r.address`.pipe(Effect.tapError(() => truce))
      const at = yield* Clock.currentTimeMillis
      if (at - begun > slow_ms) yield* truce
      const absent = rows.filter((row) => !row.present && !own.has(nameOf(row)))
      const names = new Set(absent.map(nameOf))
      for (const name of absences.keys()) if (!names.has(name)) absences.delete(name)
      yield* Effect.forEach(absent, (row) => missed(row, at), { concurrency: "unbounded", discard: true })
      return rows
    })

  /** Knocks again at each look until it counts as gone: a process may end, or begin, in between. */
  const missed = (row: Seen, at: number) =>
    Effect.suspend(() => {
      const before = absences.get(nameOf(row))
      if (before !== undefined && isProven(before, at)) return Effect.void
      return Effect.map(knock(unescape(row.address)), (door) => {
        absences.set(nameOf(row), { since: before?.since ?? at, door })
      })
    })

  const look = (expiryMs: number) =>
    Effect.gen(function* () {
      let rows = yield* list(expiryMs)
      const at = yield* Clock.currentTimeMillis
      if ([...absences.values()].some((absence) => absence.door === "unknown" && !isProven(absence, at))) {
        yield* Effect.sleep(absence_ms.unknown)
        rows = yield* list(expiryMs)
      }
      const now = yield* Clock.currentTimeMillis
      const hearing = now >= truceUntil
      const judging = yield* presence.canJudge
      /** Why a runner is dead; `null` while it is not. */
      const causeOf = (row: Seen): string | null => {
        if (hearing && row.silent) return "it was silent for too long"
        const absence = absences.get(nameOf(row))
        if (!judging || absence === undefined || !isProven(absence, now)) return null
        return absence.door === "open" ? "it was without Postgres for too long" : "its process is gone"
      }
      return rows.map((row) => ({ row, cause: causeOf(row) }))
    })

  /** Who has an address and lives: another runner that was given the same one must not make an end of it. */
  const refuseTwin = (address: string, incarnation: string) =>
    sql<Rows.RunnerColumns>`SELECT r.address, r.incarnation FROM perdure_runners r WHERE r.address = ${escape(address)}
      AND r.incarnation <> ${escape(incarnation)} AND ${present} AND NOT ${silent(lately_ms)}`.pipe(
      guard("register"),
      Effect.filterOrFail(
        // This process may replace what it was.
        (twins) => twins.every((row) => own.has(nameOf(row))),
        () =>
          new StoreUnavailable({
            operation: "register",
            reason: `another runner that lives is registered as ${address}: give each a PERDURE_HOST and PERDURE_PORT of its own`
          })
      )
    )

  const announce: Service["register"] = ({ address, incarnation, info, healthy }) =>
    Effect.gen(function* () {
      const key = lockKey(address, incarnation)
      yield* presence.enter(key)
      own.add(nameOf({ address: escape(address), incarnation: escape(incarnation) }))
      yield* sql`INSERT INTO perdure_runners (address, incarnation, info, healthy, presence, heartbeat_at)
        VALUES (${escape(address)}, ${escape(incarnation)}, ${escape(info)}, ${healthy ? 1 : 0}, ${key}, ${now})
        ON CONFLICT (address) DO UPDATE SET incarnation = excluded.incarnation, info = excluded.info,
          healthy = excluded.healthy, presence = excluded.presence, heartbeat_at = excluded.heartbeat_at`
    }).pipe(guard("register"))

  const register: Service["register"] = (row) =>
    Effect.zipRight(refuseTwin(row.address, row.incarnation), announce(row))

  /** After the row is gone. */
  const left = (address: string, incarnation: string) =>
    Effect.suspend(() => {
      own.delete(nameOf({ address: escape(address), incarnation: escape(incarnation) }))
      return presence.leave(lockKey(address, incarnation))
    })

  const runners: Service["runners"] = (expiryMs) =>
    guard("runners")(
      Effect.map(look(expiryMs), (seen) => seen.flatMap(({ cause, row }) => (cause === null ? [Rows.runner(row)] : [])))
    )

  const bury = (row: Rows.RunnerColumns, expiryMs: number) =>
    sql`DELETE FROM perdure_runners r WHERE r.address = ${row.address} AND r.incarnation = ${row.incarnation}
      AND (${silent(expiryMs)} OR NOT ${present})`

  // The filter in the SELECT spares the leases of the living: an upsert locks its row even where it changes nothing,
  // and would wait for their appends.
  const take = (address: string, incarnation: string, shards: ReadonlyArray<Shard>) =>
    sql<{ readonly shard: string; readonly epoch: string }>`
      INSERT INTO perdure_leases (shard, epoch, address, incarnation)
      SELECT w.shard, 1, ${address}::text, ${incarnation}::text FROM unnest(${shards}::text[]) AS w (shard)
      WHERE EXISTS (SELECT 1 FROM perdure_runners WHERE address = ${address} AND incarnation = ${incarnation})
      AND NOT EXISTS (SELECT 1 FROM perdure_leases l
        JOIN perdure_runners r ON r.address = l.address AND r.incarnation = l.incarnation
        WHERE l.shard = w.shard AND NOT (l.address = ${address} AND l.incarnation = ${incarnation}))
      ORDER BY w.shard COLLATE "C"
      ON CONFLICT (shard) DO UPDATE SET epoch = perdure_leases.epoch + 1, address = excluded.address,
        incarnation = excluded.incarnation
      WHERE (perdure_leases.address = excluded.address AND perdure_leases.incarnation = excluded.incarnation)
        OR NOT EXISTS (SELECT 1 FROM perdure_runners r
          WHERE r.address = perdure_leases.address AND r.incarnation = perdure_leases.incarnation)
      RETURNING shard, epoch`

  const acquire: Service["acquire"] = (address, incarnation, shards, expiryMs) =>
    Effect.gen(function* () {
      if (shards.length === 0) return []
      const self = { address: escape(address), incarnation: escape(incarnation) }
      const dead = (yield* look(expiryMs)).filter(({ cause, row }) => cause !== null && nameOf(row) !== nameOf(self))
      // A commit each, and no transaction: whoever is stopped or cut off in between would hold locks that the one who
      // comes after it waits for. A lease whose owner has no row is free, whoever deleted that.
      yield* Effect.forEach(dead, ({ row }) => bury(row, expiryMs), { discard: true })
      const taken = yield* take(self.address, self.incarnation, shards)
      for (const { cause, row } of dead) {
        yield* Effect.logWarning(`runner ${unescape(row.address)} is declared dead: ${cause}`)
      }
      return taken.map(({ shard, epoch }) => ({ shard: shard as Shard, epoch: Number(epoch) as Epoch }))
    }).pipe(guard("acquire"))

  return { register, left, runners, acquire }
}
