/**
 * A session's state: a pure fold of its journal.
 *
 * This module knows commands, turns, steps, limits and timers; what the turns are about is the behaviour's. State is
 * plain JSON: it is snapshotted as it is.
 */
import type {
  AttemptFailed,
  Decided,
  Entry,
  NextInput,
  Recorded,
  Repeatable,
  SessionOutcome,
  StepIntended,
  StepKind
} from "../domain/Entry.ts"
import type { Failure } from "../domain/Failure.ts"
import type { CommandId, StepId, TimerId } from "../domain/Id.ts"
import type { Json } from "../domain/Json.ts"
import * as Usage from "../domain/Usage.ts"
import type { Behaviour } from "./Behaviour.ts"

/** A step whose outcome is not in the journal yet. */
export interface OpenStep {
  readonly step: StepId
  readonly turn: number
  readonly kind: StepKind
  readonly name: string
  readonly input: Json
  readonly repeatable: Repeatable
  /** The attempt that runs or comes next; 1 is the first. */
  readonly attempt: number
  /** When that attempt is due, in milliseconds since the epoch. */
  readonly dueAt: number
  /** When the step was intended; left out by what is older. */
  readonly since?: number | undefined
  readonly nextInput: NextInput
  /** What earlier attempts produced or saved. */
  readonly partial: Json | undefined
  /** The model that the attempt asks, by name; left out for the first of the agent's chain. */
  readonly model?: string | undefined
  /** How many attempts have failed since the model was changed; left out where none has. */
  readonly failures?: number | undefined
  /** Why there is another attempt; left out for the first. */
  readonly why?: { readonly failure: Failure; readonly decided?: Decided | undefined } | undefined
  /** It does not begin until a human has decided. */
  readonly held?: boolean | undefined
}

export interface Turn {
  readonly turn: number
  readonly command: CommandId
  readonly startedAt: number
  readonly steps: number
  readonly modelCalls: number
  readonly toolCalls: number
  readonly usage: Usage.Usage
  /** Why the turn must end as soon as its open steps are stopped. */
  readonly stopping: Stopping | null
}

export type Stopping =
  | { readonly _tag: "Interrupt"; readonly reason?: string | undefined }
  | { readonly _tag: "Cancel"; readonly reason?: string | undefined }
  | { readonly _tag: "Wall" }

export interface SessionState<S = unknown> {
  readonly seq: number
  readonly agent: string
  readonly agentVersion: string
  readonly attributes: Readonly<Record<string, string>>
  readonly createdAt: number
  readonly updatedAt: number
  /** The running turn; `null` at rest. */
  readonly turn: Turn | null
  /** How many turns have begun. */
  readonly turns: number
  /** Accepted messages whose turn has not begun. */
  readonly queue: ReadonlyArray<CommandId>
  readonly open: Readonly<Record<string, OpenStep>>
  /** How many steps have been intended: the next one's id is one more. */
  readonly steps: number
  readonly lastTool: string | null
  readonly timers: Readonly<Record<string, number>>
  readonly usage: Usage.Usage
  /** A cancel was accepted: no turn begins any more. */
  readonly cancelled: { readonly reason?: string | undefined } | null
  readonly ended: SessionOutcome | null
  readonly behaviour: S
}

export const empty = <S>(behaviour: Pick<Behaviour<S>, "initial">): SessionState<S> => ({
  seq: 0,
  agent: "",
  agentVersion: "",
  attributes: {},
  createdAt: 0,
  updatedAt: 0,
  turn: null,
  turns: 0,
  queue: [],
  open: {},
  steps: 0,
  lastTool: null,
  timers: {},
  usage: Usage.zero,
  cancelled: null,
  ended: null,
  behaviour: behaviour.initial
})

export const wallTimer = (turn: number): TimerId => `wall:${turn}` as TimerId

const without = <V>(record: Readonly<Record<string, V>>, key: string): Readonly<Record<string, V>> => {
  const { [key]: _, ...rest } = record
  return rest
}

const used = <S>(state: SessionState<S>, usage: Usage.Usage | undefined): Partial<SessionState<S>> =>
  usage === undefined
    ? {}
    : {
        usage: Usage.add(state.usage, usage),
        turn: state.turn && { ...state.turn, usage: Usage.add(state.turn.usage, usage) }
      }

const closeStep = <S>(
  state: SessionState<S>,
  step: StepId,
  usage: Usage.Usage | undefined
): Partial<SessionState<S>> => ({ open: without(state.open, step), ...used(state, usage) })

const openStep = (entry: StepIntended, at: number): OpenStep => ({
  step: entry.step,
  turn: entry.turn,
  kind: entry.kind,
  name: entry.name,
  input: entry.input,
  repeatable: entry.repeatable,
  attempt: 1,
  dueAt: at,
  since: at,
  nextInput: "original",
  partial: undefined
})

const nextAttempt = (step: OpenStep, entry: AttemptFailed): OpenStep => {
  const { attempt, decided, failure, nextInput, retryAt: dueAt, startedAt } = entry
  const partial = entry.partial ?? (nextInput === "original" && step.kind === "model" ? undefined : step.partial)
  const next = { ...step, attempt: attempt + 1, dueAt, nextInput, partial }
  // Lost before its time: it is only counted anew, for the reasons that there were.
  if (startedAt < step.dueAt) return { ...next, failures: step.failures ?? step.attempt - 1 }
  return {
    ...next,
    failures: decided?.model === undefined ? (step.failures ?? step.attempt - 1) + 1 : 0,
    why: decided === undefined ? { failure } : { failure, decided },
    ...(decided?.model === undefined ? {} : { model: decided.model }),
    ...(decided?.plan === "ask" ? { held: true } : {})
  }
}

const stopping = <S>(state: SessionState<S>, why: Stopping): Partial<SessionState<S>> =>
  state.turn === null || state.turn.stopping?._tag === "Cancel" ? {} : { turn: { ...state.turn, stopping: why } }

const change = <S>(state: SessionState<S>, at: number, entry: Entry): Partial<SessionState<S>> => {
  switch (entry._tag) {
    case "SessionCreated":
      return {
        agent: entry.agent,
        agentVersion: entry.agentVersion,
        attributes: entry.attributes,
        createdAt: at
      }
    case "CommandAccepted":
      switch (entry.command._tag) {
        case "Send":
          return {
            queue: [...state.queue, entry.id],
            ...(entry.command.whenBusy === "interrupt"
              ? stopping(state, { _tag: "Interrupt", reason: "a newer message came" })
              : undefined)
          }
        case "Interrupt":
          return stopping(state, { _tag: "Interrupt", reason: entry.command.reason })
        case "Cancel":
          return {
            ...stopping(state, { _tag: "Cancel", reason: entry.command.reason }),
            cancelled: { reason: entry.command.reason }
          }
      }
      break
    case "TurnStarted":
      return {
        turns: entry.turn,
        queue: state.queue.filter((id) => id !== entry.command),
        turn: {
          turn: entry.turn,
          command: entry.command,
          startedAt: at,
          steps: 0,
          modelCalls: 0,
          toolCalls: 0,
          usage: Usage.zero,
          stopping: null
        }
      }
    case "StepIntended":
      return {
        open: { ...state.open, [entry.step]: openStep(entry, at) },
        steps: state.steps + 1,
        lastTool: entry.kind === "tool" ? entry.name : state.lastTool,
        turn: state.turn && {
          ...state.turn,
          steps: state.turn.steps + 1,
          modelCalls: state.turn.modelCalls + (entry.kind === "model" ? 1 : 0),
          toolCalls: state.turn.toolCalls + (entry.kind === "tool" ? 1 : 0)
        }
      }
    case "StepProgress": {
      const step = state.open[entry.step]
      return step === undefined ? {} : { open: { ...state.open, [entry.step]: { ...step, partial: entry.partial } } }
    }
    case "AttemptFailed": {
      const step = state.open[entry.step]
      return step === undefined
        ? {}
        : { ...used(state, entry.usage), open: { ...state.open, [entry.step]: nextAttempt(step, entry) } }
    }
    case "StepSucceeded":
    case "StepFailed":
      return closeStep(state, entry.step, entry.usage)
    case "StepInDoubt":
      return closeStep(state, entry.step, undefined)
    case "TimerSet":
      return { timers: { ...state.timers, [entry.timer]: entry.due } }
    case "TimerCleared":
      return { timers: without(state.timers, entry.timer) }
    case "TimerFired":
      return {
        timers: without(state.timers, entry.timer),
        ...(state.turn !== null && entry.timer === wallTimer(state.turn.turn) ? stopping(state, { _tag: "Wall" }) : {})
      }
    case "Noted":
      return {}
    case "TurnEnded":
      return { turn: null, open: {} }
    case "SessionEnded":
      return { ended: entry.outcome, turn: null, open: {}, queue: [], timers: {} }
  }
  return {}
}

/** The session's state after one more entry. */
export const evolve = <S>(
  behaviour: Pick<Behaviour<S>, "evolve">,
  state: SessionState<S>,
  at: number,
  entry: Entry
): SessionState<S> => ({
  ...state,
  ...change(state, at, entry),
  seq: state.seq + 1,
  updatedAt: at,
  behaviour: behaviour.evolve(state.behaviour, entry)
})

/** The fold itself. */
export const fold = <S>(
  behaviour: Pick<Behaviour<S>, "evolve">,
  state: SessionState<S>,
  entries: Iterable<Pick<Recorded, "at" | "entry">>
): SessionState<S> => {
  let current = state
  for (const { at, entry } of entries) current = evolve(behaviour, current, at, entry)
  return current
}

/** Whether the session has work to do without a new command. */
export const isActive = (state: SessionState): boolean =>
  state.ended === null && (state.turn !== null || state.queue.length > 0 || state.cancelled !== null)
