/** The stores that are measured: each with a runner on it, and a bare client of the same driver beside it. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Redacted, type Scope } from "effect"
import type { Agent } from "../../src/agent/index.ts"
import { Cluster, Door, Runner, RunnerSettings } from "../../src/runner/index.ts"
import type { Behaviour, Settings } from "../../src/session/index.ts"
import { Postgres, Sqlite } from "../../src/store/index.ts"
import * as TestPostgres from "../support/Postgres.ts"

export type Driver = "sqlite" | "postgres"

export interface Target {
  readonly driver: Driver
  /** A directory, or a database's URL: enough for another process to open the same. */
  readonly where: string
  /** A runner of these behaviours, as `layerEmbedded` and `layerCluster` put it together. */
  readonly runner: <R>(
    behaviours: ReadonlyArray<Behaviour<any, R>>,
    settings?: Partial<Settings>
  ) => Layer.Layer<Runner.Provided, never, Exclude<R, Agent.Provided>>
}

export const sqlite = (directory: string): Target => ({
  driver: "sqlite",
  where: directory,
  runner: (behaviours, settings) =>
    Door.layer(directory).pipe(
      Layer.provideMerge(Runner.layerWith(behaviours, Cluster.layerEmbedded, settings)),
      Layer.provide(RunnerSettings.layer()),
      Layer.provideMerge(Sqlite.layer({ directory })),
      Layer.orDie
    ) as never
})

export const postgres = (url: string): Target => ({
  driver: "postgres",
  where: url,
  runner: (behaviours, settings) =>
    Runner.layerWith(behaviours, Cluster.layerRunner, settings).pipe(
      Layer.provide(RunnerSettings.layer()),
      Layer.provideMerge(Postgres.layer({ url: Redacted.make(url) })),
      Layer.orDie
    ) as never
})

export const open = (driver: Driver, where: string): Target => (driver === "sqlite" ? sqlite(where) : postgres(where))

/** A fresh store on the real disk, gone with the scope. */
export const fresh = (driver: Driver): Effect.Effect<Target, never, Scope.Scope> =>
  driver === "postgres"
    ? Effect.map(TestPostgres.database, (url) => postgres(Redacted.value(url)))
    : Effect.map(
        Effect.acquireRelease(
          Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "perdure-bench-"))),
          (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
        ),
        sqlite
      )

/** One row of half a kilobyte, one commit, by the same driver with the same settings. */
export class Bare extends Context.Tag("bench/Bare")<Bare, Effect.Effect<void>>() {}

export const bare = (target: Target): Layer.Layer<Bare> =>
  Layer.effect(
    Bare,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE IF NOT EXISTS bare (payload ${sql.literal(target.driver === "sqlite" ? "BLOB" : "bytea")})`
      const payload = Buffer.alloc(512, "x")
      return Effect.asVoid(Effect.orDie(sql`INSERT INTO bare VALUES (${payload})`))
    })
  ).pipe(
    Layer.provide(
      target.driver === "sqlite"
        ? Sqlite.layerClient({ directory: target.where })
        : Postgres.layerClient({ url: Redacted.make(target.where) })
    ),
    Layer.orDie
  )
