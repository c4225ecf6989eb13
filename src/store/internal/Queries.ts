/** What both databases are asked in the same words: everything but the append, waking, presence and taking shards. */
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { Fragment, Statement } from "@effect/sql/Statement"
import { Effect } from "effect"
import type { StoreUnavailable } from "../../domain/Errors.ts"
import type { Shard } from "../../domain/Id.ts"
import type { Store } from "../Store.ts"
import { escape, escapeRecord } from "./Escape.ts"
import * as Rows from "./Rows.ts"

type Service = Store["Type"]

export interface Dialect {
  readonly sql: SqlClient.SqlClient
  /** Milliseconds since the epoch, as an expression: the database's clock where it has one. */
  readonly now: Effect.Effect<Fragment>
  /** `column` is one of the values. One text, however many there are. */
  readonly among: (column: Fragment, values: ReadonlyArray<string>) => Fragment
  /** The attributes column holds all of these, which are escaped JSON. */
  readonly holds: (column: Fragment, attributes: string) => Fragment
  /** At the end of a SELECT: locks the rows, in the order in which they come. */
  readonly forUpdate: Fragment
  readonly guard: (
    operation: string
  ) => <A, R>(effect: Effect.Effect<A, SqlError, R>) => Effect.Effect<A, StoreUnavailable, R>
}

const first = <A, B>(statement: Statement<A & object>, decode: (row: A) => B): Effect.Effect<B | null, SqlError> =>
  Effect.map(statement, (rows) => (rows.length === 0 ? null : decode(rows[0]!)))

const all = <A, B>(statement: Statement<A & object>, decode: (row: A) => B): Effect.Effect<Array<B>, SqlError> =>
  Effect.map(statement, (rows) => rows.map(decode))

/**
 * Of the session that these expressions name: rows as {@link Rows.WakingColumns}, in no order.
 *
 * The row that proves a snapshot is asked for by its seq. As a join, and without statistics, Postgres looked for it among
 * all of the session.
 */
export const wakingOf = (sql: SqlClient.SqlClient, namespace: Fragment, session: Fragment, limit: Fragment) => {
  const rows = sql`SELECT * FROM perdure_journal WHERE namespace = ${namespace} AND session = ${session}`
  return sql`WITH s AS (
      SELECT seq, fingerprint, chain, state FROM perdure_snapshots s
      WHERE namespace = ${namespace} AND session = ${session} AND chain = (
        SELECT chain FROM perdure_journal WHERE namespace = s.namespace AND session = s.session AND seq = s.seq
      )
    )
    SELECT j.seq, j.epoch, j.at, j.tag, j.command, j.payload, j.digest, j.chain,
      s.seq AS folded, s.fingerprint, s.chain AS folded_chain, s.state
    FROM (${rows} AND seq = 1
      UNION ALL
      SELECT * FROM (${rows} AND seq > coalesce((SELECT seq FROM s), 1) ORDER BY seq LIMIT ${limit}) AS rest
    ) AS j
    LEFT JOIN s ON j.seq = 1`
}

export const make = ({ sql, now, among, holds, forUpdate, guard }: Dialect) => {
  const write =
    (operation: string) =>
    (effect: Effect.Effect<unknown, SqlError>): Effect.Effect<void, StoreUnavailable> =>
      Effect.asVoid(guard(operation)(effect))

  const journal = sql`SELECT seq, epoch, at, tag, command, payload, digest, chain FROM perdure_journal`
  const sessions = sql`SELECT namespace, session, shard, agent, agent_version, status, attributes, created_at, updated_at
    FROM perdure_sessions`

  const read: Service["read"] = (namespace, session, after, limit) =>
    guard("read")(
      all(
        sql<Rows.JournalColumns>`${journal} WHERE namespace = ${namespace} AND session = ${session} AND seq > ${after}
          ORDER BY seq LIMIT ${limit}`,
        Rows.stored
      )
    )

  const head: Service["head"] = (namespace, session) =>
    guard("head")(
      first(
        sql<Rows.JournalColumns>`${journal} WHERE namespace = ${namespace} AND session = ${session}
          ORDER BY seq DESC LIMIT 1`,
        Rows.stored
      )
    )

  const accepted: Service["accepted"] = (namespace, session, command) =>
    guard("accepted")(
      first(
        sql<Rows.JournalColumns>`${journal} WHERE namespace = ${namespace} AND session = ${session}
          AND command = ${command}`,
        Rows.stored
      )
    )

  // At the same seq the later one wins: it is by newer code, which could not read the other.
  const saveSnapshot: Service["saveSnapshot"] = (namespace, session, { seq, fingerprint, chain, state }) =>
    write("saveSnapshot")(
      sql`INSERT INTO perdure_snapshots (namespace, session, seq, fingerprint, chain, state)
        VALUES (${namespace}, ${session}, ${seq}, ${escape(fingerprint)}, ${chain}, ${state})
        ON CONFLICT (namespace, session) DO UPDATE
        SET seq = excluded.seq, fingerprint = excluded.fingerprint, chain = excluded.chain, state = excluded.state
        WHERE excluded.seq >= perdure_snapshots.seq`
    )

  const session: Service["session"] = (namespace, id) =>
    guard("session")(
      first(sql<Rows.SessionColumns>`${sessions} WHERE namespace = ${namespace} AND session = ${id}`, Rows.session)
    )

  const listed: Service["sessions"] = ({ namespace, agent, status, attributes, limit }) =>
    guard("sessions")(
      all(
        sql<Rows.SessionColumns>`${sessions} WHERE ${sql.and([
          sql`1 = 1`,
          ...(namespace === undefined ? [] : [sql`namespace = ${namespace}`]),
          ...(agent === undefined ? [] : [sql`agent = ${agent}`]),
          ...(status === undefined ? [] : [sql`status = ${status}`]),
          ...(attributes === undefined || Object.keys(attributes).length === 0
            ? []
            : [holds(sql`attributes`, escapeRecord(attributes))])
        ])} ORDER BY updated_at DESC, namespace, session LIMIT ${limit ?? 100}`,
        Rows.session
      )
    )

  const unfinished: Service["unfinished"] = (shards) =>
    guard("unfinished")(
      all(
        sql<Rows.SessionColumns>`${sessions} WHERE status = 'active' AND ${among(sql`shard`, shards)}
          ORDER BY updated_at`,
        Rows.session
      )
    )

  const timers: Service["timers"] = (shards) =>
    guard("timers")(
      all(
        sql<Rows.TimerColumns>`SELECT namespace, session, shard, timer, due FROM perdure_timers
          WHERE ${among(sql`shard`, shards)} ORDER BY due`,
        Rows.timer
      )
    )

  const park: Service["park"] = (namespace, id, reason) =>
    Effect.gen(function* () {
      const rows = yield* sql<{ readonly attributes: string }>`SELECT attributes FROM perdure_sessions
        WHERE namespace = ${namespace} AND session = ${id}`
      if (rows.length === 0) return
      const attributes = { ...JSON.parse(rows[0]!.attributes), parked: escape(reason) }
      yield* sql`UPDATE perdure_sessions SET status = 'parked', attributes = ${JSON.stringify(attributes)},
        updated_at = ${yield* now} WHERE namespace = ${namespace} AND session = ${id}`
    }).pipe(sql.withTransaction, write("park"))

  const forget: Service["forget"] = (namespace, id) =>
    Effect.forEach(
      ["journal", "snapshots", "timers", "blob_refs", "sessions"],
      (table) => sql`DELETE FROM ${sql(`perdure_${table}`)} WHERE namespace = ${namespace} AND session = ${id}`
    ).pipe(sql.withTransaction, write("forget"))

  const agree: Service["agree"] = (name, proposal) =>
    Effect.gen(function* () {
      const find = sql<{ readonly value: string }>`SELECT value FROM perdure_agreements WHERE name = ${name}`
      const [found] = yield* find
      // Most times it is long agreed: who may only read the database gets its answer, too.
      if (found !== undefined) return found.value
      yield* sql`INSERT INTO perdure_agreements (name, value) VALUES (${name}, ${proposal})
        ON CONFLICT (name) DO NOTHING`
      return (yield* find)[0]!.value
    }).pipe(guard("agree"))

  return {
    ...{
      agree,
      read,
      head,
      accepted,
      saveSnapshot,
      session,
      sessions: listed,
      unfinished,
      timers,
      park,
      forget
    },
    ...blobs({ sql, now, guard }),
    ...runners({ sql, now, guard, among, forUpdate })
  }
}

const blobs = ({ sql, now, guard }: Pick<Dialect, "sql" | "now" | "guard">) => {
  // Putting again what is there only says that somebody is about to name it: `collect` leaves it alone for a while.
  const putChunk: Service["putChunk"] = (namespace, hash, content) =>
    Effect.gen(function* () {
      const time = yield* now
      const touched = yield* sql`UPDATE perdure_chunks SET touched_at = ${time}
        WHERE namespace = ${namespace} AND hash = ${hash} RETURNING hash`
      if (touched.length > 0) return
      yield* sql`INSERT INTO perdure_chunks (namespace, hash, touched_at, content)
        VALUES (${namespace}, ${hash}, ${time}, ${content})
        ON CONFLICT (namespace, hash) DO UPDATE SET touched_at = excluded.touched_at`
    }).pipe(guard("putChunk"))

  const getChunk: Service["getChunk"] = (namespace, hash) =>
    guard("getChunk")(
      first(
        sql<{ readonly content: Uint8Array }>`SELECT content FROM perdure_chunks
          WHERE namespace = ${namespace} AND hash = ${hash}`,
        (row) => row.content
      )
    )

  const putBlob: Service["putBlob"] = (namespace, { hash, bytes, chunks }) =>
    Effect.gen(function* () {
      yield* sql`INSERT INTO perdure_blobs (namespace, hash, bytes, touched_at)
        VALUES (${namespace}, ${hash}, ${bytes}, ${yield* now})
        ON CONFLICT (namespace, hash) DO UPDATE SET touched_at = excluded.touched_at`
      for (let from = 0; from < chunks.length; from += positions_max) {
        const rows = chunks
          .slice(from, from + positions_max)
          .map((chunk, i) => ({ namespace, hash, position: from + i, chunk }))
        yield* sql`INSERT INTO perdure_blob_chunks ${sql.insert(rows)} ON CONFLICT (namespace, hash, position) DO NOTHING`
      }
    }).pipe(sql.withTransaction, guard("putBlob"))

  const getBlob: Service["getBlob"] = (namespace, hash) =>
    Effect.gen(function* () {
      const rows = yield* sql<{ readonly bytes: unknown; readonly chunk: string | null }>`
        SELECT b.bytes, c.chunk FROM perdure_blobs b
        LEFT JOIN perdure_blob_chunks c ON c.namespace = b.namespace AND c.hash = b.hash
        WHERE b.namespace = ${namespace} AND b.hash = ${hash} ORDER BY c.position`
      if (rows.length === 0) return null
      const chunks = rows.flatMap((row) => (row.chunk === null ? [] : [row.chunk]))
      return { hash, bytes: Number(rows[0]!.bytes), chunks }
    }).pipe(guard("getBlob"))

  const collect: Service["collect"] = (olderThanMs) =>
    Effect.gen(function* () {
      const before = sql`${yield* now} - ${Math.ceil(olderThanMs)}`
      const gone = yield* sql<{ readonly namespace: string; readonly hash: string }>`DELETE FROM perdure_blobs
        WHERE touched_at < ${before} AND NOT EXISTS (SELECT 1 FROM perdure_blob_refs r
          WHERE r.namespace = perdure_blobs.namespace AND r.hash = perdure_blobs.hash)
        RETURNING namespace, hash`
      yield* sql`DELETE FROM perdure_blob_chunks WHERE NOT EXISTS (SELECT 1 FROM perdure_blobs b
        WHERE b.namespace = perdure_blob_chunks.namespace AND b.hash = perdure_blob_chunks.hash)`
      yield* sql`DELETE FROM perdure_chunks WHERE touched_at < ${before}
        AND NOT EXISTS (SELECT 1 FROM perdure_blob_chunks c
          WHERE c.namespace = perdure_chunks.namespace AND c.chunk = perdure_chunks.hash)`
      return gone.length
    }).pipe(sql.withTransaction, guard("collect"))

  return { putChunk, getChunk, putBlob, getBlob, collect }
}

/** Rows of one INSERT: 4 parameters each, of 65,535 (Postgres) or 32,766 (SQLite). */
const positions_max = 1000

const runners = ({ sql, now, guard, among, forUpdate }: Omit<Dialect, "holds">) => {
  // Leases are locked in the order of their shards, here as in append and acquire: nobody waits in a circle.
  const free = (owner: Fragment) =>
    sql`UPDATE perdure_leases SET address = NULL, incarnation = NULL
      WHERE shard IN (SELECT shard FROM perdure_leases WHERE ${owner} ORDER BY shard ${forUpdate})`

  const unregister: Service["unregister"] = (address, incarnation) =>
    Effect.gen(function* () {
      const same = sql`address = ${escape(address)} AND incarnation = ${escape(incarnation)}`
      // No transaction: whoever is stopped in the middle of one holds up those who want its shards.
      yield* free(same)
      yield* sql`DELETE FROM perdure_runners WHERE ${same}`
    }).pipe(guard("unregister"))

  const heartbeat: Service["heartbeat"] = (address, incarnation) =>
    Effect.gen(function* () {
      const rows = yield* sql`UPDATE perdure_runners SET heartbeat_at = ${yield* now}
        WHERE address = ${escape(address)} AND incarnation = ${escape(incarnation)} RETURNING address`
      return rows.length > 0
    }).pipe(guard("heartbeat"))

  const setHealth: Service["setHealth"] = (address, incarnation, healthy) =>
    sql`UPDATE perdure_runners SET healthy = ${healthy ? 1 : 0}
      WHERE address = ${escape(address)} AND incarnation = ${escape(incarnation)}`.pipe(
      guard("setHealth"),
      Effect.asVoid
    )

  const owned: Service["owned"] = (address, incarnation, shards) =>
    guard("owned")(
      all(
        sql<{ readonly shard: string }>`SELECT shard FROM perdure_leases WHERE address = ${escape(address)}
          AND incarnation = ${escape(incarnation)} AND ${among(sql`shard`, shards)} ORDER BY shard`,
        (row) => row.shard as Shard
      )
    )

  const release: Service["release"] = (address, incarnation, shards) =>
    free(
      sql.and([
        sql`address = ${escape(address)} AND incarnation = ${escape(incarnation)}`,
        ...(shards === undefined ? [] : [among(sql`shard`, shards)])
      ])
    ).pipe(guard("release"), Effect.asVoid)

  return { unregister, heartbeat, setHealth, owned, release }
}
