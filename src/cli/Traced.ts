/** What a session did, as data: turns, their steps, and every attempt of each. `Trace` makes it of a journal. */
import type { Cut, Decided, NextInput, Reconciled, SessionOutcome, StepKind, TurnOutcome } from "../domain/Entry.ts"
import type { Failure } from "../domain/Failure.ts"
import type { Json } from "../domain/Json.ts"
import type { Usage } from "../domain/Usage.ts"

export interface Attempt {
  readonly attempt: number
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly endedAt: number | null
  readonly outcome: "succeeded" | "failed" | "in doubt" | "running"
  readonly failure: Failure | null
  /** What it has found out, where it was to find out what became of the one before. */
  readonly reconciled?: Reconciled
  /** What a policy made of its failure: what is done next, by which rule, and the hash of what the next one is given. */
  readonly decided?: Decided
  /** What the next attempt is given, and when it is due, in milliseconds since the epoch; left out of the last one. */
  readonly next?: { readonly input: NextInput; readonly dueAt: number }
  /** What it has cost, where it failed and that is known. */
  readonly usage?: Usage
}

export interface Step {
  readonly step: string
  readonly turn: number
  readonly kind: StepKind
  readonly name: string
  /** `in doubt`: it was running when its runner died, and was not repeated (I5). */
  readonly outcome: "succeeded" | "failed" | "in doubt" | "open"
  readonly repeatable: string
  readonly intendedAt: number
  readonly endedAt: number | null
  /** From the first attempt's start to the outcome; `null` while it is open. */
  readonly durationMs: number | null
  readonly attempts: ReadonlyArray<Attempt>
  /** Of all its attempts; `null` where nothing is known. */
  readonly usage: Usage | null
  /** Owners of the session while it was open: more than one when a runner died. */
  readonly epochs: ReadonlyArray<number>
  /** The pause that it is held by: its next attempt is not due, somebody is to decide. */
  readonly held?: { readonly pause: string; readonly kind: string }
  /** The model reached its limit of output: its answer ends in the middle. */
  readonly cut?: Cut
  /** The transform that made what the model sees of the result. */
  readonly transform?: string
  /** What somebody has said became of it, and the command that said so. */
  readonly settled?: { readonly verdict: string; readonly command: string }
}

export interface Turn {
  readonly turn: number
  readonly command: string
  /** The message's text. */
  readonly message: string
  readonly startedAt: number
  readonly endedAt: number | null
  readonly outcome: TurnOutcome | null
  readonly steps: ReadonlyArray<Step>
  readonly usage: Usage
  /** What was decided about it on the way: limits, loops, pauses and their ends, raises. */
  readonly marks: ReadonlyArray<Mark>
}

/** Something of a turn that is no step. */
export interface Mark {
  /** Milliseconds since the epoch. */
  readonly at: number
  /** `paused`, `resumed`, `raised`, or what was noted: `limit`, `loop`, `lastWords`, … */
  readonly what: string
  readonly detail: Json
}

export interface Trace {
  readonly agent: string
  readonly agentVersion: string
  readonly createdAt: number
  readonly entries: number
  readonly turns: ReadonlyArray<Turn>
  readonly usage: Usage
  readonly outcome: SessionOutcome | null
}
