/** The tables, as numbered migrations. A migration that has been released is never changed: add another one. */

export interface Migration {
  readonly version: number
  readonly name: string
  readonly postgres: ReadonlyArray<string>
  readonly sqlite: ReadonlyArray<string>
}

interface Dialect {
  readonly text: string
  readonly int: string
  readonly bytes: string
  /** After the closing parenthesis of a table that is read by its primary key alone. */
  readonly keyed: string
  /** The same, for rows that are updated in place often: room for the new version beside the old one. */
  readonly updated: string
  /** The same, for a few rows that are updated without end: vacuumed early, and without pause. */
  readonly churned: string
}

// Ids compare as bytes, as they do in JavaScript: quicker than by a locale, and the same in both databases.
const postgres: Dialect = {
  text: `text COLLATE "C"`,
  int: "bigint",
  bytes: "bytea",
  keyed: "",
  updated: "WITH (fillfactor = 70)",
  churned:
    "WITH (fillfactor = 50, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0)"
}

const sqlite: Dialect = {
  text: "TEXT",
  int: "INTEGER",
  bytes: "BLOB",
  keyed: "WITHOUT ROWID",
  updated: "WITHOUT ROWID",
  churned: "WITHOUT ROWID"
}

const initial = ({ text, int, bytes, keyed, updated, churned }: Dialect): ReadonlyArray<string> => [
  `CREATE TABLE perdure_journal (
    namespace ${text} NOT NULL,
    session ${text} NOT NULL,
    seq ${int} NOT NULL,
    epoch ${int} NOT NULL,
    at ${int} NOT NULL,
    tag ${text} NOT NULL,
    command ${text},
    payload ${bytes} NOT NULL,
    digest ${bytes} NOT NULL,
    chain ${bytes} NOT NULL,
    PRIMARY KEY (namespace, session, seq)
  ) ${keyed}`,
  `CREATE UNIQUE INDEX perdure_journal_command ON perdure_journal (namespace, session, command)
    WHERE command IS NOT NULL`,
  `CREATE TABLE perdure_sessions (
    namespace ${text} NOT NULL,
    session ${text} NOT NULL,
    shard ${text} NOT NULL,
    agent ${text} NOT NULL,
    agent_version ${text} NOT NULL,
    status ${text} NOT NULL,
    attributes ${text} NOT NULL,
    created_at ${int} NOT NULL,
    updated_at ${int} NOT NULL,
    PRIMARY KEY (namespace, session)
  ) ${updated}`,
  `CREATE INDEX perdure_sessions_active ON perdure_sessions (shard) WHERE status = 'active'`,
  `CREATE TABLE perdure_snapshots (
    namespace ${text} NOT NULL,
    session ${text} NOT NULL,
    seq ${int} NOT NULL,
    fingerprint ${text} NOT NULL,
    chain ${bytes} NOT NULL,
    state ${bytes} NOT NULL,
    PRIMARY KEY (namespace, session)
  ) ${keyed}`,
  `CREATE TABLE perdure_timers (
    namespace ${text} NOT NULL,
    session ${text} NOT NULL,
    timer ${text} NOT NULL,
    shard ${text} NOT NULL,
    due ${int} NOT NULL,
    PRIMARY KEY (namespace, session, timer)
  ) ${keyed}`,
  `CREATE INDEX perdure_timers_shard ON perdure_timers (shard)`,
  `CREATE TABLE perdure_blobs (
    namespace ${text} NOT NULL,
    hash ${text} NOT NULL,
    bytes ${int} NOT NULL,
    touched_at ${int} NOT NULL,
    PRIMARY KEY (namespace, hash)
  ) ${keyed}`,
  `CREATE TABLE perdure_blob_chunks (
    namespace ${text} NOT NULL,
    hash ${text} NOT NULL,
    position ${int} NOT NULL,
    chunk ${text} NOT NULL,
    PRIMARY KEY (namespace, hash, position)
  ) ${keyed}`,
  `CREATE INDEX perdure_blob_chunks_chunk ON perdure_blob_chunks (namespace, chunk)`,
  // With a rowid in SQLite: contents of many pages make a poor b-tree key neighbour.
  `CREATE TABLE perdure_chunks (
    namespace ${text} NOT NULL,
    hash ${text} NOT NULL,
    touched_at ${int} NOT NULL,
    content ${bytes} NOT NULL,
    PRIMARY KEY (namespace, hash)
  )`,
  `CREATE TABLE perdure_blob_refs (
    namespace ${text} NOT NULL,
    hash ${text} NOT NULL,
    session ${text} NOT NULL,
    PRIMARY KEY (namespace, hash, session)
  ) ${keyed}`,
  `CREATE INDEX perdure_blob_refs_session ON perdure_blob_refs (namespace, session)`,
  // Runners and shards belong to the whole store, not to a tenant: the only tables without a namespace.
  `CREATE TABLE perdure_runners (
    address ${text} NOT NULL PRIMARY KEY,
    incarnation ${text} NOT NULL,
    info ${text} NOT NULL,
    healthy ${int} NOT NULL,
    presence ${int} NOT NULL,
    heartbeat_at ${int} NOT NULL
  ) ${churned}`,
  `CREATE TABLE perdure_leases (
    shard ${text} NOT NULL PRIMARY KEY,
    epoch ${int} NOT NULL,
    address ${text},
    incarnation ${text}
  ) ${churned}`
]

const agreements = ({ text, keyed }: Dialect): ReadonlyArray<string> => [
  `CREATE TABLE perdure_agreements (
    name ${text} NOT NULL PRIMARY KEY,
    value ${text} NOT NULL
  ) ${keyed}`
]

export const migrations: ReadonlyArray<Migration> = [
  {
    version: 1,
    name: "initial",
    postgres: [
      ...initial(postgres),
      // Chunks are compressed or encrypted already as often as not: trying again costs more than it gains.
      "ALTER TABLE perdure_chunks ALTER COLUMN content SET STORAGE EXTERNAL"
    ],
    sqlite: initial(sqlite)
  },
  { version: 2, name: "agreements", postgres: agreements(postgres), sqlite: agreements(sqlite) }
]

/** The newest version that this code knows. */
export const current = migrations[migrations.length - 1]!.version

/** The table that says which migrations a store has had. */
export const ledger = {
  postgres: `CREATE TABLE IF NOT EXISTS perdure_migrations (version bigint PRIMARY KEY, name text NOT NULL, at timestamptz NOT NULL DEFAULT now())`,
  sqlite: `CREATE TABLE IF NOT EXISTS perdure_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)`
}

export const tooNew = (where: string, version: number): string =>
  `${where} was written by a newer Perdure: it has version ${version}, this one knows up to ${current}. Upgrade perdure, or use another store`
