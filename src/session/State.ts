/**
 * A session's state: a pure fold of its journal.
 *
 * This module knows commands, turns, steps, limits and timers; what the turns are about is the behaviour's. State is
 * plain JSON: it is snapshotted as it is.
 */
import type { Amounts, Entry, Recorded, SessionOutcome, TurnOutcome } from "../domain/Entry.ts"
import type { CommandId } from "../domain/Id.ts"
import * as Usage from "../domain/Usage.ts"
import type { Behaviour } from "./Behaviour.ts"
import * as Budget from "./Budget.ts"
import * as Doubt from "./Doubt.ts"
import { begun, commanded, fired, goneOn, lastWords, settled, used, without } from "./internal/changes.ts"
import * as OpenSteps from "./OpenStep.ts"
import type { OpenStep } from "./OpenStep.ts"
import * as Pause from "./Pause.ts"

export { lastWords, wallTimer } from "./internal/changes.ts"
export type { OpenStep } from "./OpenStep.ts"

export interface Turn {
  readonly turn: number
  readonly command: CommandId
  readonly startedAt: number
  /** What its children have done is counted with what it has itself. */
  readonly steps: number
  readonly modelCalls: number
  readonly toolCalls: number
  readonly usage: Usage.Usage
  /** How long it had been running and not paused, in milliseconds, until `since`; `null` while it is paused. */
  readonly activeMs: number
  readonly since: number | null
  /** What was allowed beyond its limits. */
  readonly raised: Amounts
  readonly pauses: ReadonlyArray<Pause.Pause>
  /** It was told that its budget nears its end. */
  readonly told: boolean
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
  /** Of all turns, with what their children have done; `activeMs`: of those that have ended. Usage is in `usage`. */
  readonly used: {
    readonly steps: number
    readonly modelCalls: number
    readonly toolCalls: number
    readonly activeMs: number
  }
  /** What was allowed beyond the session's limits. */
  readonly raised: Amounts
  /** How many pauses have begun. */
  readonly pauses: number
  /** What a parent has set aside for this session; `null` for one without. */
  readonly budget: Amounts | null
  /** Of a child: how its only turn has ended. */
  readonly done: TurnOutcome | null
  readonly isChild: boolean
  readonly timers: Readonly<Record<string, number>>
  /** Steps that have ended in doubt, and of which nobody has said more. */
  readonly doubts: Doubt.Doubts
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
  used: { steps: 0, modelCalls: 0, toolCalls: 0, activeMs: 0 },
  raised: {},
  pauses: 0,
  budget: null,
  done: null,
  isChild: false,
  timers: {},
  doubts: {},
  usage: Usage.zero,
  cancelled: null,
  ended: null,
  behaviour: behaviour.initial
})

const change = <S>(state: SessionState<S>, at: number, entry: Entry): Partial<SessionState<S>> => {
  switch (entry._tag) {
    case "SessionCreated":
      return {
        agent: entry.agent,
        agentVersion: entry.agentVersion,
        attributes: entry.attributes,
        createdAt: at,
        budget: entry.budget ?? null,
        isChild: entry.parent !== undefined
      }
    case "CommandAccepted":
      return commanded(state, entry)
    case "TurnStarted":
      return {
        turns: entry.turn,
        queue: state.queue.filter((id) => id !== entry.command),
        turn: begun(entry, at)
      }
    case "StepIntended":
      return {
        open: { ...state.open, [entry.step]: OpenSteps.intended(entry, at) },
        steps: state.steps + 1,
        lastTool: entry.kind === "tool" ? entry.name : state.lastTool,
        used: {
          ...state.used,
          steps: state.used.steps + 1,
          modelCalls: state.used.modelCalls + (entry.kind === "model" ? 1 : 0),
          toolCalls: state.used.toolCalls + (entry.kind === "tool" ? 1 : 0)
        },
        turn: state.turn && {
          ...state.turn,
          steps: state.turn.steps + 1,
          modelCalls: state.turn.modelCalls + (entry.kind === "model" ? 1 : 0),
          toolCalls: state.turn.toolCalls + (entry.kind === "tool" ? 1 : 0)
        }
      }
    case "StepProgress": {
      const step = state.open[entry.step]
      return step === undefined ? {} : { open: { ...state.open, [entry.step]: OpenSteps.progressed(step, entry) } }
    }
    case "AttemptFailed": {
      const step = state.open[entry.step]
      return step === undefined
        ? {}
        : { ...used(state, entry.usage), open: { ...state.open, [entry.step]: OpenSteps.nextAttempt(step, entry) } }
    }
    case "StepSucceeded":
    case "StepFailed":
      return settled(state, entry)
    case "StepInDoubt":
      return { ...settled(state, entry), doubts: Doubt.begun(state, at, entry) }
    case "DoubtSettled":
      return { doubts: without(state.doubts, entry.step) }
    case "TimerSet":
      return { timers: { ...state.timers, [entry.timer]: entry.due } }
    case "TimerCleared":
      return { timers: without(state.timers, entry.timer) }
    case "TimerFired":
      return { timers: without(state.timers, entry.timer), ...fired(state, entry.timer) }
    case "Noted":
      return entry.kind === lastWords && state.turn !== null ? { turn: { ...state.turn, told: true } } : {}
    case "Paused":
      return { pauses: state.pauses + 1, turn: state.turn && Pause.paused(state.turn, at, entry) }
    case "Resumed":
      return goneOn(state, at, entry)
    case "TurnEnded":
      return {
        turn: null,
        open: {},
        used: { ...state.used, activeMs: state.used.activeMs + (state.turn === null ? 0 : Budget.age(state.turn, at)) },
        ...(state.isChild ? { done: entry.outcome } : undefined)
      }
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

/** Whether the session has work to do without a new command. One that is paused has none before its deadline. */
export const isActive = (state: SessionState): boolean =>
  state.ended === null &&
  (state.turn !== null || state.queue.length > 0 || state.cancelled !== null || state.done !== null) &&
  !Pause.isWaiting(state)

/** In a word. */
export const statusOf = (state: SessionState): "active" | "paused" | "resting" | "ended" =>
  state.ended !== null ? "ended" : Pause.isWaiting(state) ? "paused" : isActive(state) ? "active" : "resting"
