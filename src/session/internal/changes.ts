/** Changes of a session's state that several entries lead to, or that touch several parts of it. Pure. */
import type { Amounts, CommandAccepted, Resumed, StepFailed, TurnStarted } from "../../domain/Entry.ts"
import type { StepId, TimerId } from "../../domain/Id.ts"
import * as Usage from "../../domain/Usage.ts"
import * as Budget from "../Budget.ts"
import * as Pause from "../Pause.ts"
import type { SessionState, Stopping, Turn } from "../State.ts"

export const wallTimer = (turn: number): TimerId => `wall:${turn}` as TimerId

export const without = <V>(record: Readonly<Record<string, V>>, key: string): Readonly<Record<string, V>> => {
  const { [key]: _, ...rest } = record
  return rest
}

export const stopping = <S>(state: SessionState<S>, why: Stopping): Partial<SessionState<S>> =>
  state.turn === null || state.turn.stopping?._tag === "Cancel" ? {} : { turn: { ...state.turn, stopping: why } }

export const used = <S>(state: SessionState<S>, usage: Usage.Usage | undefined): Partial<SessionState<S>> =>
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

/** A child's outcome: what it has used stays used, the rest of its share comes back. */
export const settled = <S>(
  before: SessionState<S>,
  entry: Pick<StepFailed, "step" | "usage" | "drawn">
): Partial<SessionState<S>> => {
  const reserved = before.open[entry.step]?.reserved
  if (reserved === undefined) return closeStep(before, entry.step, entry.usage)
  // Nobody knows what it has used: all of it, for all that can be said.
  const usage = entry.usage ?? Budget.wholeUsage(reserved)
  const { modelCalls, steps, toolCalls } = entry.drawn ?? Budget.wholeCounts(reserved)
  const after = closeStep(before, entry.step, usage)
  const plus = <A extends { readonly steps: number; readonly modelCalls: number; readonly toolCalls: number }>(
    a: A
  ) => ({
    ...a,
    steps: a.steps + steps,
    modelCalls: a.modelCalls + modelCalls,
    toolCalls: a.toolCalls + toolCalls
  })
  return {
    ...after,
    used: plus(before.used),
    turn: after.turn == null ? before.turn && plus(before.turn) : plus(after.turn)
  }
}

/** What is noted when a turn is told that its budget nears its end. */
export const lastWords = "lastWords"

export const fired = <S>({ turn, ...state }: SessionState<S>, timer: TimerId): Partial<SessionState<S>> => {
  if (turn === null) return {}
  if (timer === wallTimer(turn.turn)) return stopping({ ...state, turn }, { _tag: "Wall" })
  const pause = turn.pauses.find((one) => Pause.timerOf(one.pause) === timer)
  return pause === undefined ? {} : { turn: Pause.answered(turn, pause.pause, pause.atDeadline, null) }
}

/** A pause is over. A step that it held goes on, or fails by an entry of its own. */
export const goneOn = <S>(state: SessionState<S>, at: number, entry: Resumed): Partial<SessionState<S>> => {
  const { raised = {} } = entry
  const more = (before: Amounts) => Budget.asAmounts(Budget.plus(Budget.plus(Budget.nothing, before), raised))
  const held = state.turn?.pauses.find(({ pause }) => pause === entry.pause)?.held ?? null
  const step = held === null || entry.decision === "end" ? undefined : state.open[held]
  return {
    raised: more(state.raised),
    turn: state.turn && { ...Pause.resumed(state.turn, at, entry.pause), raised: more(state.turn.raised) },
    ...(step === undefined ? {} : { open: { ...state.open, [step.step]: { ...step, held: false, dueAt: at } } })
  }
}

/** A turn begins. */
export const begun = (entry: TurnStarted, at: number): Turn => ({
  turn: entry.turn,
  command: entry.command,
  startedAt: at,
  steps: 0,
  modelCalls: 0,
  toolCalls: 0,
  usage: Usage.zero,
  stopping: null,
  activeMs: 0,
  since: at,
  raised: {},
  pauses: [],
  told: false
})

/** A command was accepted. */
export const commanded = <S>(state: SessionState<S>, { command, id }: CommandAccepted): Partial<SessionState<S>> => {
  switch (command._tag) {
    case "Send":
      return {
        queue: [...state.queue, id],
        ...(command.whenBusy === "interrupt"
          ? stopping(state, { _tag: "Interrupt", reason: "a newer message came" })
          : undefined)
      }
    case "Interrupt":
      return stopping(state, { _tag: "Interrupt", reason: command.reason })
    case "Cancel":
      return {
        ...stopping(state, { _tag: "Cancel", reason: command.reason }),
        cancelled: { reason: command.reason }
      }
    case "Raise":
      return {
        raised: Budget.asAmounts(Budget.plus(Budget.plus(Budget.nothing, state.raised), command.by)),
        turn: state.turn && Pause.raised(state.turn, command.by, id)
      }
    case "Decide":
      return {
        turn: state.turn && Pause.answered(state.turn, command.pause, command.decision, id)
      }
    case "Revive":
      return { turn: state.turn && Pause.answeredOf(state.turn, command.step, "proceed", id) }
    case "Discard":
      return { turn: state.turn && Pause.answeredOf(state.turn, command.step, "end", id) }
  }
  return {}
}
