/**
 * What the host of a lane is to be told: kept until it has answered, told again where it has not, and told as a whole to a
 * host that knows nothing of this runner. Plain data.
 */
import type { Begun, Granted, Memory, Reply, Report, Request, Wanted } from "./laneProtocol.ts"

/** What a runner has besides. */
export interface Possessions {
  readonly waiting: () => ReadonlyArray<Wanted>
  readonly memory: () => Memory
}

/** What goes with each request. */
export interface Envelope {
  readonly runner: string
  readonly known: number
  readonly want: number
  readonly waitMs: number
}

export class Outbox {
  /** The host that is believed to be there. */
  host: string | null = null
  /** It knows nothing of this runner, or not what is true. */
  isStranger = true
  private add: Array<Wanted> = []
  private begins: Array<Begun> = []
  /** How many of them the last request spoke of, or what it remembered. */
  private beginsTold = 0
  private cancels: Array<string> = []
  private confirmed: Array<string> = []
  private reports: Array<Report & { readonly at: number }> = []

  constructor(private readonly has: Possessions) {}

  get size(): number {
    return this.add.length + this.begins.length + this.cancels.length + this.reports.length
  }

  wanted(one: Wanted): void {
    this.add.push(one)
  }

  /** A call begins that nobody has granted. */
  begun(one: Begun): void {
    this.begins.push(one)
  }

  cancelled(id: string): void {
    this.cancels.push(id)
  }

  report(report: Omit<Report, "agoMs">, at: number): void {
    this.reports.push({ ...report, agoMs: 0, at })
  }

  /** Takes note of a grant. Returns whether it is new. */
  confirm({ id }: Granted): boolean {
    if (this.confirmed.includes(id)) return false
    this.confirmed.push(id)
    return true
  }

  request(envelope: Envelope, now: number): Request {
    const { host } = this
    this.beginsTold = this.begins.length
    if (this.isStranger) {
      const memory = host === null ? null : this.has.memory()
      const add = host === null ? [] : [...this.has.waiting()]
      return { ...envelope, waitMs: 0, host, add, begun: [], cancel: [], confirmed: [], reports: [], memory }
    }
    const reports = this.reports.map(({ at, ...report }) => ({ ...report, agoMs: now - at }))
    const { add, cancels, confirmed } = this
    return {
      ...envelope,
      host,
      add: [...add],
      begun: [...this.begins],
      cancel: [...cancels],
      confirmed: [...confirmed],
      reports,
      memory: null
    }
  }

  /** It was answered. Returns whether by a host that knows this runner. */
  answered(request: Request, reply: Reply): boolean {
    if (reply.isStranger) {
      this.isStranger = true
      this.host = reply.host
      return false
    }
    this.begins = this.begins.slice(this.beginsTold)
    this.beginsTold = 0
    if (request.memory !== null) {
      // What came while it was told comes on top.
      const told = new Set(request.add.map(({ id }) => id))
      const held = new Set(request.memory.permits.map(({ id }) => id))
      this.add = this.has.waiting().filter(({ id }) => !told.has(id))
      this.cancels = this.cancels.filter((id) => told.has(id))
      this.reports = this.reports.filter(({ id }) => held.has(id))
      this.confirmed = []
      this.isStranger = false
      return true
    }
    const confirmed = new Set(request.confirmed)
    this.add = this.add.slice(request.add.length)
    this.cancels = this.cancels.slice(request.cancel.length)
    this.reports = this.reports.slice(request.reports.length)
    this.confirmed = this.confirmed.filter((id) => !confirmed.has(id))
    return true
  }
}
