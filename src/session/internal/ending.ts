/** How turns and sessions end, and what is said when a turn's budget is used up or nearly so (I8). Pure. */
import type { Entry, TurnOutcome } from "../../domain/Entry.ts"
import type { Bounds, Limits } from "../Behaviour.ts"
import * as Budget from "../Budget.ts"
import * as Pause from "../Pause.ts"
import { type SessionState, type Turn, wallTimer } from "../State.ts"

/** The end of a turn, and of its timers. */
export const endTurn = (state: SessionState, outcome: TurnOutcome): ReadonlyArray<Entry> => {
  const { pauses, turn } = state.turn!
  const timers = [wallTimer(turn), ...pauses.map(({ pause }) => Pause.timerOf(pause))]
  return [
    ...timers.filter((timer) => timer in state.timers).map((timer) => ({ _tag: "TimerCleared", timer }) as const),
    { _tag: "TurnEnded", turn, outcome }
  ]
}

/** A limit is met, and nothing is open: the turn ends, or somebody is asked. What a parent has given is not to be raised. */
export const meet = (
  state: SessionState,
  bounds: Bounds | undefined,
  met: Budget.Met,
  now: number
): ReadonlyArray<Entry> => {
  const { scope, ...rest } = met
  const outcome: TurnOutcome = { _tag: "LimitReached", ...rest, ...(scope === "turn" ? {} : { scope }) }
  const noted: Entry = { _tag: "Noted", kind: "limit", detail: { ...met } }
  return bounds?.asking !== undefined && scope !== "parent"
    ? [noted, ...Pause.begin(state, bounds, now, { kind: "budget", detail: { ...met }, otherwise: outcome })]
    : [noted, ...endTurn(state, outcome)]
}

/** The time that is up: the turn's, or its session's. */
const timeUp = (
  state: SessionState,
  turn: Turn,
  limits: Limits,
  bounds: Bounds | undefined,
  now: number
): Budget.Met => {
  const accounts = Budget.accounts(state, turn, limits, bounds, now)
  const over = accounts.find(({ allowed, used }) => used.wallMs >= allowed.wallMs) ?? accounts[0]!
  return { limit: "wall", allowed: over.allowed.wallMs, used: over.used.wallMs, scope: over.scope }
}

/** Entries of a turn's end that was asked for; none while steps are still being stopped. */
export const stopTurn = (
  state: SessionState,
  turn: Turn,
  limits: Limits,
  bounds: Bounds | undefined,
  now: number
): ReadonlyArray<Entry> => {
  if (Object.keys(state.open).length > 0) return []
  const why = turn.stopping!
  switch (why._tag) {
    case "Interrupt":
      return endTurn(state, { _tag: "Interrupted", ...(why.reason === undefined ? {} : { reason: why.reason }) })
    case "Cancel":
      return endTurn(state, { _tag: "Interrupted", reason: "the session was cancelled" })
    case "Wall":
      return meet(state, bounds, timeUp(state, turn, limits, bounds, now), now)
  }
}

const whyNot = (done: Exclude<TurnOutcome, { _tag: "Completed" | "Failed" }>): string => {
  switch (done._tag) {
    case "Interrupted":
      return "it was interrupted"
    case "LimitReached":
      return `its budget of ${done.limit} was used up: ${done.used} of ${done.allowed}`
    case "Looped":
      return `it went in circles for ${done.rounds} answers of its model`
  }
}

/** How a child's session ends: with its only turn. */
const endOfChild = (done: TurnOutcome): Entry => ({
  _tag: "SessionEnded",
  outcome:
    done._tag === "Completed"
      ? done
      : {
          _tag: "Failed",
          failure: done._tag === "Failed" ? done.failure : { class: "Stopped", message: whyNot(done) }
        }
})

/** Entries of a session that is between turns: its end, or its next turn's beginning. */
export const rest = (state: SessionState): ReadonlyArray<Entry> => {
  if (state.cancelled !== null) {
    const { reason } = state.cancelled
    return [{ _tag: "SessionEnded", outcome: { _tag: "Cancelled", ...(reason === undefined ? {} : { reason }) } }]
  }
  if (state.done !== null) return [endOfChild(state.done)]
  const next = state.queue[0]
  return next === undefined ? [] : [{ _tag: "TurnStarted", turn: state.turns + 1, command: next }]
}

/** The timer of the turn's time, where it is not what it should be: at the turn's begin, and when its limits change. */
export const keepTime = (
  state: SessionState,
  turn: Turn,
  limits: Limits,
  bounds: Bounds | undefined
): ReadonlyArray<Entry> => {
  const timer = wallTimer(turn.turn)
  const due = Budget.wallDue(state, turn, limits, bounds)
  if (due === null || state.timers[timer] === due) return []
  return [{ _tag: "TimerSet", timer, due }]
}

/** What is told once, when the budget nears its end: by which limit, and how much of it is left. */
export const nearEnd = (accounts: ReadonlyArray<Budget.Account>, at: number, calls: number) => {
  for (const { allowed, scope, used } of accounts) {
    for (const key of Budget.keys) {
      const left = allowed[key] - used[key]
      const isNear =
        key === "modelCalls" || key === "steps"
          ? left <= calls
          : key === "toolCalls"
            ? left < 1
            : used[key] >= at * allowed[key]
      if (isNear) return { limit: Budget.nameOf(key), allowed: allowed[key], used: used[key], scope }
    }
  }
  return null
}
