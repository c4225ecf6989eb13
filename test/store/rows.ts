/** Groups of rows, as short as a test can say them. */
import type { AgentName, CommandId, Epoch, Namespace, Seq, SessionId, Shard, TimerId } from "../../src/domain/Id.ts"
import type { Group, Row, SessionRow, SessionStatus } from "../../src/store/index.ts"

// Ids of tests are literals: they are branded without being checked.
export const namespace = (name: string) => name as Namespace
export const session = (name: string) => name as SessionId
export const shard = (name: string) => name as Shard
export const command = (name: string) => name as CommandId
export const epoch = (n: number) => n as Epoch
export const timer = (name: string) => name as TimerId

let count = 0
/** Names that no other test of this process has. */
export const unique = () => {
  const n = ++count
  return {
    namespace: namespace(`ns-${n}`),
    shard: shard(`shard:${n}`),
    other: shard(`other:${n}`),
    address: `host-${n}:1`
  }
}

export const row = (seq: number, more: Partial<Row> = {}): Row => ({
  seq: seq as Seq,
  at: 1_700_000_000_000 + seq,
  tag: "Noted",
  command: null,
  payload: new TextEncoder().encode(`payload ${seq}`),
  digest: new Uint8Array(32).fill(seq),
  chain: new Uint8Array(32).fill(seq + 1),
  ...more
})

export const info = (more: Partial<SessionRow> & { readonly status?: SessionStatus } = {}): SessionRow => ({
  agent: "weather" as AgentName,
  agentVersion: "1",
  status: "active",
  attributes: {},
  createdAt: 1_700_000_000_000,
  updatedAt: 1_700_000_000_001,
  ...more
})

export const group = (
  at: { readonly namespace: Namespace; readonly shard: Shard },
  id: string,
  writer: number,
  rows: ReadonlyArray<Row>,
  more: Partial<Group> = {}
): Group => ({ namespace: at.namespace, shard: at.shard, session: session(id), epoch: epoch(writer), rows, ...more })

/** Bytes that compare by content, whatever kind of array they came in. */
export const plain = <A extends Row>(rows: ReadonlyArray<A>) =>
  rows.map((row) => ({
    ...row,
    payload: Buffer.from(row.payload).toString("hex"),
    digest: Buffer.from(row.digest).toString("hex"),
    chain: Buffer.from(row.chain).toString("hex")
  }))
