/** What becomes durable together for one session: one append, or several that follow one another. */
import type { Effect } from "effect"
import type { Fenced, StoreUnavailable } from "../../domain/Errors.ts"
import type { TimerId } from "../../domain/Id.ts"
import type { Group, Row } from "../../store/Store.ts"
import * as Codec from "../Codec.ts"
import type { Head, Prepared } from "./Prepared.ts"

/** An append whose caller waits. */
export interface Waiting {
  readonly prepared: Prepared
  readonly resume: (outcome: Effect.Effect<void, Fenced | StoreUnavailable>) => void
}

export interface Unit {
  readonly id: string
  readonly members: Array<Waiting>
  /** Tries whose outcome is not known. */
  attempts: number
  /** When the first of them failed, and when the next one is due; milliseconds since the epoch. */
  failedAt: number
  retryAt: number
}

export const make = (waiting: Waiting): Unit => ({
  id: waiting.prepared.id,
  members: [waiting],
  attempts: 0,
  failedAt: 0,
  retryAt: 0
})

export const isAt = (a: Head, b: Head): boolean => a.seq === b.seq && Codec.sameBytes(a.chain, b.chain)

/** Whether the append goes on exactly where the unit ends, for the same owner: then it may become part of it. */
export const precedes = (unit: Unit, next: Prepared): boolean => {
  const last = unit.members[unit.members.length - 1]!.prepared
  return (
    last.append.epoch === next.append.epoch &&
    last.append.shard === next.append.shard &&
    isAt(last.head, next.append.head)
  )
}

const lastInfo = (unit: Unit) => {
  for (let i = unit.members.length - 1; i >= 0; i--) {
    const info = unit.members[i]!.prepared.append.info
    if (info !== undefined) return info
  }
  return undefined
}

/** The unit as the store takes it. A timer that is set and cleared in it is cleared, and the other way round. */
export const toGroup = (unit: Unit): Group => {
  const { append } = unit.members[0]!.prepared
  const single = unit.members.length === 1
  let rows: ReadonlyArray<Row> = unit.members[0]!.prepared.rows
  if (!single) rows = unit.members.flatMap((member) => member.prepared.rows)
  let timers: ReadonlyMap<TimerId, number | null> = unit.members[0]!.prepared.timers
  if (!single) timers = new Map(unit.members.flatMap((member) => [...member.prepared.timers]))
  const blobs = new Set(unit.members.flatMap((member) => member.prepared.blobs))
  const timersSet: Array<{ timer: TimerId; due: number }> = []
  const timersCleared: Array<TimerId> = []
  for (const [timer, due] of timers) {
    if (due === null) timersCleared.push(timer)
    else timersSet.push({ timer, due })
  }
  return {
    namespace: append.key.namespace,
    session: append.key.session,
    shard: append.shard,
    epoch: append.epoch,
    rows,
    info: lastInfo(unit),
    timersSet: timersSet.length > 0 ? timersSet : undefined,
    timersCleared: timersCleared.length > 0 ? timersCleared : undefined,
    blobs: blobs.size > 0 ? [...blobs] : undefined
  }
}
