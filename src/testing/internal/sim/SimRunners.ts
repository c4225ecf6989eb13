/** Who is alive in the simulated store, and who owns which shard: as Postgres tells it. */
import { Effect } from "effect"
import type { Epoch, Shard } from "../../../domain/Id.ts"
import type { RunnerRow, Store } from "../../../store/index.ts"

type Port = Pick<
  Store["Type"],
  "register" | "unregister" | "heartbeat" | "setHealth" | "runners" | "acquire" | "owned" | "release"
>

/** How long a runner must have been absent to count as gone, in milliseconds: as with Postgres. */
const confirm_ms = 50

interface RunnerData {
  row: RunnerRow
  readonly process: string
  heartbeatAt: number
}

interface Lease {
  epoch: number
  owner: { readonly address: string; readonly incarnation: string } | null
}

export const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const is = (row: RunnerRow, address: string, incarnation: string): boolean =>
  row.address === address && row.incarnation === incarnation

export class SimRunners {
  readonly #now: () => number
  readonly #onAcquired: (process: string, shard: Shard, epoch: Epoch) => void
  readonly #leases = new Map<string, Lease>()
  readonly #runners = new Map<string, RunnerData>()
  /** Since when a process has had no connection. */
  readonly #absentSince = new Map<string, number>()

  constructor(now: () => number, onAcquired: (process: string, shard: Shard, epoch: Epoch) => void) {
    this.#now = now
    this.#onAcquired = onAcquired
  }

  disconnected(process: string): void {
    if (!this.#absentSince.has(process)) this.#absentSince.set(process, this.#now())
  }

  reconnected(process: string): void {
    this.#absentSince.delete(process)
  }

  /** 0 for a shard that nobody has ever taken. */
  epochOf(shard: string): number {
    return this.#leases.get(shard)?.epoch ?? 0
  }

  #isDead({ heartbeatAt, process }: RunnerData, expiryMs: number): boolean {
    const now = this.#now()
    const absent = this.#absentSince.get(process)
    return heartbeatAt < now - expiryMs || (absent !== undefined && now - absent >= confirm_ms)
  }

  #known(address: string, incarnation: string): RunnerData | undefined {
    const found = this.#runners.get(address)
    return found !== undefined && is(found.row, address, incarnation) ? found : undefined
  }

  #isFree(lease: Lease | undefined): boolean {
    return lease === undefined || lease.owner === null || !this.#known(lease.owner.address, lease.owner.incarnation)
  }

  #acquire(process: string, address: string, incarnation: string, shards: ReadonlyArray<Shard>, expiryMs: number) {
    if (shards.length === 0) return []
    for (const [other, data] of this.#runners) {
      if (!is(data.row, address, incarnation) && this.#isDead(data, expiryMs)) this.#runners.delete(other)
    }
    if (this.#known(address, incarnation) === undefined) return []
    return shards.toSorted(compare).flatMap((shard) => {
      const lease = this.#leases.get(shard)
      const isOwn = lease?.owner?.address === address && lease.owner.incarnation === incarnation
      if (!isOwn && !this.#isFree(lease)) return []
      const epoch = ((lease?.epoch ?? 0) + 1) as Epoch
      this.#leases.set(shard, { epoch, owner: { address, incarnation } })
      this.#onAcquired(process, shard, epoch)
      return [{ shard, epoch }]
    })
  }

  #owned(address: string, incarnation: string, shards: ReadonlyArray<Shard>): ReadonlyArray<Shard> {
    return shards
      .filter((shard) => {
        const owner = this.#leases.get(shard)?.owner
        return owner?.address === address && owner.incarnation === incarnation
      })
      .toSorted(compare)
  }

  #release(address: string, incarnation: string, shards: ReadonlyArray<string>): void {
    for (const shard of this.#owned(address, incarnation, shards as ReadonlyArray<Shard>)) {
      this.#leases.get(shard)!.owner = null
    }
  }

  port(process: string): Port {
    const at = <A>(look: () => A): Effect.Effect<A> => Effect.sync(look)
    return {
      register: (row) => at(() => void this.#runners.set(row.address, { row, process, heartbeatAt: this.#now() })),
      unregister: (address, incarnation) =>
        at(() => {
          this.#release(address, incarnation, [...this.#leases.keys()])
          if (this.#known(address, incarnation) !== undefined) this.#runners.delete(address)
        }),
      heartbeat: (address, incarnation) =>
        at(() => {
          const known = this.#known(address, incarnation)
          if (known !== undefined) known.heartbeatAt = this.#now()
          return known !== undefined
        }),
      setHealth: (address, incarnation, healthy) =>
        at(() => {
          const known = this.#known(address, incarnation)
          if (known !== undefined) known.row = { ...known.row, healthy }
        }),
      runners: (expiryMs) =>
        at(() =>
          [...this.#runners.values()]
            .filter((data) => !this.#isDead(data, expiryMs))
            .map(({ row }) => row)
            .toSorted((a, b) => compare(a.address, b.address))
        ),
      acquire: (address, incarnation, shards, expiryMs) =>
        at(() => this.#acquire(process, address, incarnation, shards, expiryMs)),
      owned: (address, incarnation, shards) => at(() => this.#owned(address, incarnation, shards)),
      release: (address, incarnation, shards) =>
        at(() => this.#release(address, incarnation, shards ?? [...this.#leases.keys()]))
    }
  }
}
