/**
 * Who is next, of those who wait for something that is given out piece by piece: fair between namespaces, and between the
 * sessions of one. Plain data.
 *
 * Start-time fair queueing: each namespace, and each session in it, has had so much; the one that has had the least is next,
 * and is charged with the cost of what it gets. Who comes back has had at least as much as whoever was served last: to have
 * asked for nothing saves nothing up. So of two namespaces that wait each gets half, however many sessions and calls the
 * other has, and nobody waits for ever.
 */

/** What waits. */
export interface Ticket {
  readonly id: string
  readonly namespace: string
  readonly session: string
}

/** One that is served in turn: a namespace, a session. */
interface Turn {
  /** What it has had. */
  had: number
  /** Of two that have had the same, who was known first is first. */
  readonly number: number
}

interface Tenant<T> extends Turn {
  readonly sessions: Turns<Seat<T>>
  waiting: number
}

interface Seat<T> extends Turn {
  readonly tickets: Map<string, T>
}

/** How many are remembered, at least, before those are forgotten that wait for nothing and whose past says nothing any more. */
const knownMost = 256

class Turns<A extends Turn> {
  readonly all = new Map<string, A>()
  /** Those that wait, in their order: thousands may, and one is looked for at each grant. */
  readonly waiting: Array<A> = []
  /** What whoever was served last had had. */
  private clock = 0
  private numbers = 0
  private forgetAt = knownMost

  constructor(
    private readonly fresh: (number: number) => A,
    private readonly isIdle: (one: A) => boolean
  ) {}

  /** Whoever begins to wait, or waits for one thing more. */
  arrive(name: string): A {
    let one = this.all.get(name)
    if (one === undefined) {
      if (this.all.size > this.forgetAt) this.forget()
      one = this.fresh(this.numbers++)
      this.all.set(name, one)
    }
    if (this.isIdle(one)) {
      one.had = Math.max(one.had, this.clock)
      this.waiting.splice(this.placeOf(one), 0, one)
    }
    return one
  }

  /** It waits for nothing any more. */
  leave(one: A): void {
    this.waiting.splice(this.placeOf(one), 1)
  }

  charge(one: A, cost: number): void {
    const waits = !this.isIdle(one)
    if (waits) this.leave(one)
    this.clock = Math.max(this.clock, one.had)
    // What is no number would be nowhere in the order.
    one.had += Number.isFinite(cost) ? cost : 1
    if (waits) this.waiting.splice(this.placeOf(one), 0, one)
  }

  /** Where it is among those that wait, or would be. */
  private placeOf({ had, number }: A): number {
    let [from, to] = [0, this.waiting.length]
    while (from < to) {
      const middle = (from + to) >>> 1
      const other = this.waiting[middle]!
      if (other.had < had || (other.had === had && other.number < number)) from = middle + 1
      else to = middle
    }
    return from
  }

  private forget(): void {
    for (const [name, one] of this.all) if (this.isIdle(one) && one.had <= this.clock) this.all.delete(name)
    // Where most of them wait there is little to forget: all are not walked again for each that comes.
    this.forgetAt = Math.max(knownMost, 2 * this.all.size)
  }
}

export class FairQueue<T extends Ticket> {
  private readonly tickets = new Map<string, T>()
  private readonly tenants = new Turns<Tenant<T>>(
    (number) => ({
      had: 0,
      number,
      waiting: 0,
      sessions: new Turns<Seat<T>>(
        (number) => ({ had: 0, number, tickets: new Map() }),
        ({ tickets }) => tickets.size === 0
      )
    }),
    ({ waiting }) => waiting === 0
  )

  get size(): number {
    return this.tickets.size
  }

  has(id: string): boolean {
    return this.tickets.has(id)
  }

  /** Those that wait, in the order in which they came. */
  get all(): Iterable<T> {
    return this.tickets.values()
  }

  /** Begins to wait. Again: nothing. */
  add(ticket: T): void {
    if (this.tickets.has(ticket.id)) return
    this.tickets.set(ticket.id, ticket)
    const tenant = this.tenants.arrive(ticket.namespace)
    tenant.sessions.arrive(ticket.session).tickets.set(ticket.id, ticket)
    tenant.waiting++
  }

  /** Waits no more. */
  remove(id: string): void {
    const ticket = this.tickets.get(id)
    if (ticket === undefined) return
    this.tickets.delete(id)
    const tenant = this.tenants.all.get(ticket.namespace)!
    const seat = tenant.sessions.all.get(ticket.session)!
    seat.tickets.delete(id)
    if (seat.tickets.size === 0) tenant.sessions.leave(seat)
    tenant.waiting--
    if (tenant.waiting === 0) this.tenants.leave(tenant)
  }

  /** Who is next; `may` passes over what cannot begin now for a reason of its own. */
  next(may: (ticket: T) => boolean = () => true): T | undefined {
    for (const tenant of this.tenants.waiting) {
      for (const seat of tenant.sessions.waiting) {
        for (const ticket of seat.tickets.values()) if (may(ticket)) return ticket
      }
    }
    return undefined
  }

  /** It is served: it waits no more, and its namespace and session are charged with what it costs. */
  take(ticket: T, cost = 1): void {
    const tenant = this.tenants.all.get(ticket.namespace)!
    const seat = tenant.sessions.all.get(ticket.session)!
    this.remove(ticket.id)
    this.tenants.charge(tenant, cost)
    tenant.sessions.charge(seat, cost)
  }
}
