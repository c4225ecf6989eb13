/**
 * Who waits for a commit, in order. Plain data: no effect, no clock.
 *
 * A unit is in one place at a time: its appends wait; they are taken together; then they are settled (resumed), or
 * unsettled: tried, with an unknown outcome, to be tried again before their session's next append.
 */
import { Cause, Effect } from "effect"
import { Fenced, type StoreUnavailable } from "../../domain/Errors.ts"
import * as Codec from "../Codec.ts"
import type { Values } from "../Settings.ts"
import type { Prepared } from "./Prepared.ts"
import * as Unit from "./Unit.ts"

export type Failure = Fenced | StoreUnavailable

/** How many heads of failed appends are remembered: an append that follows one of them may come late. */
const doomedHeads = 4096

export class Queue {
  readonly #limits: Pick<Values, "batchRows" | "batchBytes">
  #waiting: Array<Unit.Waiting> = []
  #taken: ReadonlyArray<Unit.Unit> = []
  #unsettled: Array<Unit.Unit> = []
  readonly #doomed = new Set<string>()

  constructor(limits: Pick<Values, "batchRows" | "batchBytes">) {
    this.#limits = limits
  }

  push(waiting: Unit.Waiting): void {
    this.#waiting.push(waiting)
  }

  /** When the next unsettled unit is due; `null` when there is none. Milliseconds since the epoch. */
  get nextRetryAt(): number | null {
    return this.#unsettled.length === 0 ? null : Math.min(...this.#unsettled.map((unit) => unit.retryAt))
  }

  /** The unsettled units that are due at `now`, then what waits, as much as one commit takes. */
  take(now: number): ReadonlyArray<Unit.Unit> {
    if (this.#unsettled.length === 0 && this.#waiting.length <= 1) return this.#takeOne()
    const due: Array<Unit.Unit> = []
    const later: Array<Unit.Unit> = []
    for (const unit of this.#unsettled) (unit.retryAt <= now ? due : later).push(unit)
    const held = new Set(this.#unsettled.map((unit) => unit.id))
    this.#unsettled = later

    const fresh = new Map<string, Unit.Unit>()
    const left: Array<Unit.Waiting> = []
    let rows = 0
    let bytes = 0
    for (let i = 0; i < this.#waiting.length; i++) {
      const next = this.#waiting[i]!
      const { prepared } = next
      const unit = fresh.get(prepared.id)
      if (held.has(prepared.id) || (unit !== undefined && !Unit.precedes(unit, prepared))) {
        // From here on all of its session wait for another commit: they keep their order.
        held.add(prepared.id)
        left.push(next)
        continue
      }
      rows += prepared.rows.length
      bytes += prepared.bytes
      if (fresh.size > 0 && (rows > this.#limits.batchRows || bytes > this.#limits.batchBytes)) {
        for (; i < this.#waiting.length; i++) left.push(this.#waiting[i]!)
        break
      }
      if (unit === undefined) fresh.set(prepared.id, Unit.make(next))
      else unit.members.push(next)
    }
    this.#waiting = left
    this.#taken = [...due, ...fresh.values()]
    return this.#taken
  }

  /** All there is, where that is one append at most: as it is for a session that works by itself. */
  #takeOne(): ReadonlyArray<Unit.Unit> {
    this.#taken = this.#waiting.map(Unit.make)
    this.#waiting = []
    return this.#taken
  }

  succeed(unit: Unit.Unit): void {
    for (const member of unit.members) member.resume(Effect.void)
  }

  /** Fails a unit, and what waits to follow it: without it those would leave a gap (I4). */
  fail(unit: Unit.Unit, cause: Cause.Cause<Failure>): void {
    const outcome = Effect.failCause(cause)
    for (const member of unit.members) {
      this.#doom(member.prepared)
      member.resume(outcome)
    }
    this.#waiting = this.#waiting.filter((next) => {
      if (next.prepared.id !== unit.id || !this.isDoomed(next.prepared)) return true
      this.#doom(next.prepared)
      next.resume(outcome)
      return false
    })
  }

  fence(unit: Unit.Unit): void {
    this.fail(unit, Cause.fail(new Fenced(unit.members[0]!.prepared.append.key)))
  }

  retry(unit: Unit.Unit): void {
    this.#unsettled.push(unit)
  }

  /** Fails all there are. Who was answered already takes no notice. */
  failAll(error: Failure): void {
    for (const unit of [...this.#taken, ...this.#unsettled]) this.fail(unit, Cause.fail(error))
    for (const next of this.#waiting) next.resume(Effect.fail(error))
    this.#unsettled = []
    this.#waiting = []
  }

  #doom(prepared: Prepared): void {
    this.#doomed.add(Codec.hex(prepared.head.chain))
    if (this.#doomed.size > doomedHeads) this.#doomed.delete(this.#doomed.values().next().value!)
  }

  /** Whether an append has failed lately: others may follow it. */
  get hasDoomed(): boolean {
    return this.#doomed.size > 0
  }

  /** Whether it follows an append that failed. */
  isDoomed(prepared: Prepared): boolean {
    return this.hasDoomed && this.#doomed.has(Codec.hex(prepared.append.head.chain))
  }

  /** What it follows was found in the store after all. */
  pardon(prepared: Prepared): void {
    this.#doomed.delete(Codec.hex(prepared.append.head.chain))
  }
}
