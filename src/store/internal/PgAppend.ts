/**
 * The fenced group commit: all groups of a flush in one statement, one commit.
 *
 * - I3: the leases are locked FOR SHARE in the statement that inserts, so a runner that takes a shard waits for the
 *   appends in flight, and an append that comes after sees the new epoch.
 * - I4: a broken uniqueness undoes the statement; then each group goes alone, and only the guilty one conflicts.
 *
 * Postgres parses and plans the statement once a connection (there is one for each combination of what a batch has
 * besides rows). All bytes of the batch are one parameter, cut by offset and length on the server: an array of `bytea`
 * would travel as twice its size of text.
 */
import type { SqlError } from "@effect/sql/SqlError"
import { Effect } from "effect"
import type { Group, Written } from "../Store.ts"
import { escape } from "./Escape.ts"
import * as PgAppendOne from "./PgAppendOne.ts"
import type * as PgConnection from "./PgConnection.ts"
import { isUnique } from "./PgFailure.ts"
import * as Rows from "./Rows.ts"

/** What a batch may have besides rows, as bits: each combination is a statement of its own. */
const infos_bit = 1
const timersSet_bit = 2
const timersCleared_bit = 4
const blobs_bit = 8

/** Columns of one `unnest`, filled row by row and sent as array literals. */
class Columns {
  readonly #columns: ReadonlyArray<Array<string>>
  constructor(readonly types: ReadonlyArray<"text" | "bigint" | "int">) {
    this.#columns = types.map(() => [])
  }
  get size(): number {
    return this.#columns[0]!.length
  }
  add(...values: ReadonlyArray<string | number | null>): void {
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!
      this.#columns[i]!.push(value === null ? "NULL" : typeof value === "number" ? String(value) : quoted(value))
    }
  }
  get literals(): ReadonlyArray<string> {
    return this.#columns.map((column) => `{${column.join()}}`)
  }
  /** `unnest($n::text[], …)`, with the number of the parameter after it. */
  unnest(from: number): string {
    return `unnest(${this.types.map((type, i) => `$${from + i}::${type}[]`).join()})`
  }
}

const quoted = (text: string): string => (/["\\]/.test(text) ? `"${text.replace(/["\\]/g, "\\$&")}"` : `"${text}"`)

const rowTypes = ["text", "text", "text", "bigint", "bigint", "bigint", "text", "text", "int", "int"] as const
const infoTypes = [
  ...(["text", "text", "text", "bigint", "text", "text"] as const),
  ...(["text", "text", "bigint", "bigint"] as const)
]
const timersSetTypes = ["text", "text", "text", "bigint", "text", "bigint"] as const
const timersClearedTypes = ["text", "text", "text", "bigint", "text"] as const
const blobsTypes = ["text", "text", "text", "bigint", "text"] as const

const hash_bytes = 32

const held = "JOIN held ON held.shard = t.shard AND held.epoch = t.epoch"

/** The statement for what a batch has. Parameters: shards, bytes, then the columns of each part. */
const textOf = (bits: number): string => {
  let next = 3
  const part = (types: ReadonlyArray<"text" | "bigint" | "int">): string => {
    const text = new Columns(types).unnest(next)
    next += types.length
    return text
  }
  const parts = [
    // Locked in the order of the shards, like everywhere: nobody waits in a circle.
    `held AS (SELECT shard, epoch FROM perdure_leases WHERE shard = ANY($1::text[]) ORDER BY shard FOR SHARE)`,
    `rows AS (
      INSERT INTO perdure_journal (namespace, session, seq, epoch, at, tag, command, digest, chain, payload)
      SELECT t.namespace, t.session, t.seq, t.epoch, t.at, t.tag, t.command,
        substring($2::bytea FROM t.start FOR ${hash_bytes}),
        substring($2::bytea FROM t.start + ${hash_bytes} FOR ${hash_bytes}),
        substring($2::bytea FROM t.start + ${2 * hash_bytes} FOR t.length)
      FROM ${part(rowTypes)} AS t (namespace, session, shard, epoch, seq, at, tag, command, start, length) ${held})`
  ]
  if (bits & infos_bit) {
    parts.push(`infos AS (
      INSERT INTO perdure_sessions
        (namespace, session, shard, agent, agent_version, status, attributes, created_at, updated_at)
      SELECT t.namespace, t.session, t.shard, t.agent, t.agent_version, t.status, t.attributes, t.created_at,
        t.updated_at
      FROM ${part(infoTypes)} AS t
        (namespace, session, shard, epoch, agent, agent_version, status, attributes, created_at, updated_at) ${held}
      ON CONFLICT (namespace, session) DO UPDATE SET shard = excluded.shard, agent = excluded.agent,
        agent_version = excluded.agent_version, status = excluded.status, attributes = excluded.attributes,
        created_at = excluded.created_at, updated_at = excluded.updated_at)`)
  }
  if (bits & timersSet_bit) {
    parts.push(`timers_set AS (
      INSERT INTO perdure_timers (namespace, session, shard, timer, due)
      SELECT t.namespace, t.session, t.shard, t.timer, t.due
      FROM ${part(timersSetTypes)} AS t (namespace, session, shard, epoch, timer, due) ${held}
      ON CONFLICT (namespace, session, timer) DO UPDATE SET shard = excluded.shard, due = excluded.due)`)
  }
  if (bits & timersCleared_bit) {
    parts.push(`timers_cleared AS (
      DELETE FROM perdure_timers d
      USING ${part(timersClearedTypes)} AS t (namespace, session, shard, epoch, timer) ${held}
      WHERE d.namespace = t.namespace AND d.session = t.session AND d.timer = t.timer)`)
  }
  if (bits & blobs_bit) {
    parts.push(`blobs AS (
      INSERT INTO perdure_blob_refs (namespace, hash, session)
      SELECT t.namespace, t.hash, t.session
      FROM ${part(blobsTypes)} AS t (namespace, session, shard, epoch, hash) ${held}
      ON CONFLICT (namespace, hash, session) DO NOTHING)`)
  }
  return `WITH ${parts.join(", ")} SELECT shard, epoch FROM held`
}

const texts = new Map<number, string>()

const keyOf = (group: Group): string => `${group.namespace}/${group.session}`

/** The statement's name, text and parameters for a batch. */
const statement = (groups: ReadonlyArray<Group>) => {
  const shards = new Set<string>()
  const bytes: Array<Uint8Array> = []
  let start = 1
  const rows = new Columns(rowTypes)
  const infos = new Columns(infoTypes)
  const timersSet = new Columns(timersSetTypes)
  const timersCleared = new Columns(timersClearedTypes)
  const blobs = new Columns(blobsTypes)
  // A statement may touch a row once: the batch's last word on a session's info and on each timer counts.
  const lastInfo = new Map<string, Group>()
  const lastTimer = new Map<string, { readonly group: Group; readonly timer: string; readonly due: number | null }>()

  for (const group of groups) {
    const { namespace, session, shard, epoch } = group
    shards.add(shard)
    for (const { seq, at, tag, command, payload, digest, chain } of group.rows) {
      if (digest.length !== hash_bytes || chain.length !== hash_bytes) throw new Error("a hash has 32 bytes")
      rows.add(namespace, session, shard, epoch, seq, at, tag, command, start, payload.length)
      bytes.push(digest, chain, payload)
      start += 2 * hash_bytes + payload.length
    }
    if (group.info !== undefined) lastInfo.set(keyOf(group), group)
    for (const timer of group.timersCleared ?? []) {
      lastTimer.set(`${keyOf(group)}/${timer}`, { group, timer, due: null })
    }
    for (const { timer, due } of group.timersSet ?? []) {
      lastTimer.set(`${keyOf(group)}/${timer}`, { group, timer, due })
    }
    for (const hash of group.blobs ?? []) blobs.add(namespace, session, shard, epoch, hash)
  }
  for (const { namespace, session, shard, epoch, info } of lastInfo.values()) {
    infos.add(namespace, session, shard, epoch, ...Rows.sessionValues(info!))
  }
  for (const { group, timer, due } of lastTimer.values()) {
    const { namespace, session, shard, epoch } = group
    if (due === null) timersCleared.add(namespace, session, shard, epoch, escape(timer))
    else timersSet.add(namespace, session, shard, epoch, escape(timer), due)
  }

  const parts = [
    [infos_bit, infos],
    [timersSet_bit, timersSet],
    [timersCleared_bit, timersCleared],
    [blobs_bit, blobs]
  ] as const
  let bits = 0
  const params: Array<unknown> = [`{${[...shards].map(quoted).join()}}`, Buffer.concat(bytes), ...rows.literals]
  for (const [bit, columns] of parts) {
    if (columns.size === 0) continue
    bits |= bit
    params.push(...columns.literals)
  }
  const text = texts.get(bits) ?? textOf(bits)
  texts.set(bits, text)
  return { name: `perdure_append_${bits}`, text, params }
}

interface Held {
  readonly shard: string
  readonly epoch: string
}

/**
 * Whether one statement can say it: the last word of a batch on a session counts, which is only right where all its
 * groups of that session share one fate.
 */
const agrees = (groups: ReadonlyArray<Group>): boolean => {
  if (groups.length === 1) return true
  const epochs = new Map<string, number>()
  return groups.every((group) => {
    const known = epochs.get(keyOf(group))
    epochs.set(keyOf(group), group.epoch)
    return known === undefined || known === group.epoch
  })
}

/** @param run where the statements go: one at a time */
export const append = (
  run: PgConnection.Prepared
): ((groups: ReadonlyArray<Group>) => Effect.Effect<ReadonlyArray<Written>, SqlError>) => {
  /** All rows or none: with a stale epoch, none. */
  const writeFew = (group: Group) => {
    const { name, text, params } = PgAppendOne.statement(group)
    return Effect.map(
      run(name, text, params),
      ({ rowCount }): ReadonlyArray<Written> => [rowCount > 0 ? "written" : "fenced"]
    )
  }
  const write = (groups: ReadonlyArray<Group>): Effect.Effect<ReadonlyArray<Written>, SqlError> =>
    Effect.suspend(() => {
      if (PgAppendOne.fits(groups)) return writeFew(groups[0]!)
      const { name, text, params } = statement(groups)
      return Effect.map(run<Held>(name, text, params), ({ rows }) => {
        const epochs = new Map(rows.map(({ shard, epoch }) => [shard, Number(epoch)]))
        return groups.map(({ shard, epoch }) => (epochs.get(shard) === epoch ? "written" : "fenced"))
      })
    })
  const writeOne = (group: Group) =>
    write([group]).pipe(
      Effect.map(([written]) => written!),
      Effect.catchIf(isUnique, () => Effect.succeed<Written>("conflict"))
    )
  const writeEach = (groups: ReadonlyArray<Group>) => Effect.forEach(groups, writeOne)

  return (groups) => {
    if (groups.length === 0) return Effect.succeed([])
    if (!agrees(groups)) return writeEach(groups)
    return Effect.catchIf(write(groups), isUnique, () => writeEach(groups))
  }
}
