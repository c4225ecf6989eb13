/**
 * A pool of slots, fair between namespaces, and between the sessions of one. Plain data: no clock, no fiber.
 *
 * A slot goes to the namespace that has the fewest, there to the session that has the fewest, and to whom of those has
 * waited longest; within a session, first come, first served. Equal turns would not do: who runs tools of minutes would in
 * time hold every slot, and whose tools take a second would wait for minutes. So nobody who has nothing running waits
 * behind the second step of anybody else, and nobody starves.
 *
 * While a slot is free nobody waits who may have it.
 */
import { LeastBusy, type Ranked } from "./leastBusy.ts"

/** What waits for a slot. */
export interface Ticket {
  readonly granted: () => void
}

interface Tenant extends Ranked {
  readonly name: string
  /** How many seats it has: with the last one it is forgotten. */
  seats: number
  readonly waiting: LeastBusy<Seat>
}

/** A session's place at the pool. */
export interface Seat extends Ranked {
  readonly tenant: Tenant
  readonly tickets: Set<Ticket>
}

export class FairPool {
  running = 0
  waiting = 0
  private readonly tenants = new Map<string, Tenant>()
  private readonly next = new LeastBusy<Tenant>()

  /**
   * @param slots how many run at once
   * @param perSession how many of one session
   */
  constructor(
    readonly slots: number,
    readonly perSession: number
  ) {}

  sit(namespace: string): Seat {
    let tenant = this.tenants.get(namespace)
    if (tenant === undefined) {
      tenant = { name: namespace, busy: 0, level: -1, seats: 0, waiting: new LeastBusy() }
      this.tenants.set(namespace, tenant)
    }
    tenant.seats++
    return { tenant, busy: 0, level: -1, tickets: new Set() }
  }

  /** The session has left. What it held and waited for, it has given back before. */
  leave({ tenant }: Seat): void {
    tenant.seats--
    if (tenant.seats === 0) this.tenants.delete(tenant.name)
  }

  /** How many slots the session could take at once. */
  free(seat: Seat): number {
    return Math.min(this.slots - this.running, this.perSession - seat.busy)
  }

  /** Takes a slot that is free. */
  take(seat: Seat): void {
    if (this.free(seat) <= 0) throw new Error("a slot was taken that is not free")
    this.grant(seat)
  }

  /** Waits for a slot, where none is free. */
  wait(seat: Seat, ticket: Ticket): void {
    seat.tickets.add(ticket)
    this.waiting++
    this.order(seat)
  }

  /** Waits no more. Nothing happens if it does not. */
  cancel(seat: Seat, ticket: Ticket): void {
    if (!seat.tickets.delete(ticket)) return
    this.waiting--
    this.order(seat)
  }

  /** Gives a slot back. Whoever is next has it at once. */
  release(seat: Seat): void {
    this.running--
    seat.busy--
    seat.tenant.busy--
    this.order(seat)
    this.serve()
  }

  private grant(seat: Seat): void {
    this.running++
    seat.busy++
    seat.tenant.busy++
    this.order(seat)
  }

  private serve(): void {
    while (this.running < this.slots) {
      const seat = this.next.first()?.waiting.first()
      if (seat === undefined) return
      const [ticket] = seat.tickets
      seat.tickets.delete(ticket!)
      this.waiting--
      this.grant(seat)
      ticket!.granted()
    }
  }

  /** Only who waits, and may have more, stands in the order. */
  private order(seat: Seat): void {
    const { tenant } = seat
    if (seat.tickets.size > 0 && seat.busy < this.perSession) tenant.waiting.put(seat)
    else tenant.waiting.remove(seat)
    if (tenant.waiting.isEmpty) this.next.remove(tenant)
    else this.next.put(tenant)
  }
}
