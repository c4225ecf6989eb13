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
}

interface Tenant<T> extends Turn {
  readonly sessions: Turns<Seat<T>>
  waiting: number
}

interface Seat<T> extends Turn {
  readonly tickets: Map<string, T>
}

/** How many that wait for nothing are remembered before those are forgotten whose past says nothing any more. */
const idleMost = 256

class Turns<A extends Turn> {
  readonly all = new Map<string, A>()
  /** What whoever was served last had had. */
  private clock = 0

  constructor(
    private readonly fresh: () => A,
    readonly isIdle: (one: A) => boolean
  ) {}

  /** Whoever begins to wait. */
  arrive(name: string): A {
    let one = this.all.get(name)
    if (one === undefined) {
      if (this.all.size > idleMost) this.forget()
      one = this.fresh()
      this.all.set(name, one)
    }
    if (this.isIdle(one)) one.had = Math.max(one.had, this.clock)
    return one
  }

  charge(one: A, cost: number): void {
    this.clock = Math.max(this.clock, one.had)
    one.had += cost
  }

  /** Those that wait, in their order. */
  get waiting(): ReadonlyArray<A> {
    return [...this.all.values()].filter((one) => !this.isIdle(one)).sort((a, b) => a.had - b.had)
  }

  private forget(): void {
    for (const [name, one] of this.all) if (this.isIdle(one) && one.had <= this.clock) this.all.delete(name)
  }
}

export class FairQueue<T extends Ticket> {
  private readonly tickets = new Map<string, T>()
  private readonly tenants = new Turns<Tenant<T>>(
    () => ({
      had: 0,
      waiting: 0,
      sessions: new Turns<Seat<T>>(
        () => ({ had: 0, tickets: new Map() }),
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
    tenant.sessions.all.get(ticket.session)!.tickets.delete(id)
    tenant.waiting--
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
