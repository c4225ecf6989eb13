/**
 * What happens next: pure functions from state to entries.
 *
 * - I5: a step that was running when its runner died runs again only if that is harmless; else it is in doubt.
 * - I8: no step is intended beyond a limit; a turn that has met one ends, or pauses, when its open steps have ended.
 */
import type { Amounts, Command, Entry, StepKind, TurnOutcome } from "../domain/Entry.ts"
import type { StepId } from "../domain/Id.ts"
import type { Action, Behaviour, Limits } from "./Behaviour.ts"
import * as Budget from "./Budget.ts"
import { endTurn, keepTime, meet, nearEnd, rest, stopTurn } from "./internal/ending.ts"
import * as Pause from "./Pause.ts"
import { lastWords, type SessionState } from "./State.ts"

export { recover } from "./internal/takeover.ts"

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

/**
 * The pool of a step: the one of its kind, unless the behaviour says otherwise. `heavy@gpu`: of runners with the tag.
 * `model!name`: with what the providers of such a step's models allow.
 */
export const poolOf = (
  behaviour: Pick<Behaviour, "pool" | "runsOn" | "chain">,
  kind: StepKind,
  name: string
): string => {
  const pool = behaviour.pool?.(kind, name) ?? kind
  if (kind === "model" && behaviour.chain !== undefined) return `${pool}!${name}`
  const tag = behaviour.runsOn?.(kind, name)
  return tag === undefined ? pool : `${pool}@${tag}`
}

/** The pool itself, and the step's name where providers have a say in it. */
export const partsOf = (pool: string): { readonly pool: string; readonly calls: string | null } => {
  const at = pool.indexOf("!")
  return at < 0 ? { pool, calls: null } : { pool: pool.slice(0, at), calls: pool.slice(at + 1) }
}

const nobody: ReadonlyArray<Waiting> = []
const nothing: Plan = { entries: [], waiting: nobody }
const just = (entries: ReadonlyArray<Entry>): Plan => (entries.length === 0 ? nothing : { entries, waiting: nobody })

type StepAction = Extract<Action, { _tag: "Step" }>

const intend = (state: SessionState, action: StepAction, offset: number, reserved: Amounts | null): Entry => ({
  _tag: "StepIntended",
  step: String(state.steps + 1 + offset) as StepId,
  turn: state.turn!.turn,
  kind: action.kind,
  name: action.name,
  input: action.input,
  repeatable: action.repeatable,
  ...(reserved === null ? {} : { reserved })
})

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
  const { bounds } = behaviour
  if (state.ended !== null) return nothing
  const turn = state.turn
  if (turn === null) return just(rest(state))
  if (turn.stopping !== null) return just(stopTurn(state, turn, limits, bounds, now))
  if (turn.pauses.length > 0) {
    const end = (outcome: TurnOutcome) => endTurn(state, outcome)
    const decided = Pause.follow(state, turn, limits, bounds, now, end)
    return just(decided.length > 0 ? decided : Pause.hold(state, turn, bounds, now))
  }
  const first = [...Pause.hold(state, turn, bounds, now), ...keepTime(state, turn, limits, bounds)]
  if (first.length > 0) return just(first)

  const accounts = Budget.accounts(state, turn, limits, bounds, now)
  const actions = behaviour.decide(state.behaviour, state)
  const entries: Array<Entry> = []
  const waiting: Array<Waiting> = []
  const wanted = { steps: 0, modelCalls: 0, toolCalls: 0 }
  let children = actions.filter((action) => action._tag === "Step" && action.share !== undefined).length
  let given = Budget.nothing
  let used: Map<string, number> | null = null
  let intended = 0
  for (const action of actions) {
    switch (action._tag) {
      case "Note":
        entries.push({ _tag: "Noted", kind: action.kind, detail: action.detail })
        break
      case "EndTurn":
        return just([...entries, ...endTurn(state, completed(action))])
      case "FailTurn": {
        // What was not tried again for want of money has not failed.
        const over = action.failure.class === "Stopped" ? Budget.met(accounts, wanted) : null
        return just([
          ...entries,
          ...(over === null
            ? endTurn(state, { _tag: "Failed", failure: action.failure })
            : meet(state, bounds, over, now))
        ])
      }
      case "Halt": {
        const { ask, detail, kind, outcome } = action
        return just([
          ...entries,
          ...(ask ? Pause.begin(state, bounds, now, { kind, detail, otherwise: outcome }) : endTurn(state, outcome))
        ])
      }
      case "Step": {
        const words = bounds?.lastWords
        if (action.kind === "model" && words !== undefined && !turn.told) {
          const near = turn.modelCalls === 0 ? null : nearEnd(accounts, words.at, words.calls)
          if (near !== null && Budget.met(accounts, { steps: 1, modelCalls: 1, toolCalls: 0 }) === null) {
            return just([...entries, { _tag: "Noted", kind: lastWords, detail: { ...near, final: words.final } }])
          }
        }
        wanted.steps++
        if (action.kind === "model") wanted.modelCalls++
        if (action.kind === "tool") wanted.toolCalls++
        let limit = Budget.met(accounts, given === Budget.nothing ? wanted : Budget.plus(given, wanted))
        if (limit === null && action.kind === "model" && bounds?.forecast === true) {
          limit = Budget.foreseen(accounts, behaviour.forecast?.(state.behaviour) ?? Budget.nothing)
        }
        let share: Amounts | null = null
        if (limit === null && action.share !== undefined) {
          share = Budget.share(
            Budget.minus(Budget.left(accounts), Budget.plus(given, wanted)),
            children--,
            action.share
          )
          const lacks = Budget.tooLittle(share)
          if (lacks !== null) limit = Budget.least(accounts, lacks)
        }
        if (limit !== null) {
          // What is open or waits goes on to its end. The turn ends when the last outcome has come.
          if (wanted.steps > 1 || Object.keys(state.open).length > 0) return settled(entries, intended, waiting)
          return just([...entries, ...meet(state, bounds, limit, now)])
        }
        const { kind, name } = action
        const pool = poolOf(behaviour, kind, name)
        const taken: number = used?.get(pool) ?? 0
        if (taken < room.free(pool)) {
          used = (used ?? new Map<string, number>()).set(pool, taken + 1)
          entries.push(intend(state, action, intended, share))
          if (share !== null) given = Budget.plus(given, { ...share, wallMs: 0 })
          intended++
        } else {
          waiting.push({ pool, kind, name, step: null, attempt: 1 })
        }
      }
    }
  }
  return settled(entries, intended, waiting)
}

const completed = ({ cut, output }: Extract<Action, { _tag: "EndTurn" }>): TurnOutcome => ({
  _tag: "Completed",
  output,
  ...(cut === undefined ? {} : { cut })
})

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

/** Why a command is not accepted now, if it is not; nothing of it is journaled then. */
export const refuse = (
  state: SessionState,
  command: Command,
  capacity: number
): "closed" | "busy" | "full" | "undecidable" | null => {
  if (state.ended !== null || state.cancelled !== null) {
    return command._tag === "Interrupt" || command._tag === "Cancel" ? null : "closed"
  }
  if (command._tag === "Discard") return Pause.holds(state, command.step) ? null : "undecidable"
  // Without a step it is for the session itself, too: one that could not be read is tried by it.
  if (command._tag === "Revive")
    return command.step === undefined || Pause.holds(state, command.step) ? null : "undecidable"
  if (command._tag === "Decide") return Pause.undecided(state, command.pause) === null ? "undecidable" : null
  if (command._tag !== "Send") return null
  const busy = state.turn !== null || state.queue.length > 0
  if (busy && command.whenBusy === "reject") return "busy"
  if (state.queue.length >= capacity) return "full"
  return null
}
