/**
 * The commonest batch, one row of one session, in a shorter statement: no arrays, no sort, no join. It costs Postgres as
 * little as a bare INSERT, where the general one takes a quarter more.
 */
import type { Group } from "../Store.ts"
import * as Rows from "./Rows.ts"

const held = "held AS (SELECT shard, epoch FROM perdure_leases WHERE shard = $1 FOR SHARE)"

const row = `rows AS (
  INSERT INTO perdure_journal (namespace, session, seq, epoch, at, tag, command, digest, chain, payload)
  SELECT $3, $4, $5::bigint, epoch, $6::bigint, $7, $8, $9::bytea, $10::bytea, $11::bytea
  FROM held WHERE epoch = $2::bigint)`

const info = `infos AS (
  INSERT INTO perdure_sessions
    (namespace, session, shard, agent, agent_version, status, attributes, created_at, updated_at)
  SELECT $3, $4, shard, $12, $13, $14, $15, $16::bigint, $17::bigint
  FROM held WHERE epoch = $2::bigint
  ON CONFLICT (namespace, session) DO UPDATE SET shard = excluded.shard, agent = excluded.agent,
    agent_version = excluded.agent_version, status = excluded.status, attributes = excluded.attributes,
    created_at = excluded.created_at, updated_at = excluded.updated_at)`

const select = "SELECT shard, epoch FROM held"

const plain = { name: "perdure_append_one", text: `WITH ${held}, ${row} ${select}` }
const informed = { name: "perdure_append_one_info", text: `WITH ${held}, ${row}, ${info} ${select}` }

/** Whether the statement can say it: one row, and nothing besides but the session's info. */
export const fits = (groups: ReadonlyArray<Group>): boolean => {
  if (groups.length !== 1) return false
  const { rows, timersSet = [], timersCleared = [], blobs = [] } = groups[0]!
  return rows.length === 1 && timersSet.length + timersCleared.length + blobs.length === 0
}

/** The statement's name, text and parameters. */
export const statement = ({ namespace, session, shard, epoch, rows, info }: Group) => {
  const { seq, at, tag, command, digest, chain, payload } = rows[0]!
  const params = [shard, epoch, namespace, session, seq, at, tag, command, digest, chain, payload]
  return info === undefined ? { ...plain, params } : { ...informed, params: [...params, ...Rows.sessionValues(info)] }
}
