/**
 * What a turn and a session may use, and what they have used (I8). Pure arithmetic.
 *
 * A step is allowed by three limits at once: its turn's, its session's, and what a parent has set aside for the session.
 * What open children have been promised counts as used until their outcomes say what they took: however many run at once,
 * they cannot together outspend what their parent had left.
 */
import type { Amounts, Drawn, Limit, LimitScope } from "../domain/Entry.ts"
import { totalTokens, type Usage, zero } from "../domain/Usage.ts"
import type { Bounds, Limits } from "./Behaviour.ts"
import type { SessionState, Turn } from "./State.ts"

/** No limit at all. */
export const unlimited: Limits = {
  steps: Number.POSITIVE_INFINITY,
  modelCalls: Number.POSITIVE_INFINITY,
  toolCalls: Number.POSITIVE_INFINITY,
  tokens: Number.POSITIVE_INFINITY,
  usd: Number.POSITIVE_INFINITY,
  wallMs: Number.POSITIVE_INFINITY
}

export const nothing: Limits = { steps: 0, modelCalls: 0, toolCalls: 0, tokens: 0, usd: 0, wallMs: 0 }

/** In the order in which they are looked at. */
export const keys = ["steps", "modelCalls", "toolCalls", "tokens", "usd", "wallMs"] as const
export type Key = (typeof keys)[number]

export const nameOf = (key: Key): Limit => (key === "wallMs" ? "wall" : key)
export const keyOf = (limit: Limit): Key => (limit === "wall" ? "wallMs" : limit)

const combine = (f: (key: Key) => number): Limits => ({
  steps: f("steps"),
  modelCalls: f("modelCalls"),
  toolCalls: f("toolCalls"),
  tokens: f("tokens"),
  usd: f("usd"),
  wallMs: f("wallMs")
})

/** Both together; what is left out is nothing. */
export const plus = (a: Limits, b: Amounts): Limits => combine((key) => a[key] + (b[key] ?? 0))

/** What is left of the one; never less than nothing. */
export const minus = (a: Limits, b: Limits): Limits => combine((key) => Math.max(0, a[key] - b[key]))

/** As limits: what is left out is no limit. */
export const asLimits = (amounts: Amounts): Limits => combine((key) => amounts[key] ?? Number.POSITIVE_INFINITY)

/** As amounts: what is no limit is left out, because JSON cannot say it. */
export const asAmounts = (limits: Limits): Amounts =>
  Object.fromEntries(keys.flatMap((key) => (Number.isFinite(limits[key]) ? [[key, Math.max(0, limits[key])]] : [])))

/** Limits that were raised: mostly they were not. */
const more = (limits: Limits, raised: Amounts): Limits => {
  for (const _ in raised) return plus(limits, raised)
  return limits
}

/** How long a turn has been running and not paused, in milliseconds. */
export const age = (turn: Turn, now: number): number =>
  turn.activeMs + (turn.since === null ? 0 : Math.max(0, now - turn.since))

const usedByTurn = (turn: Turn, now: number): Limits => ({
  steps: turn.steps,
  modelCalls: turn.modelCalls,
  toolCalls: turn.toolCalls,
  tokens: totalTokens(turn.usage),
  usd: turn.usage.usd ?? 0,
  wallMs: age(turn, now)
})

const usedBySession = (state: SessionState, turn: Turn, now: number): Limits => ({
  steps: state.used.steps,
  modelCalls: state.used.modelCalls,
  toolCalls: state.used.toolCalls,
  tokens: totalTokens(state.usage),
  usd: state.usage.usd ?? 0,
  wallMs: state.used.activeMs + age(turn, now)
})

/** What open children have been promised; `null` where there are none. */
const promised = (state: SessionState): Limits | null => {
  let sum: Limits | null = null
  for (const id in state.open) {
    const { reserved } = state.open[id]!
    // The step itself is counted already, and time passes for all at once.
    if (reserved !== undefined) sum = plus(sum ?? nothing, { ...reserved, wallMs: 0 })
  }
  return sum
}

/** One limit's account. */
export interface Account {
  readonly scope: LimitScope
  readonly allowed: Limits
  /** Open children's shares included. */
  readonly used: Limits
}

/** All that limits the running turn, the nearest first. */
export const accounts = (
  state: SessionState,
  turn: Turn,
  limits: Limits,
  bounds: Bounds | undefined,
  now: number
): ReadonlyArray<Account> => {
  const open = promised(state)
  const withOpen = (used: Limits) => (open === null ? used : plus(used, open))
  const found: Array<Account> = [
    { scope: "turn", allowed: more(limits, turn.raised), used: withOpen(usedByTurn(turn, now)) }
  ]
  if (bounds?.session === undefined && state.budget === null) return found
  const used = withOpen(usedBySession(state, turn, now))
  if (bounds?.session !== undefined) found.push({ scope: "session", allowed: more(bounds.session, state.raised), used })
  if (state.budget !== null) found.push({ scope: "parent", allowed: asLimits(state.budget), used })
  return found
}

/** What wants to begin, counted. */
export interface Wanted {
  readonly steps: number
  readonly modelCalls: number
  readonly toolCalls: number
}

/** A limit that forbids what wants to begin. */
export interface Met {
  readonly limit: Limit
  readonly allowed: number
  readonly used: number
  readonly scope: LimitScope
}

/** Counts may be reached; what is only known afterwards (tokens, money, time) must not have been. */
export const isOver = (key: Key, allowed: number, used: number, more: number): boolean =>
  key === "steps" || key === "modelCalls" || key === "toolCalls" ? used + more > allowed : used >= allowed

/** The first limit that forbids it, if any. */
export const met = (accounts: ReadonlyArray<Account>, wanted: Wanted): Met | null => {
  for (const { allowed, scope, used } of accounts) {
    for (const key of keys) {
      const more = key === "steps" || key === "modelCalls" || key === "toolCalls" ? wanted[key] : 0
      if (isOver(key, allowed[key], used[key], more)) {
        return { limit: nameOf(key), allowed: allowed[key], used: used[key], scope }
      }
    }
  }
  return null
}

/** The first limit that a call would cross by its input alone. `used`: what would be. */
export const foreseen = (
  accounts: ReadonlyArray<Account>,
  next: { readonly tokens: number; readonly usd: number }
): Met | null => {
  for (const { allowed, scope, used } of accounts) {
    for (const key of ["tokens", "usd"] as const) {
      const then = used[key] + next[key]
      if (then > allowed[key]) return { limit: key, allowed: allowed[key], used: then, scope }
    }
  }
  return null
}

/** The one of which the least is left. */
export const least = (accounts: ReadonlyArray<Account>, limit: Limit): Met => {
  const key = keyOf(limit)
  const [first, ...rest] = accounts.map(({ allowed, scope, used }) => ({
    limit,
    allowed: allowed[key],
    used: used[key],
    scope
  }))
  return rest.reduce((a, b) => (b.allowed - b.used < a.allowed - a.used ? b : a), first!)
}

/** What is left of all of them together. */
export const left = (accounts: ReadonlyArray<Account>): Limits =>
  combine((key) => {
    let least = Number.POSITIVE_INFINITY
    for (const { allowed, used } of accounts) least = Math.min(least, allowed[key] - used[key])
    return Math.max(0, least)
  })

/**
 * The share of the next of `children` that are to begin together: as much as each of the others, and as stays with the
 * parent, which has to make something of their answers. At most what was asked for.
 */
export const share = (remaining: Limits, children: number, asked: Amounts = {}): Amounts => {
  const part = (key: Key) => {
    if (key === "wallMs") return Math.min(remaining.wallMs, asked.wallMs ?? Number.POSITIVE_INFINITY)
    const equal = remaining[key] / (children + 1)
    const whole = key === "usd" || !Number.isFinite(equal) ? equal : Math.floor(equal)
    return Math.min(whole, asked[key] ?? Number.POSITIVE_INFINITY)
  }
  return asAmounts(combine(part))
}

/** The limit of which a share is too little to ask a model once. */
export const tooLittle = (share: Amounts): Limit | null => {
  for (const key of ["steps", "modelCalls"] as const) if ((share[key] ?? 1) < 1) return key
  for (const key of ["tokens", "usd", "wallMs"] as const) if ((share[key] ?? 1) <= 0) return nameOf(key)
  return null
}

/** A share as what was used of it, where nobody knows better. */
export const wholeUsage = ({ tokens = 0, usd = 0 }: Amounts): Usage => ({ ...zero, inputTokens: tokens, usd })
export const wholeCounts = ({ modelCalls = 0, steps = 0, toolCalls = 0 }: Amounts): Drawn => ({
  steps,
  modelCalls,
  toolCalls
})

/** When the turn has lasted as long as it may, in milliseconds since the epoch; `null` without a limit of time. */
export const wallDue = (state: SessionState, turn: Turn, limits: Limits, bounds: Bounds | undefined): number | null => {
  if (turn.since === null) return null
  const before = turn.activeMs
  const left = Math.min(
    limits.wallMs + (turn.raised.wallMs ?? 0) - before,
    (bounds?.session?.wallMs ?? Number.POSITIVE_INFINITY) + (state.raised.wallMs ?? 0) - state.used.activeMs - before,
    (state.budget?.wallMs ?? Number.POSITIVE_INFINITY) - state.used.activeMs - before
  )
  return Number.isFinite(left) ? turn.since + Math.max(0, Math.ceil(left)) : null
}
