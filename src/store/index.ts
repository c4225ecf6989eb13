/** The port to the database and its drivers. */
export * as Sqlite from "./Sqlite.ts"
export * from "./Store.ts"
