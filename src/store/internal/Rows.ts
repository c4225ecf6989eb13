/** Between rows of the database and the types of the port. Postgres gives bigints as text, SQLite as numbers. */
import type { AgentName, Epoch, Namespace, Seq, SessionId, Shard, TimerId } from "../../domain/Id.ts"
import type { RunnerRow, SessionInfo, SessionRow, SessionStatus, StoredRow, Timer, Waking } from "../Store.ts"
import { escape, escapeRecord, unescape, unescapeRecord } from "./Escape.ts"

export interface JournalColumns {
  readonly seq: unknown
  readonly epoch: unknown
  readonly at: unknown
  readonly tag: string
  readonly command: string | null
  readonly payload: Uint8Array
  readonly digest: Uint8Array
  readonly chain: Uint8Array
}

export const stored = (row: JournalColumns): StoredRow => ({
  seq: Number(row.seq) as Seq,
  epoch: Number(row.epoch) as Epoch,
  at: Number(row.at),
  tag: row.tag,
  command: row.command as StoredRow["command"],
  payload: row.payload,
  digest: row.digest,
  chain: row.chain
})

export interface SessionColumns {
  readonly namespace: string
  readonly session: string
  readonly shard: string
  readonly agent: string
  readonly agent_version: string
  readonly status: string
  readonly attributes: string
  readonly created_at: unknown
  readonly updated_at: unknown
}

export const session = (row: SessionColumns): SessionInfo => ({
  namespace: row.namespace as Namespace,
  session: row.session as SessionId,
  shard: row.shard as Shard,
  agent: row.agent as AgentName,
  agentVersion: unescape(row.agent_version),
  status: row.status as SessionStatus,
  attributes: unescapeRecord(row.attributes),
  createdAt: Number(row.created_at),
  updatedAt: Number(row.updated_at)
})

/** In the order agent, agent_version, status, attributes, created_at, updated_at. */
export const sessionValues = (info: SessionRow) =>
  [
    info.agent,
    escape(info.agentVersion),
    info.status,
    escapeRecord(info.attributes),
    info.createdAt,
    info.updatedAt
  ] as const

/** The first row has the snapshot beside it. */
export interface WakingColumns extends JournalColumns {
  readonly folded: unknown
  readonly fingerprint: string | null
  readonly folded_chain: Uint8Array | null
  readonly state: Uint8Array | null
}

/** @param columns ascending */
export const waking = (columns: ReadonlyArray<WakingColumns>): Waking => {
  const { folded, fingerprint, folded_chain: chain, state } = columns[0] ?? {}
  const has = fingerprint != null && chain != null && state != null
  return {
    snapshot: has ? { seq: Number(folded) as Seq, fingerprint: unescape(fingerprint), chain, state } : null,
    rows: columns.map(stored)
  }
}

export interface TimerColumns {
  readonly namespace: string
  readonly session: string
  readonly shard: string
  readonly timer: string
  readonly due: unknown
}

export const timer = (row: TimerColumns): Timer => ({
  namespace: row.namespace as Namespace,
  session: row.session as SessionId,
  shard: row.shard as Shard,
  timer: unescape(row.timer) as TimerId,
  due: Number(row.due)
})

export interface RunnerColumns {
  readonly address: string
  readonly incarnation: string
  readonly info: string
  readonly healthy: unknown
}

export const runner = (row: RunnerColumns): RunnerRow => ({
  address: unescape(row.address),
  incarnation: unescape(row.incarnation),
  info: unescape(row.info),
  healthy: Number(row.healthy) === 1
})
