/** An append, encoded and chained in its caller's fiber, so that the flusher only hands it on. */
import { hashesIn } from "../../domain/Claim.ts"
import type { Entry, Recorded } from "../../domain/Entry.ts"
import type { CommandId, Epoch, Seq, SessionKey, Shard, TimerId } from "../../domain/Id.ts"
import type { Row, SessionRow } from "../../store/Store.ts"
import * as Codec from "../Codec.ts"

/** The last row of a session: where the next one goes. */
export interface Head {
  /** 0 before the first entry. */
  readonly seq: Seq
  /** The chain's hash, 32 bytes. */
  readonly chain: Uint8Array
}

export interface Append {
  readonly key: SessionKey
  readonly shard: Shard
  readonly epoch: Epoch
  /** What the writer believes is the last row. */
  readonly head: Head
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Never empty. */
  readonly entries: ReadonlyArray<Entry>
  /** The session's row, when it changed. */
  readonly info?: SessionRow | undefined
}

export interface Prepared {
  readonly append: Append
  /** The session's key as text. */
  readonly id: string
  readonly rows: ReadonlyArray<Row>
  readonly recorded: ReadonlyArray<Recorded>
  /** The session's head once this is written. */
  readonly head: Head
  /** The size of the payloads. */
  readonly bytes: number
  /** When each timer that it touches is due after it; `null` where it was fired or cleared. */
  readonly timers: ReadonlyMap<TimerId, number | null>
  readonly blobs: ReadonlyArray<string>
}

const noTimers: ReadonlyMap<TimerId, number | null> = new Map()
const noBlobs: ReadonlyArray<string> = []

const timersOf = (entries: ReadonlyArray<Entry>): ReadonlyMap<TimerId, number | null> => {
  let timers: Map<TimerId, number | null> | undefined
  for (const entry of entries) {
    if (entry._tag === "TimerSet") {
      timers ??= new Map()
      timers.set(entry.timer, entry.due)
    } else if (entry._tag === "TimerFired" || entry._tag === "TimerCleared") {
      timers ??= new Map()
      timers.set(entry.timer, null)
    }
  }
  return timers ?? noTimers
}

export const prepare = (append: Append): Prepared => {
  const { at, entries, epoch, head, key } = append
  const rows: Array<Row> = []
  const recorded: Array<Recorded> = []
  let { chain, seq } = head
  let bytes = 0
  let blobs = noBlobs
  for (const entry of entries) {
    const { json, payload } = Codec.encodeWithText(entry)
    const digest = Codec.digest(payload)
    const command: CommandId | null = entry._tag === "CommandAccepted" ? entry.id : null
    seq = (seq + 1) as Seq
    chain = Codec.chain(chain, { seq, at, epoch, tag: entry._tag, command, digest })
    rows.push({ seq, at, tag: entry._tag, command, payload, digest, chain })
    recorded.push({ seq, epoch, at, hash: Codec.hex(chain), entry })
    bytes += payload.byteLength
    const claimed = hashesIn(json)
    if (claimed.length > 0) blobs = [...blobs, ...claimed]
  }
  return {
    append,
    id: `${key.namespace}/${key.session}`,
    rows,
    recorded,
    head: { seq, chain: Codec.own(chain) },
    bytes,
    timers: timersOf(entries),
    blobs
  }
}
