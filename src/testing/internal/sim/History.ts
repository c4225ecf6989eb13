/**
 * What happened in a simulated run, in the order in which it did, seen from outside of all processes.
 *
 * The simulator's parts write it (the store, the network, clients, tools, the model, the operating system), checkers read
 * it: a checker is a pure function of a `Finished` history. `at` is true virtual time, which no clock jump moves.
 * A session is named by its key, `namespace/session`; a `process` is one life of one OS process, e.g. `runner-1.2`.
 */
import type { Recorded, Repeatable, StepKind } from "../../../domain/Entry.ts"
import type { FeedEvent } from "../../../feed/index.ts"
import type { Verified } from "../../../journal/index.ts"
import type { Limits } from "../../../session/index.ts"
import type { SessionInfo, Timer, Written } from "../../../store/index.ts"

/** What a client asks of a session. */
export type CommandKind = "Create" | "Send" | "Interrupt" | "Cancel" | "Raise" | "Settle" | "Revive" | "Discard"

/** A row as the store was given it, without its bytes. */
export interface AppendedRow {
  readonly seq: number
  readonly tag: string
  readonly command: string | null
  /** The step that the entry is about, where it is about one. */
  readonly step?: string | undefined
}

/** One attempt of a step: what a witness line, a model call and an OS process belong to. */
export interface Attempt {
  readonly process: string
  readonly session: string
  readonly step: string
  readonly attempt: number
}

export type Happening =
  // --- Processes ---
  /**
   * `born` a runner or client process; `lost`: it ended itself because it was declared dead or lost its shards; `crashed`: it
   * ended, and nobody knows why.
   */
  | {
      readonly _tag: "Life"
      readonly process: string
      readonly what: "born" | "stopped" | "continued" | "killed" | "leaving" | "left" | "lost" | "crashed"
    }
  /** A fault was injected. */
  | { readonly _tag: "Fault"; readonly fault: string }
  /** No fault comes any more, and all that stopped, slow or cut is whole again. Liveness counts from here. */
  | { readonly _tag: "Calm" }
  // --- Clients ---
  /** A client sends a command, each try of it. `text`: its content, as the JSON of `[kind, text, whenBusy]`. */
  | {
      readonly _tag: "Sent"
      readonly client: string
      readonly session: string
      readonly command: string
      readonly kind: CommandKind
      readonly text?: string | undefined
    }
  | {
      readonly _tag: "Acked"
      readonly client: string
      readonly session: string
      readonly command: string
      readonly seq: number
    }
  /** It was answered by an error: `error` is its `_tag`, `message` what it says. */
  | {
      readonly _tag: "Refused"
      readonly client: string
      readonly session: string
      readonly command: string
      readonly error: string
      readonly message?: string | undefined
    }
  /** A reader took an event from a session's feed. */
  | { readonly _tag: "Read"; readonly reader: string; readonly session: string; readonly event: FeedEvent }
  /** A reader begins, or comes back: with the cursor of the last event that it took, or none. */
  | {
      readonly _tag: "Follow"
      readonly reader: string
      readonly session: string
      readonly cursor: string | null
    }
  // --- The store ---
  /**
   * A group of an append, at the moment of its commit (or refusal).
   * All groups of one call have one `call` number.
   */
  | {
      readonly _tag: "Appended"
      readonly process: string
      readonly call: number
      readonly session: string
      readonly shard: string
      readonly epoch: number
      readonly rows: ReadonlyArray<AppendedRow>
      readonly status?: string | undefined
      readonly timersSet: ReadonlyArray<{ readonly timer: string; readonly due: number }>
      readonly timersCleared: ReadonlyArray<string>
      readonly written: Written
    }
  /** A runner has taken a shard. */
  | {
      readonly _tag: "Acquired"
      readonly process: string
      readonly shard: string
      readonly epoch: number
    }
  /** Any other call of the store, for the trace. */
  | { readonly _tag: "Called"; readonly process: string; readonly operation: string; readonly outcome: string }
  // --- The world outside: it survives all processes ---
  /** An attempt of a step begins to run: after its intent, before its effect. */
  | (Attempt & {
      readonly _tag: "Began"
      readonly kind: StepKind
      readonly name: string
      /** It is not the step that runs: it is asked what became of the attempt before. */
      readonly asks?: true
      /** It is an errand: `process` runs it for the runner that has its session under this epoch. */
      readonly askedUnder?: number
    })
  /** It has run to its end; `outcome` is `succeeded`, `interrupted` or the class of its failure. */
  | (Attempt & { readonly _tag: "Performed"; readonly kind: StepKind; readonly name: string; readonly outcome: string })
  /** A tool has had its effect: the witness line. `key` is the idempotency key that its handler was given. */
  | (Attempt & { readonly _tag: "Effect"; readonly tool: string; readonly key: string })
  /** The provider was asked. */
  | { readonly _tag: "Asked"; readonly call: number; readonly model?: string | undefined }
  /** It has answered, in whole or in part. */
  | {
      readonly _tag: "Answered"
      readonly call: number
      readonly tokens: number
      readonly outcome: string
    }
  /** A step started an OS process. */
  | (Attempt & { readonly _tag: "ProcessBorn"; readonly pid: number })
  | { readonly _tag: "ProcessDied"; readonly pid: number }
  // --- The network, for the trace ---
  | {
      readonly _tag: "Message"
      readonly from: string
      readonly to: string
      readonly what: string
      readonly fate: "delivered" | "dropped" | "duplicated" | "refused"
    }
  /** A fact of no kind above, for the trace. */
  | { readonly _tag: "Told"; readonly process: string; readonly what: string }

export type Happened = Happening & {
  /** Virtual milliseconds since the epoch. */
  readonly at: number
}

export type Of<Tag extends Happening["_tag"]> = Extract<Happening, { readonly _tag: Tag }> & { readonly at: number }

/** What is left when a run is over. */
export interface Final {
  /** When it was over. */
  readonly at: number
  /** By session key. */
  readonly journals: ReadonlyMap<string, ReadonlyArray<Recorded>>
  readonly verified: ReadonlyMap<string, Verified>
  readonly sessions: ReadonlyArray<SessionInfo>
  readonly timers: ReadonlyArray<Timer>
  /** OS processes that are alive, by pid. */
  readonly processes: ReadonlyArray<number>
  /** Why the run did not come to its end, if it did not: what waits for what. */
  readonly stuck: string | null
}

export interface Finished {
  readonly events: ReadonlyArray<Happened>
  readonly final: Final
  /** By agent: what a turn may use. */
  readonly limits: Readonly<Record<string, Limits>>
  /** By agent, where it says so: what a session may use. */
  readonly sessionLimits?: Readonly<Record<string, Limits>> | undefined
  /** By model: how many calls its provider takes in any window of so many milliseconds, where that is limited. */
  readonly allowed?: Readonly<Record<string, { readonly limit: number; readonly perMs: number }>> | undefined
  /** What each tool really allows, by name, whatever the runtime was told; what the journal says where it is missing. */
  readonly tools: Readonly<Record<string, Repeatable>>
  /** Texts that must be nowhere in what was stored or told (I12). */
  readonly canaries: ReadonlyArray<string>
}

/** Written by the parts of a simulated world. */
export class History {
  readonly events: Array<Happened> = []
  readonly #now: () => number

  /** @param now true virtual time, in milliseconds */
  constructor(now: () => number) {
    this.#now = now
  }

  record(happening: Happening): void {
    this.events.push({ ...happening, at: this.#now() } as Happened)
  }
}

/** The happenings of one kind, in order. */
export const of = <const Tag extends Happening["_tag"]>(
  events: ReadonlyArray<Happened>,
  ...tags: ReadonlyArray<Tag>
): ReadonlyArray<Of<Tag>> =>
  events.filter((event): event is Of<Tag> => (tags as ReadonlyArray<string>).includes(event._tag))
