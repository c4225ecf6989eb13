/**
 * The port on one SQLite connection that nobody else writes through.
 *
 * - I3: the epochs are read in the transaction that inserts.
 * - I4: a group that breaks a uniqueness is rolled back alone.
 */
import { Clock, Effect } from "effect"
import type { Epoch, Shard } from "../../domain/Id.ts"
import type { Group, Store, Written } from "../Store.ts"
import { escape } from "./Escape.ts"
import * as Queries from "./Queries.ts"
import * as Rows from "./Rows.ts"
import type { Run, Sqlite } from "./SqliteClient.ts"
import * as SqliteFailure from "./SqliteFailure.ts"
import { turn } from "./turn.ts"

type Service = Store["Type"]

const epochOf = (run: Run) => {
  const known = new Map<Shard, number | undefined>()
  return (shard: Shard): number | undefined => {
    if (!known.has(shard)) {
      const rows = run("SELECT epoch FROM perdure_leases WHERE shard = ?", [shard])
      known.set(shard, rows.length === 0 ? undefined : Number(rows[0]!["epoch"]))
    }
    return known.get(shard)
  }
}

const insert = (run: Run, { namespace, session, shard, epoch, ...group }: Group): void => {
  for (const { seq, at, tag, command, payload, digest, chain } of group.rows) {
    run(
      `INSERT INTO perdure_journal (namespace, session, seq, epoch, at, tag, command, payload, digest, chain)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [namespace, session, seq, epoch, at, tag, command, payload, digest, chain]
    )
  }
  if (group.info !== undefined) {
    run(
      `INSERT INTO perdure_sessions
        (namespace, session, shard, agent, agent_version, status, attributes, created_at, updated_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (namespace, session) DO UPDATE SET shard = excluded.shard, agent = excluded.agent,
          agent_version = excluded.agent_version, status = excluded.status, attributes = excluded.attributes,
          created_at = excluded.created_at, updated_at = excluded.updated_at`,
      [namespace, session, shard, ...Rows.sessionValues(group.info)]
    )
  }
  for (const timer of group.timersCleared ?? []) {
    run("DELETE FROM perdure_timers WHERE namespace = ? AND session = ? AND timer = ?", [
      namespace,
      session,
      escape(timer)
    ])
  }
  for (const { timer, due } of group.timersSet ?? []) {
    run(
      `INSERT INTO perdure_timers (namespace, session, timer, shard, due) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (namespace, session, timer) DO UPDATE SET shard = excluded.shard, due = excluded.due`,
      [namespace, session, escape(timer), shard, due]
    )
  }
  for (const hash of group.blobs ?? []) {
    run("INSERT INTO perdure_blob_refs (namespace, hash, session) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", [
      namespace,
      hash,
      session
    ])
  }
}

/** One that breaks a uniqueness breaks the transaction. */
const writeAll =
  (groups: ReadonlyArray<Group>) =>
  (run: Run): ReadonlyArray<Written> => {
    const epoch = epochOf(run)
    return groups.map((group) => {
      if (epoch(group.shard) !== group.epoch) return "fenced"
      insert(run, group)
      return "written"
    })
  }

/** The slow way, for a batch in which some group conflicts: each under a savepoint of its own. */
const writeEach =
  (groups: ReadonlyArray<Group>) =>
  (run: Run): ReadonlyArray<Written> => {
    const epoch = epochOf(run)
    return groups.map((group) => {
      if (epoch(group.shard) !== group.epoch) return "fenced"
      run("SAVEPOINT one")
      try {
        insert(run, group)
        run("RELEASE one")
        return "written"
      } catch (cause) {
        if (!SqliteFailure.isUnique(cause)) throw cause
        run("ROLLBACK TO one")
        run("RELEASE one")
        return "conflict"
      }
    })
  }

export const make = ({ client: sql, transaction }: Sqlite): Service => {
  const now = Effect.map(Clock.currentTimeMillis, (millis) => sql`${millis}`)
  const { guard } = SqliteFailure

  const append: Service["append"] = (groups) =>
    groups.length === 0
      ? Effect.succeed([])
      : transaction(writeAll(groups)).pipe(
          Effect.catchIf(SqliteFailure.isUnique, () => transaction(writeEach(groups))),
          guard("append")
        )

  // The directory's lock is the presence: of this process there can be no other, and what an earlier one left behind
  // was cleared when the store was opened. So only silence tells a dead runner.
  const register: Service["register"] = ({ address, incarnation, info, healthy }) =>
    Effect.flatMap(Clock.currentTimeMillis, (at) =>
      transaction((run) => {
        run(
          `INSERT INTO perdure_runners (address, incarnation, info, healthy, presence, heartbeat_at)
            VALUES (?, ?, ?, ?, 0, ?) ON CONFLICT (address) DO UPDATE SET incarnation = excluded.incarnation,
            info = excluded.info, healthy = excluded.healthy, heartbeat_at = excluded.heartbeat_at`,
          [escape(address), escape(incarnation), escape(info), healthy ? 1 : 0, at]
        )
      })
    ).pipe(guard("register"))

  const runners: Service["runners"] = (expiryMs) =>
    Effect.flatMap(
      Clock.currentTimeMillis,
      (at) => sql<Rows.RunnerColumns>`SELECT address, incarnation, info, healthy FROM perdure_runners
        WHERE heartbeat_at >= ${at - expiryMs} ORDER BY address`
    ).pipe(
      Effect.map((rows) => rows.map(Rows.runner)),
      guard("runners")
    )

  const acquire: Service["acquire"] = (address, incarnation, shards, expiryMs) =>
    Effect.flatMap(Clock.currentTimeMillis, (at) =>
      transaction((run) => {
        const self = [escape(address), escape(incarnation)]
        run("DELETE FROM perdure_runners WHERE heartbeat_at < ? AND NOT (address = ? AND incarnation = ?)", [
          at - expiryMs,
          ...self
        ])
        const known = run("SELECT 1 FROM perdure_runners WHERE address = ? AND incarnation = ?", self)
        if (known.length === 0) return []
        return shards.flatMap((shard) =>
          run(
            `INSERT INTO perdure_leases (shard, epoch, address, incarnation) VALUES (?, 1, ?, ?)
              ON CONFLICT (shard) DO UPDATE SET epoch = perdure_leases.epoch + 1, address = excluded.address,
                incarnation = excluded.incarnation
              WHERE (perdure_leases.address = excluded.address AND perdure_leases.incarnation = excluded.incarnation)
                OR NOT EXISTS (SELECT 1 FROM perdure_runners r WHERE r.address = perdure_leases.address
                  AND r.incarnation = perdure_leases.incarnation)
              RETURNING epoch`,
            [shard, ...self]
          ).map((row) => ({ shard, epoch: Number(row["epoch"]) as Epoch }))
        )
      })
    ).pipe(guard("acquire"))

  const inTurn: Queries.Dialect["guard"] = (operation) => (effect) => guard(operation)(Effect.zipRight(turn, effect))

  const waking: Service["waking"] = (namespace, session, limit) =>
    Effect.map(
      sql<Rows.WakingColumns>`${Queries.wakingOf(sql, sql`${namespace}`, sql`${session}`, sql`${limit}`)}
        ORDER BY j.seq`,
      Rows.waking
    ).pipe(inTurn("waking"))

  return {
    driver: "sqlite",
    append,
    waking,
    register,
    runners,
    acquire,
    ...Queries.make({
      sql,
      now,
      guard: inTurn,
      among: (column, values) => sql`${column} IN (SELECT value FROM json_each(${JSON.stringify(values)}))`,
      holds: (column, attributes) => sql`NOT EXISTS (SELECT 1 FROM json_each(${attributes}) wanted WHERE NOT EXISTS
        (SELECT 1 FROM json_each(${column}) had WHERE had.key = wanted.key AND had.value = wanted.value))`,
      // One process, one connection: what a transaction reads is its own.
      forUpdate: sql``
    })
  }
}
