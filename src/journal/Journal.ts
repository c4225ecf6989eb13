/**
 * What happened, in order, on disk: the truth of every session.
 *
 * - I1: an append that succeeded is on disk, and a command id is in a session once.
 * - I3: an append with a stale epoch writes nothing and fails with `Fenced`.
 * - I4: `seq` is gap-free; entries are never changed, and each carries the hash of the one before it.
 * - I11: nothing here grows with the session's age.
 */
import { Chunk, Context, Effect, Either, Layer, Option, Stream } from "effect"
import type { Recorded } from "../domain/Entry.ts"
import type { Fenced, StoreUnavailable } from "../domain/Errors.ts"
import type { CommandId, Seq, SessionKey } from "../domain/Id.ts"
import { Store, type StoredRow } from "../store/Store.ts"
import * as Codec from "./Codec.ts"
import { EntryUnreadable } from "./EntryUnreadable.ts"
import * as GroupCommit from "./internal/GroupCommit.ts"
import { type Append, type Head, prepare } from "./internal/Prepared.ts"
import { JournalSettings } from "./Settings.ts"
import * as Verified from "./Verified.ts"

export type { Append, Head } from "./internal/Prepared.ts"

/** An append that is on disk. */
export interface Appended {
  /** The session's last row now. */
  readonly head: Head
  /** The entries in their places. */
  readonly entries: ReadonlyArray<Recorded>
  /** The size of their payloads. */
  readonly bytes: number
}

/** A folded state: what a waking session starts from instead of its first entry. */
export interface Snapshot {
  /** The last entry that is folded in. */
  readonly head: Head
  readonly state: Uint8Array
}

/** What a session wakes from. */
export interface Waking {
  readonly first: Recorded
  /** The newest, whoever's `fingerprint` it has. */
  readonly snapshot: (Snapshot & { readonly fingerprint: string }) | null
  /** Those after the snapshot, or all where there is none, as many as a page holds. */
  readonly entries: ReadonlyArray<Recorded>
  /** There may be others after these. */
  readonly hasMore: boolean
}

/** The head of a session without entries. */
export const genesis = (key: SessionKey): Head => ({
  // Where counting begins, before the first entry's 1.
  seq: 0 as Seq,
  chain: Codec.genesis(key)
})

/** The rows of a page, as many as can be read in front of the first that cannot. */
const decodeRows = (
  key: SessionKey,
  rows: ReadonlyArray<StoredRow>
): { readonly entries: ReadonlyArray<Recorded>; readonly failure: EntryUnreadable | null } => {
  const entries: Array<Recorded> = []
  for (const row of rows) {
    const entry = Codec.decode(row.payload)
    if (Either.isLeft(entry)) {
      const { namespace, session } = key
      return { entries, failure: new EntryUnreadable({ namespace, session, seq: row.seq, reason: entry.left }) }
    }
    entries.push({ seq: row.seq, epoch: row.epoch, at: row.at, hash: Codec.hex(row.chain), entry: entry.right })
  }
  return { entries, failure: null }
}

/** Rows a read of the store: enough to be quick, few enough not to hold up others. */
const pageRows = 256

const make = Effect.gen(function* () {
  const store = yield* Store
  const settings = yield* JournalSettings
  const submit = yield* GroupCommit.make(store, settings)

  const append = (append: Append): Effect.Effect<Appended, Fenced | StoreUnavailable> =>
    Effect.suspend(() => {
      if (append.entries.length === 0) return Effect.dieMessage("an append without entries")
      const prepared = prepare(append)
      return Effect.as(submit(prepared), { head: prepared.head, entries: prepared.recorded, bytes: prepared.bytes })
    })

  const page = (key: SessionKey, after: number, limit: number) =>
    Effect.flatMap(store.read(key.namespace, key.session, after, limit), (rows) => {
      const { entries, failure } = decodeRows(key, rows)
      return failure === null ? Effect.succeed(entries) : failure
    })

  const read = (key: SessionKey, after: number): Stream.Stream<Recorded, StoreUnavailable | EntryUnreadable> =>
    Stream.paginateChunkEffect(after, (after) =>
      Effect.map(store.read(key.namespace, key.session, after, pageRows), (rows) => {
        const last = rows[rows.length - 1]
        const next =
          last === undefined || rows.length < pageRows ? Option.none<number>() : Option.some<number>(last.seq)
        return [Chunk.of(decodeRows(key, rows)), next] as const
      })
    ).pipe(
      // What precedes an unreadable entry is given before the failure.
      Stream.flatMap(({ entries, failure }) =>
        failure === null
          ? Stream.fromIterable(entries)
          : Stream.concat(Stream.fromIterable(entries), Stream.fail(failure))
      )
    )

  const head = (key: SessionKey) =>
    Effect.map(store.head(key.namespace, key.session), (row) =>
      row === null ? null : { seq: row.seq, chain: Codec.own(row.chain) }
    )

  const accepted = (key: SessionKey, command: CommandId) =>
    Effect.flatMap(store.accepted(key.namespace, key.session, command), (row) => {
      if (row === null) return Effect.succeed(null)
      const { entries, failure } = decodeRows(key, [row])
      return failure === null ? Effect.succeed(entries[0]!) : failure
    })

  const verify = (key: SessionKey) => {
    const walk = (state: Verified.State): Effect.Effect<Verified.State, StoreUnavailable> =>
      Effect.flatMap(store.read(key.namespace, key.session, state.seq, pageRows), (rows) => {
        const next = rows.reduce(Verified.step, state)
        return rows.length < pageRows ? Effect.succeed(next) : walk(next)
      })
    return Effect.map(
      walk(Verified.begin(key)),
      ({ entries, problems, redacted }): Verified.Verified => ({ entries, redacted, problems })
    )
  }

  const saveSnapshot = (key: SessionKey, { fingerprint, head, state }: Snapshot & { readonly fingerprint: string }) =>
    store.saveSnapshot(key.namespace, key.session, { seq: head.seq, fingerprint, chain: head.chain, state })

  const waking = Effect.fnUntraced(function* (key: SessionKey) {
    const { rows, snapshot } = yield* store.waking(key.namespace, key.session, pageRows)
    const { entries, failure } = decodeRows(key, rows)
    if (failure !== null) return yield* failure
    const [first] = entries
    if (first === undefined) return null
    return {
      first,
      snapshot: snapshot && {
        head: { seq: snapshot.seq, chain: Codec.own(snapshot.chain) },
        fingerprint: snapshot.fingerprint,
        state: snapshot.state
      },
      entries: snapshot === null ? entries : entries.slice(1),
      hasMore: rows.length > pageRows
    } satisfies Waking
  })

  return { append, page, read, head, accepted, verify, saveSnapshot, waking }
})

export class Journal extends Context.Tag("perdure/Journal")<
  Journal,
  {
    /**
     * Returns when the entries are on disk. Appends of all sessions that come while one is being committed share the
     * next commit. Calls of one session are kept in order; one may follow another that has not returned, with the head
     * that `Journal.after` predicts, and fails if that one fails.
     *
     * Once it waits for its commit it cannot be interrupted: an interruption takes effect after the outcome. Whoever
     * has to see the outcome even then makes the region around it uninterruptible.
     *
     * - `Fenced`: the epoch is stale, or the session is not as `head` says (another's entry is in that place, or the
     *   command was accepted before). Nothing was written; whoever goes on reads the journal first.
     * - `StoreUnavailable`: the store did not answer for `JournalSettings.retryMs`. It may have been written.
     */
    readonly append: (append: Append) => Effect.Effect<Appended, Fenced | StoreUnavailable>
    /** Entries with `seq > after`, ascending, at most `limit`. */
    readonly page: (
      key: SessionKey,
      after: number,
      limit: number
    ) => Effect.Effect<ReadonlyArray<Recorded>, StoreUnavailable | EntryUnreadable>
    /** Entries with `seq > after`, ascending, to the present end; in bounded memory. */
    readonly read: (key: SessionKey, after: number) => Stream.Stream<Recorded, StoreUnavailable | EntryUnreadable>
    /** The last row; `null` when there is none. */
    readonly head: (key: SessionKey) => Effect.Effect<Head | null, StoreUnavailable>
    /** The entry that accepted the command (I1). */
    readonly accepted: (
      key: SessionKey,
      command: CommandId
    ) => Effect.Effect<Recorded | null, StoreUnavailable | EntryUnreadable>
    /**
     * Walks the whole chain. It finds gaps, changed rows, rows of another session, and rows that cannot be read. A
     * chain cut off at its end verifies: compare its last hash with one that was kept elsewhere.
     */
    readonly verify: (key: SessionKey) => Effect.Effect<Verified.Verified, StoreUnavailable>
    /** Keeps a folded state. `fingerprint` names the code that folded it. */
    readonly saveSnapshot: (
      key: SessionKey,
      snapshot: Snapshot & { readonly fingerprint: string }
    ) => Effect.Effect<void, StoreUnavailable>
    /** What the session wakes from, by one read of the store; `null` where there is no such session. */
    readonly waking: (key: SessionKey) => Effect.Effect<Waking | null, StoreUnavailable | EntryUnreadable>
  }
>() {
  /** Closing it commits what waits, once more and for `JournalSettings.closeMs` at most. */
  static readonly layer: Layer.Layer<Journal, never, Store> = Layer.scoped(Journal, make)

  static readonly genesis = genesis

  /** The head that a session has after an append, to build the next one on before it returns. */
  static after(append: Append): Head {
    return prepare(append).head
  }
}
