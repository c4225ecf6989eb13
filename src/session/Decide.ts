/**
 * What happens next: pure functions from state to entries.
 *
 * - I5: a step that was running when its runner died runs again only if that is harmless; else it is in doubt.
 * - I8: no step is intended beyond a limit; a turn that has met one ends when its open steps have.
 */
import type { Command, Entry, Limit, StepKind, TurnOutcome } from "../domain/Entry.ts"
import type { Failure } from "../domain/Failure.ts"
import type { StepId } from "../domain/Id.ts"
import { totalTokens } from "../domain/Usage.ts"
import type { Policy } from "../resilience/index.ts"
import type { Action, Behaviour, Limits } from "./Behaviour.ts"
import { judged } from "./internal/judged.ts"
import { type OpenStep, type SessionState, type Turn, wallTimer } from "./State.ts"

/** What the runner has room for, as data. */
export interface Admission {
  /** How many steps of this pool may begin now. */
  readonly free: (pool: string) => number
}

/** A step that wants to begin and has no slot of its pool yet. */
export interface Waiting {
  readonly pool: string
  readonly kind: StepKind
  readonly name: string
  /** `null` where it is its first attempt: that is not intended before it has its slot (I5). */
  readonly step: StepId | null
  readonly attempt: number
}

/** What follows from a state. */
export interface Plan {
  readonly entries: ReadonlyArray<Entry>
  readonly waiting: ReadonlyArray<Waiting>
}

/** Room for everything. */
export const unlimited: Admission = { free: () => Number.POSITIVE_INFINITY }

/** The pool of a step: the one of its kind, unless the behaviour says otherwise. `heavy@gpu`: of runners with the tag. */
export const poolOf = (behaviour: Pick<Behaviour, "pool" | "runsOn">, kind: StepKind, name: string): string => {
  const pool = behaviour.pool?.(kind, name) ?? kind
  const tag = behaviour.runsOn?.(kind, name)
  return tag === undefined ? pool : `${pool}@${tag}`
}

const nobody: ReadonlyArray<Waiting> = []
const nothing: Plan = { entries: [], waiting: nobody }
const just = (entries: ReadonlyArray<Entry>): Plan => (entries.length === 0 ? nothing : { entries, waiting: nobody })

const intend = (state: SessionState, action: Extract<Action, { _tag: "Step" }>, offset: number): Entry => ({
  _tag: "StepIntended",
  step: String(state.steps + 1 + offset) as StepId,
  turn: state.turn!.turn,
  kind: action.kind,
  name: action.name,
  input: action.input,
  repeatable: action.repeatable
})

/** The limit that forbids one more step of this kind, if any. */
export const exceeded = (
  turn: Turn,
  limits: Limits,
  next: { readonly steps: number; readonly modelCalls: number; readonly toolCalls: number }
): { readonly limit: Limit; readonly allowed: number; readonly used: number } | null => {
  const rows: ReadonlyArray<readonly [Limit, number, number, boolean]> = [
    ["steps", limits.steps, turn.steps, turn.steps + next.steps > limits.steps],
    ["modelCalls", limits.modelCalls, turn.modelCalls, turn.modelCalls + next.modelCalls > limits.modelCalls],
    ["toolCalls", limits.toolCalls, turn.toolCalls, turn.toolCalls + next.toolCalls > limits.toolCalls],
    ["tokens", limits.tokens, totalTokens(turn.usage), totalTokens(turn.usage) >= limits.tokens],
    ["usd", limits.usd, turn.usage.usd ?? 0, (turn.usage.usd ?? 0) >= limits.usd]
  ]
  for (const [limit, allowed, used, over] of rows) if (over) return { limit, allowed, used }
  return null
}

const endTurn = (state: SessionState, outcome: TurnOutcome): ReadonlyArray<Entry> => {
  const turn = state.turn!.turn
  const timer = wallTimer(turn)
  return [
    ...(timer in state.timers ? [{ _tag: "TimerCleared", timer } as const] : []),
    { _tag: "TurnEnded", turn, outcome }
  ]
}

/** Entries of a turn's end that was asked for; none while steps are still being stopped. */
const stopTurn = (state: SessionState, turn: Turn, limits: Limits, now: number): ReadonlyArray<Entry> => {
  if (Object.keys(state.open).length > 0) return []
  const why = turn.stopping!
  switch (why._tag) {
    case "Interrupt":
      return endTurn(state, { _tag: "Interrupted", ...(why.reason === undefined ? {} : { reason: why.reason }) })
    case "Cancel":
      return endTurn(state, { _tag: "Interrupted", reason: "the session was cancelled" })
    case "Wall":
      return endTurn(state, { _tag: "LimitReached", limit: "wall", allowed: limits.wallMs, used: now - turn.startedAt })
  }
}

/** Entries of a session that is between turns: its end, or its next turn's beginning. */
const rest = (state: SessionState, limits: Limits, now: number): ReadonlyArray<Entry> => {
  if (state.cancelled !== null) {
    const { reason } = state.cancelled
    return [{ _tag: "SessionEnded", outcome: { _tag: "Cancelled", ...(reason === undefined ? {} : { reason }) } }]
  }
  const next = state.queue[0]
  if (next === undefined) return []
  const number = state.turns + 1
  return [
    { _tag: "TurnStarted", turn: number, command: next },
    ...(Number.isFinite(limits.wallMs)
      ? [{ _tag: "TimerSet", timer: wallTimer(number), due: now + limits.wallMs } as const]
      : [])
  ]
}

/**
 * What follows from the state now: entries, to be appended together with what led to them, and the steps that wait for
 * room. Call it until it returns no entries.
 */
export const plan = <S>(
  behaviour: Behaviour<S>,
  state: SessionState<S>,
  now: number,
  room: Admission = unlimited,
  limits: Limits = behaviour.limits
): Plan => {
  if (state.ended !== null) return nothing
  const turn = state.turn
  if (turn === null) return just(rest(state, limits, now))
  if (turn.stopping !== null) return just(stopTurn(state, turn, limits, now))

  const entries: Array<Entry> = []
  const waiting: Array<Waiting> = []
  const next = { steps: 0, modelCalls: 0, toolCalls: 0 }
  let used: Map<string, number> | null = null
  let intended = 0
  for (const action of behaviour.decide(state.behaviour, state)) {
    switch (action._tag) {
      case "Note":
        entries.push({ _tag: "Noted", kind: action.kind, detail: action.detail })
        break
      case "EndTurn":
        return just([...entries, ...endTurn(state, { _tag: "Completed", output: action.output })])
      case "FailTurn":
        return just([...entries, ...endTurn(state, { _tag: "Failed", failure: action.failure })])
      case "Step": {
        next.steps++
        if (action.kind === "model") next.modelCalls++
        if (action.kind === "tool") next.toolCalls++
        const limit = exceeded(turn, limits, next)
        if (limit !== null) {
          // What is open or waits goes on to its end. The turn ends when the last outcome has come.
          if (next.steps > 1 || Object.keys(state.open).length > 0) return settled(entries, intended, waiting)
          return just([
            ...entries,
            { _tag: "Noted", kind: "limit", detail: { ...limit } },
            ...endTurn(state, { _tag: "LimitReached", ...limit })
          ])
        }
        const { kind, name } = action
        const pool = poolOf(behaviour, kind, name)
        const taken: number = used?.get(pool) ?? 0
        if (taken < room.free(pool)) {
          used = (used ?? new Map<string, number>()).set(pool, taken + 1)
          entries.push(intend(state, action, intended))
          intended++
        } else {
          waiting.push({ pool, kind, name, step: null, attempt: 1 })
        }
      }
    }
  }
  return settled(entries, intended, waiting)
}

/** Notes about steps that all wait come with the first of these. */
const settled = (entries: ReadonlyArray<Entry>, intended: number, waiting: ReadonlyArray<Waiting>): Plan => ({
  entries: intended === 0 && waiting.length > 0 ? [] : entries,
  waiting
})

/** {@link plan}'s entries where there is room for everything. */
export const decide = <S>(
  behaviour: Behaviour<S>,
  state: SessionState<S>,
  now: number,
  limits: Limits = behaviour.limits
): ReadonlyArray<Entry> => plan(behaviour, state, now, unlimited, limits).entries

/**
 * What a runner that takes over finds open: attempts that were running when the last one died (I5). The policy bounds how
 * often: a step that kills its runner each time must not do so for ever. A step that waits for its next attempt keeps
 * waiting until then, under a new number where it may be repeated: no two attempts are the same one.
 */
export const recover = (state: SessionState, now: number, policy: Policy.Judge): ReadonlyArray<Entry> =>
  Object.values(state.open).flatMap((step): ReadonlyArray<Entry> => {
    // Whoever decides has not: it runs nowhere.
    if (step.held === true) return []
    // The clock of whoever wrote last may have been ahead of ours: what was due by that one may have begun.
    if (step.attempt > 1 && step.dueAt > Math.max(now, state.updatedAt)) return renumbered(step, now)
    return [interrupted(step, state.turn?.stopping != null, now, policy)]
  })

/** By the clock of a runner that was ahead of ours it may have begun all the same, which is not in the journal. */
const renumbered = (step: OpenStep, now: number): ReadonlyArray<Entry> =>
  step.repeatable === "never"
    ? []
    : [
        {
          _tag: "AttemptFailed",
          step: step.step,
          attempt: step.attempt,
          startedAt: now,
          failure: { class: "RunnerLost", message: "the runner was lost while this attempt waited for its time" },
          retryAt: step.dueAt,
          nextInput: step.nextInput
        }
      ]

const lost: Failure = { class: "RunnerLost", message: "the runner died while this attempt was running" }

const interrupted = (step: OpenStep, stopping: boolean, now: number, policy: Policy.Judge): Entry =>
  step.repeatable === "never"
    ? { _tag: "StepInDoubt", step: step.step, attempt: step.attempt }
    : judged(
        policy,
        step,
        { failure: lost, partial: step.partial, usage: undefined, random: 0, startedAt: step.dueAt },
        stopping,
        now
      )

/** Why a command is not accepted now, if it is not; nothing of it is journaled then. */
export const refuse = (state: SessionState, command: Command, capacity: number): "closed" | "busy" | "full" | null => {
  if (state.ended !== null || state.cancelled !== null) return command._tag === "Send" ? "closed" : null
  if (command._tag !== "Send") return null
  const busy = state.turn !== null || state.queue.length > 0
  if (busy && command.whenBusy === "reject") return "busy"
  if (state.queue.length >= capacity) return "full"
  return null
}
