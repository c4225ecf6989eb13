/** A journal on a store that can be watched, stopped and made to fail. */
import { Context, Deferred, Effect, Layer, Ref } from "effect"
import type { Entry } from "../../src/domain/Entry.ts"
import { StoreUnavailable } from "../../src/domain/Errors.ts"
import { AgentName, CommandId, type Epoch, Namespace, SessionId, SessionKey, Shard } from "../../src/domain/Id.ts"
import { type Append, type Head, Journal } from "../../src/journal/index.ts"
import * as Postgres from "../../src/store/Postgres.ts"
import { type Group, Store } from "../../src/store/Store.ts"
import * as Server from "./Postgres.ts"

export const namespace = Namespace.make("tests")
export const key = (session: string) => SessionKey.make({ namespace, session: SessionId.make(session) })
export const shard = Shard.make("default:1")

/** What an append meets: `ok`; it fails before anything is written; or it is written and the answer is lost. */
export type Fate = "ok" | "before" | "after"

/** The wrapped store's controls. */
export class Faults extends Context.Tag("test/Faults")<
  Faults,
  {
    /** The commits so far, by their groups. */
    readonly commits: Array<ReadonlyArray<Group>>
    /** Decides the fate of each append and read. */
    fate: (operation: "append" | "read", groups: ReadonlyArray<Group>) => Fate
    /** When set, appends wait for it after they were counted. */
    gate: Deferred.Deferred<void> | null
    /** Runs the next time that an append reaches the gate. */
    onGate: (() => void) | null
    /** Runs before an append goes to the store. */
    before: Effect.Effect<unknown>
  }
>() {}

const lost = (operation: string) => new StoreUnavailable({ operation, reason: "the test cut the connection" })

/** Wraps a store. */
export const faulty: Layer.Layer<Store | Faults, never, Store> = Layer.effectContext(
  Effect.gen(function* () {
    const store = yield* Store
    const faults = Faults.of({ commits: [], fate: () => "ok", gate: null, onGate: null, before: Effect.void })
    const append: (typeof store)["append"] = (groups) =>
      Effect.gen(function* () {
        faults.commits.push(groups)
        yield* faults.before
        const { gate } = faults
        if (gate !== null) {
          faults.onGate?.()
          yield* Deferred.await(gate)
        }
        const fate = faults.fate("append", groups)
        if (fate === "before") return yield* lost("append")
        const written = yield* store.append(groups)
        return fate === "after" ? yield* lost("append") : written
      })
    const read: (typeof store)["read"] = (...args) =>
      Effect.suspend(() => (faults.fate("read", []) === "ok" ? store.read(...args) : lost("read")))
    return Context.make(Store, Store.of({ ...store, append, read })).pipe(Context.add(Faults, faults))
  })
)

/** Registers a runner and acquires the shards: a test's right to append. */
export const lease = (shards: ReadonlyArray<Shard> = [shard], incarnation = "1") =>
  Effect.gen(function* () {
    const store = yield* Store
    const address = "test:1"
    yield* store.register({ address, incarnation, info: "", healthy: true })
    const leases = yield* store.acquire(address, incarnation, shards, 60_000)
    return leases.map((lease) => lease.epoch)
  })

export const created: Entry = {
  _tag: "SessionCreated",
  agent: AgentName.make("test"),
  agentVersion: "1",
  attributes: {}
}

export const noted = (detail: number | string): Entry => ({ _tag: "Noted", kind: "test", detail })

export const accepted = (id: string): Entry => ({
  _tag: "CommandAccepted",
  id: CommandId.make(id),
  command: { _tag: "Interrupt" }
})

/** A session's only writer: knows its head. */
export const writer = (session: string, epoch: Epoch, options: { shard?: Shard; head?: Head } = {}) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const at = key(session)
    const head = yield* Ref.make(options.head ?? Journal.genesis(at))
    let tick = 0
    const make = (head: Head, entries: ReadonlyArray<Entry>): Append => ({
      key: at,
      shard: options.shard ?? shard,
      epoch,
      head,
      at: 1000 + tick++,
      entries
    })
    const append = (...entries: ReadonlyArray<Entry>) =>
      Effect.gen(function* () {
        const appended = yield* journal.append(make(yield* Ref.get(head), entries))
        yield* Ref.set(head, appended.head)
        return appended
      })
    return { key: at, append, make, head }
  })

export const withFaults = <E>(store: Layer.Layer<Store, E>) =>
  Journal.layer.pipe(Layer.provideMerge(faulty), Layer.provide(store))

/** A Postgres store in a database of its own. */
export const postgres: Layer.Layer<Store, unknown> = Layer.unwrapScoped(
  Effect.map(Server.database, (url) => Postgres.layer({ url }))
)
