/** A client's hold on one session. Closing a feed, or the client, never stops the session's work. */
import type { Duration, Effect, Stream } from "effect"
import type { Decision, TurnOutcome, Verdict, WhenBusy } from "../domain/Entry.ts"
import type * as Errors from "../domain/Errors.ts"
import type { Namespace, SessionId } from "../domain/Id.ts"
import type { Json } from "../domain/Json.ts"
import type { UserPart } from "../domain/Message.ts"
import type { FeedEvent, InvalidCursor } from "../feed/index.ts"
import type { EntryUnreadable } from "../journal/index.ts"
import type { Protocol } from "../session/index.ts"
import type { TurnNotCompleted } from "./TurnNotCompleted.ts"

/** Why a session cannot be asked. */
export type Unavailable =
  | Errors.StoreUnavailable
  | Errors.SessionParked
  | Errors.AgentUnknown
  | Errors.RunnerUnreachable

/** Why a command is not accepted: nothing of it is journaled then. */
export type Refused =
  | Errors.SessionNotFound
  | Errors.SessionClosed
  | Errors.SessionBusy
  | Errors.MailboxFull
  | Errors.MessageTooLarge
  | Errors.InvalidInput
  | Errors.CommandConflict
  | Errors.NothingToDecide

export type FeedFailure = Unavailable | Errors.SessionNotFound | Errors.BlobMissing | EntryUnreadable | InvalidCursor

/** A command is in the journal: it will be acted on, whatever dies (I1). */
export interface Accepted {
  /** The command's id: send it again with the same id when in doubt. */
  readonly id: string
  readonly seq: number
  /** Resume a feed from here to see what follows from the command. */
  readonly cursor: string
}

export interface SendOptions {
  /** Makes the message idempotent: the same id is the same message (I1). A random one unless told. */
  readonly id?: string | undefined
  /** What happens if a turn is running. `"enqueue"` unless told. */
  readonly whenBusy?: WhenBusy | undefined
  /**
   * What follows failed model calls of its turn, before the agent's own policy: the name of one of the agent's
   * (`policy: { named: { … } }`).
   */
  readonly policy?: string | undefined
}

export interface StopOptions {
  /** Makes it idempotent: the same id is the same command (I1). A random one unless told. */
  readonly id?: string | undefined
  /** For the journal. */
  readonly reason?: string | undefined
}

export interface SettleOptions {
  /** Makes it idempotent: the same id is the same command (I1). A random one unless told. */
  readonly id?: string | undefined
  /** What a step that happened gave, as its tool would have: encoded. */
  readonly result?: Json | undefined
}

export interface ReviveOptions extends StopOptions {
  /** Only this one; all that is parked unless told. */
  readonly step?: string | undefined
}

/** So much of each limit. */
export interface Raise {
  readonly steps?: number | undefined
  readonly modelCalls?: number | undefined
  readonly toolCalls?: number | undefined
  readonly tokens?: number | undefined
  /** US dollars. */
  readonly usd?: number | undefined
  readonly wall?: Duration.DurationInput | undefined
}

export interface Session {
  readonly namespace: Namespace
  readonly id: SessionId
  /** Sends a message: a text, or parts. Returns when it is in the journal. */
  readonly send: (
    message: string | ReadonlyArray<UserPart>,
    options?: SendOptions
  ) => Effect.Effect<Accepted, Unavailable | Refused>
  /**
   * How the turn of a message ended; waits for it. Give what `send` returned. `Completed` with `cut: "length"` has an
   * answer that ends in the middle: the model reached its limit of output (`max_tokens`), which is raised where the model
   * is made; or send a message to go on.
   */
  readonly result: (accepted: Accepted) => Effect.Effect<TurnOutcome, FeedFailure | Errors.SessionClosed>
  /** Sends a message and waits for the answer's text, also where it was cut off: `result` says whether it was. */
  readonly ask: (
    message: string | ReadonlyArray<UserPart>,
    options?: SendOptions
  ) => Effect.Effect<string, Refused | FeedFailure | TurnNotCompleted>
  /**
   * What happens, from a cursor on (from the start without one), live: each entry once, each piece of text once (I6). Ends
   * when the session has ended. Of a tool's progress only the last is kept: a `Delta` with `skipped` says how much a reader
   * that fell behind has missed.
   */
  readonly feed: (options?: { readonly after?: string | undefined }) => Stream.Stream<FeedEvent, FeedFailure>
  /** Ends the running turn, and all that it started; the session goes on. */
  readonly interrupt: Effect.Effect<Accepted, Unavailable | Refused>
  /** Ends the session, and all that it started. */
  readonly cancel: Effect.Effect<Accepted, Unavailable | Refused>
  /** As `interrupt` and `cancel`, with a reason for the journal and an id that makes them idempotent. */
  readonly stop: (how: "interrupt" | "cancel", options?: StopOptions) => Effect.Effect<Accepted, Unavailable | Refused>
  /**
   * Allows more: added to what the running turn and the session may use. A turn that waits for just that goes on.
   * `wall` is running time.
   */
  readonly raise: (by: Raise, options?: StopOptions) => Effect.Effect<Accepted, Unavailable | Refused>
  /**
   * Decides a pause, by the name that `state` and the feed give it, once: a second decision is `NothingToDecide`. Who lets
   * a turn `proceed` that met a limit allows as much again.
   */
  readonly decide: (
    pause: string,
    decision: Decision,
    options?: StopOptions
  ) => Effect.Effect<Accepted, Unavailable | Refused>
  /**
   * Says what became of a step that is in doubt, once: `state` and the feed name it. Where the turn waits for that, it goes
   * on: with the result, without one, or by running the step again (`retry`). Where the model was told that nobody knows,
   * it is told what somebody knows now.
   */
  readonly settle: (
    step: string,
    verdict: Verdict,
    options?: SettleOptions
  ) => Effect.Effect<Accepted, Unavailable | Refused>
  /**
   * Tries again what is parked: steps that have ended their runner each time. A session that could not be read is tried
   * as well: it answers if it is mended.
   */
  readonly revive: (options?: ReviveOptions) => Effect.Effect<Accepted, Unavailable | Refused>
  /** Gives up what is parked: the step has failed, and its turn goes on as after any failure. */
  readonly discard: (options?: ReviveOptions) => Effect.Effect<Accepted, Unavailable | Refused>
  /** The session as it is now. */
  readonly state: Effect.Effect<Protocol.SessionView, Unavailable | Errors.SessionNotFound>
  /** Content that a claim in an entry stands for; other text is returned as it is. */
  readonly content: (text: string) => Stream.Stream<Uint8Array, Errors.BlobMissing | Errors.StoreUnavailable>
}
