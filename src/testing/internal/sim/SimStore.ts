/**
 * The store in memory: what Postgres does, without Postgres, synchronously. It passes the drivers' behaviour suite.
 *
 * One `SimStore` is the database; each process holds a port of its own to it (`connect`). Every operation happens at one
 * instant, which is its commit; lateness, failure and lost acknowledgements are put around it. Like Postgres it tells a
 * dead process by the end of its connection (`disconnected`), and a hung one by its silence; time is its own.
 */
import { Clock, Effect, Layer } from "effect"
import type { Epoch, Shard } from "../../../domain/Id.ts"
import {
  type Group,
  type SessionFilter,
  type SessionInfo,
  type SessionRow,
  type Snapshot,
  Store,
  type StoredRow,
  type Timer,
  type Waking,
  type Written
} from "../../../store/index.ts"
import { Codec } from "../../../journal/index.ts"
import { SimBlobs } from "./SimBlobs.ts"
import { compare, SimRunners } from "./SimRunners.ts"

type Service = Store["Type"]

interface SessionData {
  /** Ascending by seq. */
  readonly rows: Array<StoredRow>
  readonly commands: Map<string, StoredRow>
  info: SessionInfo | null
  snapshot: Snapshot | null
  readonly timers: Map<string, Timer>
}

/** What observers are told at the moment of a commit. */
export interface Commit {
  readonly process: string
  /** Counts the calls of `append`. */
  readonly call: number
  readonly groups: ReadonlyArray<Group>
  readonly written: ReadonlyArray<Written>
}

export interface Observer {
  readonly appended?: ((commit: Commit) => void) | undefined
  readonly acquired?: ((process: string, shard: Shard, epoch: Epoch) => void) | undefined
}

const keyOf = (namespace: string, session: string): string => `${namespace}/${session}`

export class SimStore {
  readonly #now: () => number
  readonly #observer: Observer
  readonly #sessions = new Map<string, SessionData>()
  readonly #runners: SimRunners
  readonly #agreed = new Map<string, string>()
  readonly #blobs: SimBlobs
  #calls = 0

  /** @param now the database's clock, in milliseconds since the epoch */
  constructor(now: () => number, observer: Observer = {}) {
    this.#now = now
    this.#observer = observer
    this.#blobs = new SimBlobs(now)
    this.#runners = new SimRunners(now, (process, shard, epoch) => observer.acquired?.(process, shard, epoch))
  }

  // --- Hooks of the world ---

  /** The process has lost its connection: it died, or was cut off. Its presence ends. */
  disconnected(process: string): void {
    this.#runners.disconnected(process)
  }

  /** A process that lives has its connection again. */
  reconnected(process: string): void {
    this.#runners.reconnected(process)
  }

  /** All sessions, for who looks at the end. */
  get sessions(): ReadonlyArray<SessionInfo> {
    return [...this.#sessions.values()].flatMap(({ info }) => (info === null ? [] : [info]))
  }

  get timers(): ReadonlyArray<Timer> {
    return [...this.#sessions.values()].flatMap(({ timers }) => [...timers.values()])
  }

  epochOf(shard: string): number {
    return this.#runners.epochOf(shard)
  }

  // --- The journal ---

  #data(namespace: string, session: string): SessionData {
    const key = keyOf(namespace, session)
    let data = this.#sessions.get(key)
    if (data === undefined) {
      data = { rows: [], commands: new Map(), info: null, snapshot: null, timers: new Map() }
      this.#sessions.set(key, data)
    }
    return data
  }

  #rows(namespace: string, session: string): ReadonlyArray<StoredRow> {
    return this.#sessions.get(keyOf(namespace, session))?.rows ?? []
  }

  #waking(namespace: string, session: string, limit: number): Waking {
    const rows = this.#rows(namespace, session)
    const found = this.#sessions.get(keyOf(namespace, session))?.snapshot ?? null
    const isOf = ({ chain, seq }: StoredRow) => seq === found?.seq && Codec.sameBytes(chain, found.chain)
    const snapshot = rows.some(isOf) ? found : null
    return { snapshot, rows: [...rows.slice(0, 1), ...page(rows, Math.max(1, snapshot?.seq ?? 0), limit)] }
  }

  #write(group: Group): Written {
    const epoch = this.#runners.epochOf(group.shard)
    if (epoch === 0 || epoch !== group.epoch) return "fenced"
    const data = this.#data(group.namespace, group.session)
    const seqs = new Set<number>()
    const commands = new Set<string>()
    for (const { seq, command } of group.rows) {
      const last = data.rows[data.rows.length - 1]?.seq ?? 0
      if (seqs.has(seq) || (seq <= last && data.rows.some((row) => row.seq === seq))) return "conflict"
      if (command !== null && (commands.has(command) || data.commands.has(command))) return "conflict"
      seqs.add(seq)
      if (command !== null) commands.add(command)
    }
    this.#apply(group, data)
    return "written"
  }

  #apply(group: Group, data: SessionData): void {
    const { namespace, session, shard, epoch } = group
    for (const row of group.rows) {
      const stored = { ...row, epoch }
      const isLast = row.seq > (data.rows[data.rows.length - 1]?.seq ?? 0)
      data.rows.push(stored)
      if (!isLast) data.rows.sort((a, b) => a.seq - b.seq)
      if (row.command !== null) data.commands.set(row.command, stored)
    }
    if (group.info !== undefined) data.info = { ...group.info, namespace, session, shard }
    for (const timer of group.timersCleared ?? []) data.timers.delete(timer)
    for (const { timer, due } of group.timersSet ?? []) {
      data.timers.set(timer, { namespace, session, shard, timer, due })
    }
    for (const hash of group.blobs ?? []) this.#blobs.refer(namespace, hash, session)
  }

  #append(process: string, groups: ReadonlyArray<Group>): ReadonlyArray<Written> {
    if (groups.length === 0) return []
    const call = ++this.#calls
    const written = groups.map((group) => this.#write(group))
    this.#observer.appended?.({ process, call, groups, written })
    return written
  }

  // --- Sessions ---

  #list({ agent, attributes, limit, namespace, status }: SessionFilter): ReadonlyArray<SessionInfo> {
    const wanted = Object.entries(attributes ?? {})
    return this.sessions
      .filter(
        (info) =>
          (namespace === undefined || info.namespace === namespace) &&
          (agent === undefined || info.agent === agent) &&
          (status === undefined || info.status === status) &&
          wanted.every(([key, value]) => Object.hasOwn(info.attributes, key) && info.attributes[key] === value)
      )
      .toSorted(
        (a, b) => b.updatedAt - a.updatedAt || compare(a.namespace, b.namespace) || compare(a.session, b.session)
      )
      .slice(0, limit ?? 100)
  }

  #park(namespace: string, session: string, parked: string): void {
    const data = this.#sessions.get(keyOf(namespace, session))
    if (data === undefined || data.info === null) return
    const info: SessionRow = {
      ...data.info,
      status: "parked",
      attributes: { ...data.info.attributes, parked },
      updatedAt: this.#now()
    }
    data.info = { ...data.info, ...info }
  }

  /** The port of one process. */
  connect(process: string): Service {
    const at = <A>(look: () => A): Effect.Effect<A> => Effect.sync(look)
    return {
      driver: "simulated",
      append: (groups) => at(() => this.#append(process, groups)),
      read: (namespace, session, after, limit) => at(() => page(this.#rows(namespace, session), after, limit)),
      head: (namespace, session) => at(() => this.#rows(namespace, session).at(-1) ?? null),
      accepted: (namespace, session, command) =>
        at(() => this.#sessions.get(keyOf(namespace, session))?.commands.get(command) ?? null),
      saveSnapshot: (namespace, session, snapshot) =>
        at(() => {
          const data = this.#data(namespace, session)
          if (data.snapshot === null || snapshot.seq >= data.snapshot.seq) data.snapshot = snapshot
        }),
      waking: (namespace, session, limit) => at(() => this.#waking(namespace, session, limit)),
      session: (namespace, session) => at(() => this.#sessions.get(keyOf(namespace, session))?.info ?? null),
      sessions: (filter) => at(() => this.#list(filter)),
      unfinished: (shards) =>
        at(() =>
          this.sessions
            .filter((info) => info.status === "active" && shards.includes(info.shard))
            .toSorted((a, b) => a.updatedAt - b.updatedAt)
        ),
      timers: (shards) =>
        at(() => this.timers.filter(({ shard }) => shards.includes(shard)).toSorted((a, b) => a.due - b.due)),
      park: (namespace, session, reason) => at(() => this.#park(namespace, session, reason)),
      ...this.#blobs.port,
      forget: (namespace, session) =>
        at(() => {
          this.#sessions.delete(keyOf(namespace, session))
          this.#blobs.forget(namespace, session)
        }),
      agree: (name, proposal) =>
        at(() => {
          const agreed = this.#agreed.get(name) ?? proposal
          this.#agreed.set(name, agreed)
          return agreed
        }),
      ...this.#runners.port(process)
    }
  }

  /** One process alone with a store of its own, on Effect's clock. */
  static readonly layer: Layer.Layer<Store> = Layer.effect(
    Store,
    Effect.map(Clock.clockWith(Effect.succeed), (clock) =>
      new SimStore(() => clock.unsafeCurrentTimeMillis()).connect("alone")
    )
  )
}

/** Rows are nearly always numbered 1, 2, 3 …: the place of the next one is known. */
const page = (rows: ReadonlyArray<StoredRow>, after: number, limit: number): ReadonlyArray<StoredRow> => {
  let from = Math.min(Math.max(after, 0), rows.length)
  while (from > 0 && rows[from - 1]!.seq > after) from--
  while (from < rows.length && rows[from]!.seq <= after) from++
  return rows.slice(from, from + limit)
}
