/**
 * The port to the database: two drivers (Postgres, embedded SQLite), one behaviour suite.
 *
 * It knows rows and bytes, not entries. Invariants that it keeps itself:
 *
 * - I3: a group whose `epoch` is not its shard's current epoch inserts nothing.
 * - I4: (namespace, session, seq) is unique; rows are never updated but by redaction.
 * - a group is written in whole or not at all, and `append` returns after it is on disk.
 *
 * Each operation is one commit at most. Values of rows never appear in an error.
 */
import { Context, type Effect } from "effect"
import type { StoreUnavailable } from "../domain/Errors.ts"
import type { AgentName, CommandId, Epoch, Namespace, Seq, SessionId, Shard, TimerId } from "../domain/Id.ts"

/** A row of the journal. */
export interface Row {
  readonly seq: Seq
  /** Milliseconds since the epoch. */
  readonly at: number
  /** The entry's `_tag`. */
  readonly tag: string
  /** The command's id where the entry accepts one: unique in the session (I1). */
  readonly command: CommandId | null
  readonly payload: Uint8Array
  /** sha256 of the payload, 32 bytes: kept when the payload is redacted. */
  readonly digest: Uint8Array
  /** sha256 over the chain up to this row, 32 bytes. */
  readonly chain: Uint8Array
}

export interface StoredRow extends Row {
  readonly epoch: Epoch
}

/** `active`: has work to do now. `paused`: waits for somebody's decision in the middle of a turn. `resting`: waits for a command or a timer. `parked`: cannot be read (I13). */
export type SessionStatus = "active" | "paused" | "resting" | "ended" | "parked"

/** What can be known of a session without reading its journal. */
export interface SessionRow {
  readonly agent: AgentName
  readonly agentVersion: string
  readonly status: SessionStatus
  /** Searchable: set at creation, and by the runtime (`turns`, `steps`, `usd`, `lastTool` …). */
  readonly attributes: Readonly<Record<string, string>>
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  readonly updatedAt: number
}

export interface SessionInfo extends SessionRow {
  readonly namespace: Namespace
  readonly session: SessionId
  readonly shard: Shard
}

/** Rows of one session that become durable together. */
export interface Group {
  readonly namespace: Namespace
  readonly session: SessionId
  readonly shard: Shard
  readonly epoch: Epoch
  /** Contiguous and ascending; never empty. */
  readonly rows: ReadonlyArray<Row>
  /** Written when it changed. */
  readonly info?: SessionRow | undefined
  readonly timersSet?: ReadonlyArray<{ readonly timer: TimerId; readonly due: number }> | undefined
  readonly timersCleared?: ReadonlyArray<TimerId> | undefined
  /** Hashes of the blobs that the rows name. */
  readonly blobs?: ReadonlyArray<string> | undefined
}

/**
 * What became of a group. `fenced`: the epoch is stale. `conflict`: rows with these seqs, or this command id, are there
 * already (the caller looks whether they are its own from a write whose acknowledgement was lost).
 */
export type Written = "written" | "fenced" | "conflict"

export interface Snapshot {
  readonly seq: Seq
  /** Names the code that folded it: one that another code wrote is not used. */
  readonly fingerprint: string
  /** The chain's hash at `seq`. */
  readonly chain: Uint8Array
  readonly state: Uint8Array
}

/** What a session wakes from. */
export interface Waking {
  /**
   * The newest, where the journal holds the row that it ends with, by its chain: a session that was forgotten and created
   * again has none of its former life.
   */
  readonly snapshot: Snapshot | null
  /** The first row, and those after the snapshot, or all where there is none; ascending. */
  readonly rows: ReadonlyArray<StoredRow>
}

export interface Timer {
  readonly namespace: Namespace
  readonly session: SessionId
  readonly shard: Shard
  readonly timer: TimerId
  /** Milliseconds since the epoch. */
  readonly due: number
}

/** A runner as the others see it. `incarnation` tells a restarted one from the one that held the address before. */
export interface RunnerRow {
  /** `host:port`. */
  readonly address: string
  readonly incarnation: string
  /** What the cluster stores of it, encoded. */
  readonly info: string
  readonly healthy: boolean
}

export interface BlobInfo {
  /** Hex sha256 of the whole content. */
  readonly hash: string
  readonly bytes: number
  /** Hex sha256 of each chunk, in order. */
  readonly chunks: ReadonlyArray<string>
}

export interface SessionFilter {
  readonly namespace?: Namespace | undefined
  readonly agent?: AgentName | undefined
  readonly status?: SessionStatus | undefined
  /** All of them must be equal. */
  readonly attributes?: Readonly<Record<string, string>> | undefined
  /** Newest first, by `updatedAt`; 100 unless told. */
  readonly limit?: number | undefined
}

type Result<A> = Effect.Effect<A, StoreUnavailable>

export class Store extends Context.Tag("perdure/Store")<
  Store,
  {
    /** Shown to people: `postgres` or `sqlite`. */
    readonly driver: string

    // The journal
    /** One statement, one commit for all groups. The answer has the groups' order. */
    readonly append: (groups: ReadonlyArray<Group>) => Result<ReadonlyArray<Written>>
    /** Rows with `seq > after`, ascending, at most `limit`. */
    readonly read: (
      namespace: Namespace,
      session: SessionId,
      after: number,
      limit: number
    ) => Result<ReadonlyArray<StoredRow>>
    /** The row with the highest seq. */
    readonly head: (namespace: Namespace, session: SessionId) => Result<StoredRow | null>
    /** The row that accepted the command. */
    readonly accepted: (namespace: Namespace, session: SessionId, command: CommandId) => Result<StoredRow | null>

    // Snapshots: the newest of a session wins, whoever writes it
    readonly saveSnapshot: (namespace: Namespace, session: SessionId, snapshot: Snapshot) => Result<void>
    /** At most `limit` rows beside the first. In one statement, however long the session's history is. */
    readonly waking: (namespace: Namespace, session: SessionId, limit: number) => Result<Waking>

    // Sessions and timers
    readonly session: (namespace: Namespace, session: SessionId) => Result<SessionInfo | null>
    readonly sessions: (filter: SessionFilter) => Result<ReadonlyArray<SessionInfo>>
    /** The active sessions of these shards: what a runner wakes when it acquires them. */
    readonly unfinished: (shards: ReadonlyArray<Shard>) => Result<ReadonlyArray<SessionInfo>>
    readonly timers: (shards: ReadonlyArray<Shard>) => Result<ReadonlyArray<Timer>>
    /** Marks a session as unreadable, with the reason in its attributes (`parked`). Not fenced: it writes no entry. */
    readonly park: (namespace: Namespace, session: SessionId, reason: string) => Result<void>

    // Blobs: chunks and manifests are content-addressed within a namespace; writing one that is there is a no-op
    readonly putChunk: (namespace: Namespace, hash: string, content: Uint8Array) => Result<void>
    readonly getChunk: (namespace: Namespace, hash: string) => Result<Uint8Array | null>
    readonly putBlob: (namespace: Namespace, blob: BlobInfo) => Result<void>
    readonly getBlob: (namespace: Namespace, hash: string) => Result<BlobInfo | null>
    /** Deletes blobs that no entry names and chunks that no blob names, if older than `olderThanMs`. Returns how many blobs. */
    readonly collect: (olderThanMs: number) => Result<number>
    /** Deletes a session: its rows, snapshot, timers and references. Its blobs go at the next `collect`. */
    readonly forget: (namespace: Namespace, session: SessionId) => Result<void>

    /**
     * What all runners of this store must have in common, by name: the first proposal wins, and everybody gets that one.
     */
    readonly agree: (name: string, proposal: string) => Result<string>

    // Runners and shards. Time is the database's.
    /**
     * Announces a runner and holds its presence until the scope of the store closes or the process dies. Replaces an
     * earlier incarnation at the same address, whose shards become free.
     */
    readonly register: (runner: RunnerRow) => Result<void>
    readonly unregister: (address: string, incarnation: string) => Result<void>
    /** False when another runner has declared this one dead: it must end itself. */
    readonly heartbeat: (address: string, incarnation: string) => Result<boolean>
    /** Of this incarnation only: whoever leaves must not speak for the one that has taken its address meanwhile. */
    readonly setHealth: (address: string, incarnation: string, healthy: boolean) => Result<void>
    /** The runners that are alive: present, and not silent for longer than `expiryMs`. */
    readonly runners: (expiryMs: number) => Result<ReadonlyArray<RunnerRow>>
    /**
     * Takes those of the shards that nobody alive owns, and bumps their epochs (I3). A runner whose shards are taken
     * because it was silent is declared dead.
     */
    readonly acquire: (
      address: string,
      incarnation: string,
      shards: ReadonlyArray<Shard>,
      expiryMs: number
    ) => Result<ReadonlyArray<{ readonly shard: Shard; readonly epoch: Epoch }>>
    /** Which of the shards this runner still owns. */
    readonly owned: (address: string, incarnation: string, shards: ReadonlyArray<Shard>) => Result<ReadonlyArray<Shard>>
    /** Frees the shards, or all of the runner's when none are named. */
    readonly release: (address: string, incarnation: string, shards?: ReadonlyArray<Shard>) => Result<void>
  }
>() {}
