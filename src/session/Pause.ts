/**
 * Pauses: the turn waits until somebody decides whether it goes on. Pure.
 *
 * A pause has a name, a reason, and what happens if it is not lifted. It is decided once (I9): by a command, by its
 * deadline, or by a raise that gives the budget what it lacked. What stops the turn ends its pauses with it.
 */
import type { Amounts, Decision, Entry, LimitScope, Paused, TurnOutcome } from "../domain/Entry.ts"
import type { Failure } from "../domain/Failure.ts"
import type { CommandId, StepId, TimerId } from "../domain/Id.ts"
import type { Json } from "../domain/Json.ts"
import type { Bounds, Limits } from "./Behaviour.ts"
import * as Budget from "./Budget.ts"
import type { OpenStep, SessionState, Turn } from "./State.ts"

export interface Pause {
  readonly pause: string
  readonly kind: string
  readonly detail: Json
  /** Milliseconds since the epoch. */
  readonly since: number
  readonly otherwise: TurnOutcome | null
  readonly held: StepId | null
  readonly deadline: number | null
  readonly atDeadline: Decision
  /** What was decided and is not acted on yet. `command` is `null` where the deadline decided. */
  readonly answer: { readonly decision: Decision; readonly command: CommandId | null } | null
}

/** Why a step is held: its attempts are used up and it ends its runner, or nobody knows what became of it. */
export const parked = "parked"
export const doubt = "doubt"

export const timerOf = (pause: string): TimerId => `pause:${pause}` as TimerId

/** Whether nothing happens before somebody decides: no step is at work, and none is to be stopped. */
export const isWaiting = (state: SessionState): boolean => {
  const { turn } = state
  if (turn === null || turn.pauses.length === 0 || turn.stopping !== null) return false
  if (turn.pauses.some(({ answer }) => answer !== null)) return false
  for (const id in state.open) if (state.open[id]!.held !== true) return false
  return true
}

/** The pause that can be decided now, by its name. */
export const undecided = (state: SessionState, pause: string): Pause | null => {
  const { turn } = state
  if (turn === null || turn.stopping !== null) return null
  return turn.pauses.find((one) => one.pause === pause && one.answer === null) ?? null
}

// --- The fold ---

/** A turn in which something else was decided of one of its pauses. */
export const answered = (turn: Turn, pause: string, decision: Decision, command: CommandId | null): Turn => ({
  ...turn,
  pauses: turn.pauses.map((one) =>
    one.pause === pause && one.answer === null ? { ...one, answer: { decision, command } } : one
  )
})

/** Whether a step, any where none is named, waits for somebody to say whether it is tried again. */
export const holds = (state: SessionState, step: StepId | undefined): boolean => {
  const { turn } = state
  if (turn === null || turn.stopping !== null) return false
  return turn.pauses.some((one) => isOf(one, step))
}

const isOf = ({ answer, held, kind }: Pause, step: StepId | undefined): boolean =>
  held !== null && answer === null && (step === undefined ? kind !== doubt : held === step)

/** A turn in which it was decided of one of the steps that it holds, or of all but those in doubt. */
export const answeredOf = (turn: Turn, step: StepId | undefined, decision: Decision, command: CommandId): Turn => ({
  ...turn,
  pauses: turn.pauses.map((one) => (isOf(one, step) ? { ...one, answer: { decision, command } } : one))
})

/** A pause for a budget, after more was allowed. */
const raisedBy = (pause: Pause, by: Amounts, command: CommandId): Pause => {
  const { otherwise } = pause
  if (otherwise?._tag !== "LimitReached" || otherwise.scope === "parent" || pause.answer !== null) return pause
  const key = Budget.keyOf(otherwise.limit)
  const allowed = otherwise.allowed + (by[key] ?? 0)
  return {
    ...pause,
    otherwise: { ...otherwise, allowed },
    answer: Budget.isOver(key, allowed, otherwise.used, 1) ? null : { decision: "proceed", command }
  }
}

export const raised = (turn: Turn, by: Amounts, command: CommandId): Turn => ({
  ...turn,
  raised: Budget.asAmounts(Budget.plus(Budget.plus(Budget.nothing, turn.raised), by)),
  pauses: turn.pauses.map((pause) => raisedBy(pause, by, command))
})

/** Its time stands still. That time was up is what the pause is about, where it is. */
export const paused = (turn: Turn, at: number, entry: Paused): Turn => ({
  ...turn,
  activeMs: Budget.age(turn, at),
  since: null,
  stopping: turn.stopping?._tag === "Wall" ? null : turn.stopping,
  pauses: [
    ...turn.pauses,
    {
      pause: entry.pause,
      kind: entry.kind,
      detail: entry.detail,
      since: at,
      otherwise: entry.otherwise ?? null,
      held: entry.held ?? null,
      deadline: entry.deadline ?? null,
      atDeadline: entry.atDeadline ?? "end",
      answer: null
    }
  ]
})

export const resumed = (turn: Turn, at: number, pause: string): Turn => {
  const pauses = turn.pauses.filter((one) => one.pause !== pause)
  return { ...turn, pauses, since: pauses.length === 0 ? at : null }
}

// --- What follows ---

/** A step that waits for somebody's decision is what a pause is about. */
export const hold = (
  state: SessionState,
  turn: Turn,
  bounds: Bounds | undefined,
  now: number
): ReadonlyArray<Entry> => {
  for (const id in state.open) {
    const { held, kind, name, step, why } = state.open[id]!
    if (held !== true || turn.pauses.some((pause) => pause.held === step)) continue
    const { decided, failure } = why ?? {}
    const detail = {
      step,
      stepKind: kind,
      name,
      ...(failure === undefined ? {} : { class: failure.class, message: failure.message }),
      ...(decided?.question === undefined ? {} : { question: decided.question })
    }
    const reason = decided?.policy === doubt ? doubt : failure?.class === "RunnerLost" ? parked : "failure"
    return begin(state, bounds, now, { kind: reason, detail, held: step })
  }
  return []
}

/** A pause begins. */
export const begin = (
  state: SessionState,
  bounds: Bounds | undefined,
  now: number,
  what: Pick<Paused, "kind" | "detail" | "otherwise" | "held">
): ReadonlyArray<Entry> => {
  const pause = `p${state.pauses + 1}`
  const wall = `wall:${state.turn!.turn}` as TimerId
  const { atDeadline, deadlineMs = null } = bounds?.asking ?? {}
  const deadline = deadlineMs === null ? null : now + deadlineMs
  return [
    ...(wall in state.timers ? [{ _tag: "TimerCleared", timer: wall } as const] : []),
    {
      _tag: "Paused",
      pause,
      ...what,
      ...(deadline === null ? {} : { deadline, atDeadline: atDeadline ?? "end" })
    },
    ...(deadline === null ? [] : [{ _tag: "TimerSet", timer: timerOf(pause), due: deadline } as const])
  ]
}

/** What somebody allows who lets a turn go on that has used up its budget, and does not say how much: as much again. */
const asMuchAgain = (pause: Pause, limits: Limits, bounds: Bounds | undefined): Amounts | null => {
  const { otherwise } = pause
  if (otherwise?._tag !== "LimitReached") return null
  const key = Budget.keyOf(otherwise.limit)
  if (!Budget.isOver(key, otherwise.allowed, otherwise.used, 1)) return null
  const whole: Readonly<Record<LimitScope, number>> = {
    turn: limits[key],
    session: bounds?.session?.[key] ?? 0,
    parent: 0
  }
  return { [key]: Math.max(0, otherwise.used - otherwise.allowed) + whole[otherwise.scope ?? "turn"] }
}

/** A pause is lifted. */
export const over = (
  state: SessionState,
  { pause }: Pause,
  decision: Decision,
  command: CommandId | null,
  raised: Amounts | null = null
): ReadonlyArray<Entry> => {
  const timer = timerOf(pause)
  return [
    ...(timer in state.timers ? [{ _tag: "TimerCleared", timer } as const] : []),
    {
      _tag: "Resumed",
      pause,
      decision,
      ...(command === null ? {} : { command }),
      ...(raised === null ? {} : { raised })
    }
  ]
}

const notAllowed: Failure = { class: "Stopped", message: "it was decided not to try again" }

const heldStep = (state: SessionState, pause: Pause): OpenStep | undefined =>
  pause.held === null ? undefined : state.open[pause.held]

/** Acts on the first pause that is decided; `end` ends the turn where there is no step to fail. */
export const follow = (
  state: SessionState,
  turn: Turn,
  limits: Limits,
  bounds: Bounds | undefined,
  now: number,
  end: (outcome: TurnOutcome) => ReadonlyArray<Entry>
): ReadonlyArray<Entry> => {
  const pause = turn.pauses.find(({ answer }) => answer !== null)
  if (pause === undefined) return []
  const { command, decision } = pause.answer!
  const more = decision === "proceed" ? asMuchAgain(pause, limits, bounds) : null
  const lifted = over(state, pause, decision, command, more)
  if (decision === "proceed") return lifted
  const step = heldStep(state, pause)
  if (step !== undefined) {
    if (pause.kind === doubt) return [...lifted, { _tag: "StepInDoubt", step: step.step, attempt: step.attempt }]
    const failure = step.why?.failure ?? notAllowed
    return [...lifted, { _tag: "StepFailed", step: step.step, attempt: step.attempt, startedAt: now, failure }]
  }
  return pause.otherwise === null ? lifted : [...lifted, ...end(pause.otherwise)]
}
