/**
 * What a session holds of pools, and waits for.
 *
 * A step has its slot before it is intended (I5: what is intended may have begun) and until its attempt has ended; a
 * further attempt asks when it is due. Steps that are not intended yet have no id: what waits for a pool is how many of
 * them want it, and what is granted is the first's.
 */
import { Effect } from "effect"
import type { StepId } from "../../domain/Id.ts"
import { partsOf, type Waiting } from "../Decide.ts"
import type { OpenStep } from "../State.ts"
import type { Room } from "./draft.ts"
import type { Gate, Lacking, Lease } from "./gate.ts"
import type { Why } from "./lane.ts"

interface Claim {
  giveUp: () => void
  readonly since: number
}

interface Place {
  readonly pool: string
  readonly gate: Gate
  /** Slots that were waited for and that no step has taken yet. */
  readonly granted: Array<Lease>
  /** For the steps that are not intended yet, as many, in their order. */
  readonly claims: Array<Claim>
  wanted: ReadonlyArray<Waiting>
}

/** What waits: since when, in milliseconds since the epoch, and for want of what. */
export interface Waits extends Waiting {
  readonly since: number
  readonly lacks: Lacking
  /** Of a model call: what its provider has to do with the wait. */
  readonly provider: Why | null
}

/** Whose slots they are. */
export interface Holder {
  /** Where a pool is. */
  readonly gateOf: (pool: string) => Gate
  /** Something was granted: decide again. */
  readonly granted: () => void
  /** A wait is over, after so many milliseconds. */
  readonly waited: (waiting: Waiting, ms: number) => void
}

export class Slots implements Room {
  private readonly places = new Map<string, Place>()
  private readonly held = new Map<StepId, Lease>()
  /** Attempts of intended steps. */
  private readonly due = new Map<StepId, { readonly place: Place; readonly claim: Claim; readonly waiting: Waiting }>()
  private isLeaving = false

  constructor(private readonly holder: Holder) {}

  free(pool: string): number {
    if (this.isLeaving) return 0
    const { gate, granted } = this.place(pool)
    return granted.length + gate.free()
  }

  /** A step is intended. */
  take(pool: string, step: StepId): void {
    const { gate, granted } = this.place(pool)
    this.held.set(step, granted.shift() ?? gate.take())
  }

  /** The slot of a step, if it has one: its attempt runs, or is about to. */
  of(step: StepId): Lease | undefined {
    return this.held.get(step)
  }

  /** The attempt has ended. */
  release(step: StepId): void {
    const lease = this.held.get(step)
    if (lease === undefined) return
    this.held.delete(step)
    lease.release()
  }

  /** What waits now, and nothing else: who waits no more gives up, what nobody wants any more is given back. */
  want(asked: ReadonlyArray<Waiting>): void {
    const waiting = this.isLeaving ? [] : asked
    for (const place of this.places.values()) {
      const { claims, granted, pool } = place
      place.wanted = waiting.length === 0 ? waiting : waiting.filter((one) => one.pool === pool)
      const { length } = place.wanted
      while (claims.length > length) claims.pop()!.giveUp()
      while (granted.length > 0) granted.shift()!.release()
      while (claims.length < length) this.claim(place)
    }
  }

  private claim(place: Place): void {
    const { claims, gate, granted } = place
    const claim: Claim = { giveUp: () => {}, since: gate.now() }
    claims.push(claim)
    claim.giveUp = gate.wait((lease) => {
      // Mostly the first: but slots of other runners come when they come.
      claims.splice(claims.indexOf(claim), 1)
      const [first, ...rest] = place.wanted
      place.wanted = rest
      granted.push(lease)
      this.over(gate, claim.since, first!)
      this.holder.granted()
    })
  }

  private over(gate: Gate, since: number, waiting: Waiting): void {
    const ms = gate.now() - since
    gate.waited(ms)
    this.holder.waited({ ...waiting, pool: partsOf(waiting.pool).pool }, ms)
  }

  /** Waits for the slot of an attempt that is due, unless the step has one. Never returns once the session leaves. */
  acquire(pool: string, step: OpenStep): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.held.has(step.step)) return Effect.void
      if (this.isLeaving) return Effect.never
      const place = this.place(pool)
      if (place.gate.free(step.model) <= 0) return this.wait(place, step)
      this.held.set(step.step, place.gate.take(step.model))
      return Effect.void
    })
  }

  private wait(place: Place, step: OpenStep): Effect.Effect<void> {
    const { gate, pool } = place
    return Effect.async<void>((resume) => {
      const { attempt, kind, name } = step
      const waiting: Waiting = { pool, kind, name, step: step.step, attempt }
      const since = gate.now()
      const giveUp = gate.wait((lease) => {
        this.due.delete(step.step)
        this.held.set(step.step, lease)
        this.over(gate, since, waiting)
        resume(Effect.void)
      }, step.model)
      this.due.set(step.step, { place, claim: { giveUp, since }, waiting })
      return Effect.sync(() => this.giveUp(step.step))
    })
  }

  private giveUp(step: StepId): void {
    this.due.get(step)?.claim.giveUp()
    this.due.delete(step)
  }

  /** The session leaves: nothing begins any more, what runs goes on. */
  leave(): void {
    if (this.isLeaving) return
    this.isLeaving = true
    this.want([])
    for (const step of [...this.due.keys()]) this.giveUp(step)
  }

  /** Nothing runs any more. */
  close(): void {
    this.leave()
    for (const step of [...this.held.keys()]) this.release(step)
    this.rest()
  }

  /** The session has nothing to do: it keeps no place anywhere. */
  rest(): void {
    if (this.held.size > 0 || this.due.size > 0) return
    for (const { gate } of this.places.values()) gate.leave()
    this.places.clear()
  }

  get waiting(): ReadonlyArray<Waits> {
    const waits = ({ gate }: Place, { since }: Claim, waiting: Waiting): Waits => ({
      ...waiting,
      pool: partsOf(waiting.pool).pool,
      since,
      lacks: gate.lacks(),
      provider: gate.why?.() ?? null
    })
    return [
      ...[...this.due.values()].map(({ claim, place, waiting }) => waits(place, claim, waiting)),
      ...[...this.places.values()].flatMap((place) => place.wanted.map((one, i) => waits(place, place.claims[i]!, one)))
    ]
  }

  private place(pool: string): Place {
    const known = this.places.get(pool)
    if (known !== undefined) return known
    const place: Place = { pool, gate: this.holder.gateOf(pool), granted: [], claims: [], wanted: [] }
    this.places.set(pool, place)
    return place
  }
}
