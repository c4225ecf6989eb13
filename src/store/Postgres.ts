/** The store in a Postgres database, which many runners share. */
import { PgClient } from "@effect/sql-pg"
import type * as SqlClient from "@effect/sql/SqlClient"
import { Config, ConfigError, Duration, Effect, Layer, Redacted } from "effect"
import { StoreUnavailable, StoreUnusable } from "../domain/Errors.ts"
import { append } from "./internal/PgAppend.ts"
import * as PgConnection from "./internal/PgConnection.ts"
import { guard, reasonOf } from "./internal/PgFailure.ts"
import * as PgHeartbeat from "./internal/PgHeartbeat.ts"
import { migrate } from "./internal/PgMigrations.ts"
import * as PgPresence from "./internal/PgPresence.ts"
import * as PgRunners from "./internal/PgRunners.ts"
import * as PgSocket from "./internal/PgSocket.ts"
import * as PgWaking from "./internal/PgWaking.ts"
import * as Queries from "./internal/Queries.ts"
import { Store } from "./Store.ts"

export interface Settings {
  /**
   * `postgres://user:password@host:port/database`, with `pg`'s parameters, e.g. `?sslmode=verify-full`. It must lead to
   * the server itself or to a pooler in session mode: presence is a lock of the session.
   */
  readonly url: Redacted.Redacted
  /** Connections of this process at most. One of them is the runner's presence, one is kept for appending where there are
   * four or more. */
  readonly maxConnections: number
  /** How long to wait for a connection. */
  readonly connectTimeout: Duration.DurationInput
  /** How long to wait for the answer to one statement. */
  readonly statementTimeout: Duration.DurationInput
}

/** What {@link layer} takes where it is told nothing. */
export const defaults = {
  maxConnections: 10,
  connectTimeout: "5 seconds",
  statementTimeout: "1 minute"
} as const satisfies Omit<Settings, "url">

/** From so many connections on, one is kept for appending: presence and reading have the others. */
const connections_roomy = 4

/** The least that {@link layer} must be told. */
export type Options = Pick<Settings, "url"> & Partial<Settings>

/** Host, port and database: what an error may say of a URL. */
const whereOf = (url: URL): string => `${url.hostname || "localhost"}:${url.port || 5432}${url.pathname}`

const parse = (url: Redacted.Redacted) =>
  Effect.suspend(() => {
    const text = Redacted.value(url)
    const parsed = URL.canParse(text) ? new URL(text) : undefined
    return parsed !== undefined && ["postgres:", "postgresql:"].includes(parsed.protocol)
      ? Effect.succeed(parsed)
      : new StoreUnusable({
          reason: "the database URL is not one of Postgres: write postgres://user:password@host:port/database"
        })
  })

const client = (options: Options) =>
  Effect.gen(function* () {
    const url = yield* parse(options.url)
    const { maxConnections, connectTimeout, statementTimeout } = { ...defaults, ...options }
    const own = Number(url.searchParams.get("query_timeout"))
    const patience_ms = own > 0 ? own : Duration.toMillis(statementTimeout)
    // A moment later than the socket, which is destroyed: after this one the connection would be used again.
    url.searchParams.set("query_timeout", String(patience_ms + 1000))
    return PgClient.layer({
      url: Redacted.make(url.toString()),
      maxConnections,
      connectTimeout,
      stream: PgSocket.make(patience_ms),
      applicationName: "perdure"
    }).pipe(
      Layer.catchAll((error) =>
        Layer.fail(
          new StoreUnavailable({ operation: "open", reason: `Postgres at ${whereOf(url)}: ${reasonOf(error)}` })
        )
      )
    )
  })

/** A bare client with the same settings, without the store: for measuring what one commit costs here. */
export const layerClient = (
  options: Options
): Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, StoreUnusable | StoreUnavailable> =>
  Layer.unwrapEffect(client(options))

const make = Effect.fnUntraced(function* (options: Options) {
  const sql = yield* PgClient.PgClient
  yield* migrate(sql, `the database at ${whereOf(yield* parse(options.url))}`)
  const presence = yield* PgPresence.make(sql)
  const now = sql`(extract(epoch FROM clock_timestamp()) * 1000)::bigint`
  const { left, ...runners } = PgRunners.make(sql, presence, now)
  // With fewer the others would wait for what it keeps.
  const canKeep = (options.maxConnections ?? defaults.maxConnections) >= connections_roomy
  const prepared = PgConnection.prepared(sql)
  const appended = append(canKeep ? yield* PgConnection.preparedOnOne(sql) : prepared)
  const queries = Queries.make({
    sql,
    now: Effect.succeed(now),
    guard,
    among: (column, values) => sql`${column} = ANY(${values}::text[])`,
    holds: (column, attributes) => sql`${column}::jsonb @> ${attributes}::jsonb`,
    forUpdate: sql`FOR UPDATE`
  })
  return Store.of({
    driver: "postgres",
    ...queries,
    ...runners,
    waking: PgWaking.make(sql, prepared),
    heartbeat: (address, incarnation) => PgHeartbeat.firstAnswer(sql, queries.heartbeat(address, incarnation)),
    append: (groups) => guard("append")(appended(groups)),
    unregister: (address, incarnation) =>
      Effect.zipLeft(queries.unregister(address, incarnation), left(address, incarnation))
  })
})

/** The store in a database, which is migrated to this version first. The runners that start together take turns. */
export const layer = (options: Options): Layer.Layer<Store, StoreUnusable | StoreUnavailable> =>
  Layer.scoped(Store, make(options)).pipe(Layer.provide(layerClient(options)))

const urlConfig = Config.redacted("PERDURE_DATABASE_URL").pipe(Config.orElse(() => Config.redacted("DATABASE_URL")))

const unnamed = new StoreUnusable({
  reason:
    "no database is named: set PERDURE_DATABASE_URL (or DATABASE_URL) to a Postgres, e.g. postgres://USER:PASSWORD@HOST:5432/DATABASE"
})

/** A variable that is not of its form is said to be so: `Config`'s own complaint does not say what is wanted. */
const variable = <A>(name: string, config: (name: string) => Config.Config<A>, otherwise: A, form: string) =>
  Effect.mapError(
    Config.withDefault(config(name), otherwise),
    () => new StoreUnusable({ reason: `${name} is not valid: write ${form}` })
  )

const connections = (name: string) =>
  Config.validate(Config.integer(name), { message: "is at least 2", validation: (count) => count >= 2 })

const durationForm = `a number and a unit, e.g. "500 millis" or "5 seconds"`

/**
 * {@link layer}, from `PERDURE_DATABASE_URL` (or `DATABASE_URL`), `PERDURE_DATABASE_CONNECTIONS`,
 * `PERDURE_DATABASE_CONNECT_TIMEOUT` and `PERDURE_DATABASE_STATEMENT_TIMEOUT`.
 */
export const layerConfig: Layer.Layer<Store, StoreUnusable | StoreUnavailable | ConfigError.ConfigError> =
  Layer.unwrapEffect(
    Effect.map(
      Effect.all({
        url: Effect.mapError(urlConfig, (error) => (ConfigError.isMissingDataOnly(error) ? unnamed : error)),
        maxConnections: variable(
          "PERDURE_DATABASE_CONNECTIONS",
          connections,
          defaults.maxConnections,
          "a whole number from 2 on, for a runner's presence has one connection for itself"
        ),
        connectTimeout: variable(
          "PERDURE_DATABASE_CONNECT_TIMEOUT",
          Config.duration,
          Duration.decode(defaults.connectTimeout),
          durationForm
        ),
        statementTimeout: variable(
          "PERDURE_DATABASE_STATEMENT_TIMEOUT",
          Config.duration,
          Duration.decode(defaults.statementTimeout),
          durationForm
        )
      }),
      layer
    )
  )
