/** Waking: snapshot + the entries after it → state. */
import { Effect, Stream } from "effect"
import type { Recorded, SessionCreated } from "../../domain/Entry.ts"
import { type AgentUnknown, SessionParked, type StoreUnavailable } from "../../domain/Errors.ts"
import type { SessionKey } from "../../domain/Id.ts"
import { type EntryUnreadable, genesis, type Head, Journal } from "../../journal/index.ts"
import type { Behaviour } from "../Behaviour.ts"
import { type Registered, Registry } from "../Registry.ts"
import { empty, evolve, fold, type SessionState } from "../State.ts"

export interface Loaded {
  readonly registered: Registered
  readonly state: SessionState
  readonly head: Head
  /** Where the last snapshot is, and how large it was. */
  readonly snapshot: { readonly seq: number; readonly bytes: number }
  /** Bytes of entries are not known for those that were read: their number stands for them. */
  readonly entriesSince: number
}

/** The version of the session's own state. A snapshot of another one is not used. */
const stateVersion = 2

export const fingerprint = (behaviour: Behaviour): string =>
  `${stateVersion}/${behaviour.agent}/${behaviour.stateVersion}`

/** How many entries are read before it is looked for a snapshot, at most. */
const pageMost = 256

/**
 * `null` when there is no such session.
 *
 * @param every how many entries a session has at least before it has a snapshot
 */
export const load = (
  key: SessionKey,
  every: number
): Effect.Effect<Loaded | null, StoreUnavailable | SessionParked | AgentUnknown, Journal | Registry> =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const registry = yield* Registry
    const firstPage = Math.max(1, Math.min(pageMost, every))
    const first = yield* journal.page(key, 0, firstPage)
    const created = first[0]?.entry
    if (created === undefined) return null
    if (created._tag !== "SessionCreated") {
      return yield* new SessionParked({ ...key, reason: "its journal does not begin with its creation" })
    }
    const registered = yield* registry.find(created.agent)
    const { behaviour } = registered
    if (first.length < firstPage) {
      return {
        registered,
        state: fold(behaviour, empty(behaviour), first),
        head: headOf(first[first.length - 1]!),
        snapshot: { seq: 0, bytes: 0 },
        entriesSince: first.length
      }
    }

    const snapshot = yield* journal.loadSnapshot(key, fingerprint(behaviour))
    const from: { state: SessionState; head: Head; bytes: number } =
      snapshot === null
        ? { state: fold(behaviour, empty(behaviour), first), head: headOf(first[first.length - 1]!), bytes: 0 }
        : {
            state: JSON.parse(new TextDecoder().decode(snapshot.state)) as SessionState,
            head: snapshot.head,
            bytes: snapshot.state.length
          }
    let state = from.state
    let head = from.head
    yield* journal.read(key, from.head.seq).pipe(
      Stream.runForEachChunk((chunk) =>
        Effect.sync(() => {
          for (const recorded of chunk) {
            state = evolve(behaviour, state, recorded.at, recorded.entry)
            head = headOf(recorded)
          }
        })
      )
    )
    const since = snapshot === null ? 0 : snapshot.head.seq
    return {
      registered,
      state,
      head,
      snapshot: { seq: since, bytes: from.bytes },
      entriesSince: head.seq - since
    }
  }).pipe(
    Effect.catchTag("EntryUnreadable", (error: EntryUnreadable) => new SessionParked({ ...key, reason: error.message }))
  )

const headOf = (recorded: Recorded): Head => ({
  seq: recorded.seq,
  chain: new Uint8Array(Buffer.from(recorded.hash, "hex"))
})

/** What there is of a session before its first entry. */
export const creation = (created: SessionCreated, key: SessionKey): Effect.Effect<Loaded, AgentUnknown, Registry> =>
  Effect.map(
    Effect.flatMap(Registry, (registry) => registry.find(created.agent)),
    (registered) => ({
      registered,
      state: empty(registered.behaviour),
      head: genesis(key),
      snapshot: { seq: 0, bytes: 0 },
      entriesSince: 0
    })
  )
