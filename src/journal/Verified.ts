/** Walks the audit chain of a session: what it finds, an operator can show. */
import { Either } from "effect"
import type { SessionKey } from "../domain/Id.ts"
import type { StoredRow } from "../store/Store.ts"
import * as Codec from "./Codec.ts"

export interface Problem {
  readonly seq: number
  /** What is wrong with the row, free of its content. */
  readonly problem: string
}

export interface Verified {
  /** How many rows there are. */
  readonly entries: number
  /** How many of them have lost their content on purpose. Their hashes still hold. */
  readonly redacted: number
  /** Empty when every row is as it was written. */
  readonly problems: ReadonlyArray<Problem>
}

export interface State extends Verified {
  readonly seq: number
  readonly chain: Uint8Array
}

export const begin = (key: SessionKey): State => ({
  entries: 0,
  redacted: 0,
  problems: [],
  seq: 0,
  chain: Codec.genesis(key)
})

/** What is wrong with the content of a row. */
const contentProblem = (row: StoredRow): string | null => {
  if (!Codec.sameBytes(Codec.digest(row.payload), row.digest)) return "its content is not what its digest says"
  const entry = Codec.decode(row.payload)
  if (Either.isLeft(entry)) return entry.left
  if (entry.right._tag !== row.tag) return "its tag is not its content's"
  const command = entry.right._tag === "CommandAccepted" ? entry.right.id : null
  return command === row.command ? null : "its command id is not its content's"
}

/** The next row of the walk. A broken link is reported once: the walk goes on from the row's own hash. */
export const step = (state: State, row: StoredRow): State => {
  const problems: Array<Problem> = []
  const report = (problem: string) => problems.push({ seq: row.seq, problem })
  if (row.seq !== state.seq + 1) {
    report(
      state.seq + 1 === row.seq - 1
        ? `entry ${state.seq + 1} is missing`
        : `entries ${state.seq + 1} to ${row.seq - 1} are missing`
    )
  } else if (!Codec.sameBytes(Codec.chain(state.chain, row), row.chain)) {
    report("its hash does not follow from the entry before it")
  }
  const redacted = row.payload.byteLength === 0
  const content = redacted ? null : contentProblem(row)
  if (content !== null) report(content)
  return {
    entries: state.entries + 1,
    redacted: state.redacted + (redacted ? 1 : 0),
    problems: problems.length === 0 ? state.problems : [...state.problems, ...problems],
    seq: row.seq,
    chain: row.chain
  }
}
