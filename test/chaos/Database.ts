/**
 * Postgres as a victim and as a witness: it says when each transaction committed and who took which shard, and it can be
 * crashed, frozen, and robbed of its connections.
 */
import { readdirSync, readFileSync } from "node:fs"
import * as SqlClient from "@effect/sql/SqlClient"
import { Effect, Layer, Redacted, type Scope } from "effect"
import { Postgres as PostgresStore, type Store, type Timer } from "../../src/store/index.ts"
import * as Postgres from "../support/Postgres.ts"

/** A row of a journal and its commit, in milliseconds of the machine's clock. */
export interface CommittedRow {
  readonly session: string
  readonly seq: number
  readonly epoch: number
  readonly tag: string
  readonly command: string | null
  readonly shard: string
  readonly tx: string
  readonly at: number
}

export interface Taken {
  readonly shard: string
  readonly epoch: number
  /** Of the runner, as the others reach it. */
  readonly address: string
  readonly at: number
}

export interface Database {
  readonly url: URL
  /** Not through any proxy. */
  readonly store: Layer.Layer<Store>
  readonly restart: Effect.Effect<void>
  /** Ends backends that serve runners and clients; how many. */
  readonly terminate: (share: number) => Effect.Effect<number>
  readonly signal: (signal: "SIGSTOP" | "SIGCONT") => void
  readonly commits: Effect.Effect<ReadonlyArray<CommittedRow>>
  readonly taken: Effect.Effect<ReadonlyArray<Taken>>
  /** Sessions that are not at rest. */
  readonly unfinished: Effect.Effect<ReadonlyArray<string>>
  readonly timers: Effect.Effect<ReadonlyArray<Timer>>
  /** Who owns what, who is alive, who waits: for people. */
  readonly dump: Effect.Effect<string>
}

const ms = "extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 * 1000"

const statOf = (pid: number): ReadonlyArray<string> => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  } catch {
    return []
  }
}

/** The server that listens on a port and its children. */
const processesOf = (port: number): ReadonlyArray<number> => {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name))
  const server = all.map(Number).find((pid) => {
    try {
      return Number(statOf(pid)[1]) === process.pid
        ? readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`\0-p\0${port}\0`)
        : false
    } catch {
      return false
    }
  })
  if (server === undefined) return []
  return [server, ...all.map(Number).filter((pid) => Number(statOf(pid)[1]) === server)]
}

export const make: Effect.Effect<Database, never, Scope.Scope> = Effect.gen(function* () {
  const server = yield* Effect.acquireRelease(Effect.promise(Postgres.start), (server) =>
    Effect.promise(() => server.stop())
  )
  const admin = <A>(f: (sql: SqlClient.SqlClient) => Effect.Effect<A, unknown>, url = server.url) =>
    Effect.orDie(
      Effect.scoped(
        Effect.flatMap(SqlClient.SqlClient, f).pipe(
          Effect.provide(PostgresStore.layerClient({ url: Redacted.make(url), maxConnections: 2 }))
        )
      )
    )
  yield* admin((sql) => sql`ALTER SYSTEM SET track_commit_timestamp = on`)
  yield* admin((sql) => sql`CREATE DATABASE chaos TEMPLATE template0`)
  yield* Effect.promise(() => server.restart("fast"))
  const url = new URL(server.url)
  url.pathname = "/chaos"
  const store = Layer.orDie(PostgresStore.layer({ url: Redacted.make(url.toString()), maxConnections: 3 }))
  // It makes the tables, if it is the first.
  yield* Effect.scoped(Layer.build(store))
  const query = <A>(f: (sql: SqlClient.SqlClient) => Effect.Effect<A, unknown>) => admin(f, url.toString())
  yield* query((sql) =>
    Effect.gen(function* () {
      yield* sql.unsafe(`CREATE TABLE chaos_taken (n bigserial, shard text, epoch bigint, address text)`)
      yield* sql.unsafe(`CREATE FUNCTION chaos_take() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF TG_OP = 'INSERT' OR NEW.epoch <> OLD.epoch THEN
            INSERT INTO chaos_taken (shard, epoch, address) VALUES (NEW.shard, NEW.epoch, NEW.address);
          END IF;
          RETURN NULL;
        END $$`)
      yield* sql.unsafe(`CREATE TRIGGER chaos_take AFTER INSERT OR UPDATE ON perdure_leases
        FOR EACH ROW EXECUTE FUNCTION chaos_take()`)
    })
  )
  const stopped = new Set<number>()

  return {
    url,
    store,
    restart: Effect.promise(() => server.restart("immediate")),
    terminate: (share) =>
      query((sql) =>
        Effect.map(
          sql<{ readonly n: number }>`SELECT count(pg_terminate_backend(pid))::int AS n FROM pg_stat_activity
            WHERE datname = 'chaos' AND pid <> pg_backend_pid() AND random() < ${share}`,
          (rows) => rows[0]!.n
        )
      ),
    signal: (signal) => {
      // All that were stopped go on, also those whose parent has been replaced.
      const pids = signal === "SIGSTOP" ? processesOf(server.port) : [...stopped]
      stopped.clear()
      for (const pid of pids) {
        try {
          process.kill(pid, signal)
          if (signal === "SIGSTOP") stopped.add(pid)
        } catch {
          // It has ended meanwhile.
        }
      }
    },
    commits: query((sql) =>
      Effect.map(
        sql.unsafe<CommittedRow>(`SELECT j.namespace || '/' || j.session AS session, j.seq::int AS seq,
          j.epoch::int AS epoch, j.tag, j.command, s.shard, j.xmin::text AS tx, ${ms.replace("xmin", "j.xmin")} AS at
          FROM perdure_journal j JOIN perdure_sessions s USING (namespace, session)
          ORDER BY at, session, seq`),
        (rows) => rows
      )
    ),
    taken: query((sql) =>
      Effect.map(
        sql.unsafe<Taken>(`SELECT shard, epoch::int AS epoch, address, ${ms} AS at FROM chaos_taken ORDER BY at, n`),
        (rows) => rows
      )
    ),
    unfinished: query((sql) =>
      Effect.map(
        sql<{ readonly key: string }>`SELECT namespace || '/' || session AS key FROM perdure_sessions
          WHERE status = 'active' ORDER BY 1`,
        (rows) => rows.map(({ key }) => key)
      )
    ),
    timers: query((sql) =>
      Effect.map(
        sql<Timer>`SELECT namespace, session, shard, timer, due::float8 AS due FROM perdure_timers`,
        (rows) => rows
      )
    ),
    dump: query((sql) =>
      Effect.gen(function* () {
        const runners = yield* sql`SELECT address, healthy, heartbeat_at FROM perdure_runners ORDER BY address`
        const leases = yield* sql`SELECT address, count(*)::int AS shards FROM perdure_leases GROUP BY address`
        const waits = yield* sql`SELECT pid, state, wait_event_type, wait_event, left(query, 60) AS query,
          age(clock_timestamp(), query_start)::text AS age, pg_blocking_pids(pid)::text AS blocked_by
          FROM pg_stat_activity WHERE datname = 'chaos' AND pid <> pg_backend_pid() AND state <> 'idle'`
        return JSON.stringify({ runners, leases, waits }, null, 1)
      })
    )
  }
})
