/** The port to the database and its drivers. */
export * as Postgres from "./Postgres.ts"
export * as Sqlite from "./Sqlite.ts"
export * from "./Store.ts"
