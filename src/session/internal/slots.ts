/**
 * What a session holds of its runner's pools, and waits for.
 *
 * A step has its slot before it is intended (I5: what is intended may have begun) and until its attempt has ended; a
 * further attempt asks when it is due. Steps that are not intended yet have no id: what waits for a pool is how many of
 * them want it, and what is granted is the first's.
 */
import { Effect } from "effect"
import type { StepId } from "../../domain/Id.ts"
import type { Admission, Waiting } from "../Decide.ts"
import type { Pool, Pools } from "../Pools.ts"
import type { OpenStep } from "../State.ts"
import type { Seat, Ticket } from "./fairPool.ts"

interface Claim {
  readonly ticket: Ticket
  readonly since: number
}

interface Place {
  readonly pool: Pool
  readonly seat: Seat
  /** Slots that were waited for and that no step has taken yet. */
  granted: number
  /** For the steps that are not intended yet, as many, in their order. */
  readonly claims: Array<Claim>
  wanted: ReadonlyArray<Waiting>
}

export class Slots implements Admission {
  private readonly places = new Map<string, Place>()
  private readonly held = new Map<StepId, Place>()
  /** Attempts of intended steps. */
  private readonly due = new Map<StepId, { readonly place: Place; readonly claim: Claim; readonly waiting: Waiting }>()
  private isLeaving = false

  /**
   * @param wake something was granted: decide again
   * @param waited a wait is over
   */
  constructor(
    private readonly pools: Pools["Type"],
    private readonly namespace: string,
    private readonly wake: () => void,
    private readonly waited: (waiting: Waiting, ms: number) => void
  ) {}

  free(pool: string): number {
    if (this.isLeaving) return 0
    const place = this.place(pool)
    return place.granted + Math.max(0, place.pool.fair.free(place.seat))
  }

  /** A step is intended. */
  take(pool: string, step: StepId): void {
    const place = this.place(pool)
    if (place.granted > 0) place.granted--
    else place.pool.fair.take(place.seat)
    this.hold(place, step)
  }

  has(step: StepId): boolean {
    return this.held.has(step)
  }

  /** The attempt has ended. */
  release(step: StepId): void {
    const place = this.held.get(step)
    if (place === undefined) return
    this.held.delete(step)
    place.pool.fair.release(place.seat)
    place.pool.changed()
  }

  /** What waits now, and nothing else: who waits no more gives up, what nobody wants any more is given back. */
  want(asked: ReadonlyArray<Waiting>): void {
    const waiting = this.isLeaving ? [] : asked
    for (const place of this.places.values()) {
      const { claims, pool, seat } = place
      place.wanted = waiting.length === 0 ? waiting : waiting.filter((one) => one.pool === pool.name)
      const { length } = place.wanted
      if (claims.length === length && place.granted === 0) continue
      while (claims.length > length) pool.fair.cancel(seat, claims.pop()!.ticket)
      for (; place.granted > 0; place.granted--) pool.fair.release(seat)
      while (claims.length < length) this.claim(place)
      pool.changed()
    }
  }

  private claim(place: Place): void {
    const { claims, pool, seat } = place
    const ticket: Ticket = {
      granted: () => {
        const { since } = claims.shift()!
        const [first, ...rest] = place.wanted
        place.wanted = rest
        place.granted++
        this.over(pool, since, first!)
        this.wake()
      }
    }
    claims.push({ ticket, since: pool.now() })
    pool.fair.wait(seat, ticket)
  }

  private over(pool: Pool, since: number, waiting: Waiting): void {
    const ms = pool.now() - since
    pool.waited(ms)
    this.waited(waiting, ms)
  }

  /** Waits for the slot of an attempt that is due, unless the step has one. Never returns once the session leaves. */
  acquire(pool: string, step: OpenStep): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.held.has(step.step)) return Effect.void
      if (this.isLeaving) return Effect.never
      const place = this.place(pool)
      const { fair } = place.pool
      if (fair.free(place.seat) <= 0) return this.wait(place, step)
      fair.take(place.seat)
      this.hold(place, step.step)
      return Effect.void
    })
  }

  private wait(place: Place, step: OpenStep): Effect.Effect<void> {
    const { pool, seat } = place
    return Effect.async<void>((resume) => {
      const { attempt, kind, name } = step
      const waiting: Waiting = { pool: pool.name, kind, name, step: step.step, attempt }
      const since = pool.now()
      const ticket: Ticket = {
        granted: () => {
          this.due.delete(step.step)
          this.hold(place, step.step)
          this.over(pool, since, waiting)
          resume(Effect.void)
        }
      }
      this.due.set(step.step, { place, claim: { ticket, since }, waiting })
      pool.fair.wait(seat, ticket)
      pool.changed()
      return Effect.sync(() => this.giveUp(step.step))
    })
  }

  private giveUp(step: StepId): void {
    const one = this.due.get(step)
    if (one === undefined) return
    this.due.delete(step)
    one.place.pool.fair.cancel(one.place.seat, one.claim.ticket)
    one.place.pool.changed()
  }

  private hold(place: Place, step: StepId): void {
    this.held.set(step, place)
    place.pool.changed()
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
    for (const { pool, seat } of this.places.values()) pool.fair.leave(seat)
    this.places.clear()
  }

  /** What waits, and since when, in milliseconds since the epoch. */
  get waiting(): ReadonlyArray<Waiting & { readonly since: number }> {
    return [
      ...[...this.due.values()].map(({ claim: { since }, waiting }) => ({ ...waiting, since })),
      ...[...this.places.values()].flatMap(({ claims, wanted }) =>
        wanted.map((waiting, i) => ({ ...waiting, since: claims[i]!.since }))
      )
    ]
  }

  private place(name: string): Place {
    const known = this.places.get(name)
    if (known !== undefined) return known
    const pool = this.pools.get(name)
    const place: Place = { pool, seat: pool.fair.sit(this.namespace), granted: 0, claims: [], wanted: [] }
    this.places.set(name, place)
    return place
  }
}
