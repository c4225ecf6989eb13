/** Waking: snapshot + the entries after it → state. */
import { Chunk, Effect, Stream } from "effect"
import type { Recorded, SessionCreated } from "../../domain/Entry.ts"
import { type AgentUnknown, SessionParked, type StoreUnavailable } from "../../domain/Errors.ts"
import type { SessionKey } from "../../domain/Id.ts"
import { type EntryUnreadable, genesis, type Head, Journal } from "../../journal/index.ts"
import type { Behaviour } from "../Behaviour.ts"
import { type Registered, Registry } from "../Registry.ts"
import { empty, fold, type SessionState } from "../State.ts"

export interface Loaded {
  readonly registered: Registered
  readonly state: SessionState
  readonly head: Head
  /** How large the last snapshot was. */
  readonly snapshotBytes: number
  /** Bytes of entries are not known for those that were read: their number stands for them. */
  readonly entriesSince: number
}

/** The version of the session's own state. A snapshot of another one is not used. */
const stateVersion = 2

export const fingerprint = (behaviour: Behaviour): string =>
  `${stateVersion}/${behaviour.agent}/${behaviour.stateVersion}`

/** `null` when there is no such session. */
export const load = (
  key: SessionKey
): Effect.Effect<Loaded | null, StoreUnavailable | SessionParked | AgentUnknown, Journal | Registry> =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const registry = yield* Registry
    const waking = yield* journal.waking(key)
    if (waking === null) return null
    const created = waking.first.entry
    if (created._tag !== "SessionCreated") {
      return yield* new SessionParked({ ...key, reason: "its journal does not begin with its creation" })
    }
    const registered = yield* registry.find(created.agent)
    const { behaviour } = registered
    const isOurs = waking.snapshot?.fingerprint === fingerprint(behaviour)
    const snapshot = isOurs ? waking.snapshot : null
    let state: SessionState =
      snapshot === null ? empty(behaviour) : (JSON.parse(new TextDecoder().decode(snapshot.state)) as SessionState)
    const from = snapshot?.head ?? genesis(key)
    let head = from
    const follow = (entries: ReadonlyArray<Recorded>) => {
      state = fold(behaviour, state, entries)
      const last = entries[entries.length - 1]
      if (last !== undefined) head = headOf(last)
    }
    // What follows a snapshot that is not ours follows nothing that we have.
    const follows = waking.snapshot === snapshot
    if (follows) follow(waking.entries)
    if (!follows || waking.hasMore) {
      yield* Stream.runForEachChunk(journal.read(key, head.seq), (chunk) =>
        Effect.sync(() => follow(Chunk.toReadonlyArray(chunk)))
      )
    }
    return {
      registered,
      state,
      head,
      snapshotBytes: snapshot?.state.length ?? 0,
      entriesSince: head.seq - from.seq
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
      snapshotBytes: 0,
      entriesSince: 0
    })
  )
