/**
 * Whether a model is asked at all: a provider that fails is left alone for a while, and then tried with one call. Plain data:
 * no clock, no fiber; `now` is in milliseconds.
 *
 * ```
 * closed ── fails again and again ──► open ── its time is over ──► half-open: a probe at a time
 *    ▲                                 ▲                               │        │
 *    └────────── probes answered ──────┼───────────────────────────────┘        │
 *                                      └──────── a probe failed: longer ────────┘
 * ```
 *
 * Only failures count that speak of the provider ({@link speaks}): one that is overloaded, cannot be reached, or says
 * nothing. A rate limit is the limiter's, and what is wrong with a request is nobody's but its sender's.
 */
import type { FailureClass } from "../domain/Failure.ts"

export interface Settings {
  /** How many failures in a row open it. */
  readonly failures: number
  /** The share of failures among the last `of` that opens it. */
  readonly share: number
  readonly of: number
  /** How long it is open at first, in milliseconds; twice as long after each probe that fails, up to `openMostMs`. */
  readonly openMs: number
  readonly openMostMs: number
  /** How many probes there may be at the same time. */
  readonly probes: number
  /** How many probes must be answered before it closes. */
  readonly answers: number
}

export const defaults: Settings = {
  failures: 8,
  share: 0.75,
  of: 24,
  openMs: 5_000,
  openMostMs: 60_000,
  probes: 1,
  answers: 1
}

/** What cannot work of settings, if something does not: a breaker without probes never closes again. */
export const flawOf = (settings: Settings): string | null => {
  const unknown = Object.keys(settings).find((key) => !(key in defaults))
  if (unknown !== undefined) return `there is no "${unknown}": it has ${Object.keys(defaults).join(", ")}`
  for (const name of ["failures", "of", "probes", "answers"] as const) {
    const value = settings[name]
    if (!(Number.isInteger(value) && value >= 1)) return `${name} is to be a whole number from 1 on, not ${value}`
  }
  const { openMostMs, openMs, share } = settings
  if (!(share > 0 && share <= 1)) return `share is to be above 0 and at most 1, not ${share}`
  if (!(openMs > 0 && Number.isFinite(openMs))) return `openMs is to be a number of milliseconds above 0, not ${openMs}`
  return openMostMs >= openMs && Number.isFinite(openMostMs)
    ? null
    : `openMostMs is to be a number of milliseconds from openMs (${openMs}) on, not ${openMostMs}`
}

/** Whether a failure says something of the provider. */
export const speaks = (failure: FailureClass): boolean =>
  failure === "Overloaded" || failure === "Unreachable" || failure === "TimedOut"

export type State = "closed" | "open" | "half-open"

export class Breaker {
  private inRow = 0
  /** The last outcomes, the newest last. */
  private outcomes: Array<boolean> = []
  private openUntil: number | null = null
  private openings = 0
  private probing = 0
  private answered = 0

  constructor(readonly settings: Settings = defaults) {}

  state(now: number): State {
    return this.openUntil === null ? "closed" : now < this.openUntil ? "open" : "half-open"
  }

  /** Until when nothing is asked; `null` where it is not open. */
  until(now: number): number | null {
    return this.state(now) === "open" ? this.openUntil : null
  }

  /** Whether a call may begin now. */
  admits(now: number): boolean {
    const state = this.state(now)
    return state === "closed" || (state === "half-open" && this.probing < this.settings.probes)
  }

  /** A call begins. Returns whether it is a probe; that is to be told with its end. */
  begin(now: number): boolean {
    if (this.state(now) !== "half-open") return false
    this.probing++
    return true
  }

  /** A probe is being answered: however long that takes, the next may begin. */
  answering(): void {
    this.probing--
  }

  /** The call ended in a way that says nothing, or was never sent. */
  forgotten(probe: boolean, answering = false): void {
    if (probe && !answering) this.probing--
  }

  /** The provider has answered, whatever it said. */
  succeeded(probe: boolean, answering = false): void {
    this.inRow = 0
    this.note(true)
    if (!probe) return
    if (!answering) this.probing--
    // Another probe may have failed meanwhile.
    if (this.openUntil === null || ++this.answered < this.settings.answers) return
    this.openUntil = null
    this.openings = 0
    this.outcomes = []
  }

  /**
   * A failure that {@link speaks} of the provider.
   *
   * @param retryAfterMs how long it asked to be left alone
   * @param answering it had begun to answer ({@link answering})
   */
  failed(now: number, probe: boolean, retryAfterMs = 0, answering = false): void {
    this.inRow++
    this.note(false)
    if (probe) {
      if (!answering) this.probing--
      this.open(now, retryAfterMs)
      return
    }
    // What was sent before it opened, and fails now, says nothing new.
    if (this.openUntil !== null) return
    const { failures, of, share } = this.settings
    const bad = this.outcomes.filter((good) => !good).length
    if (this.inRow >= failures || (this.outcomes.length >= of && bad >= share * of)) this.open(now, retryAfterMs)
  }

  private open(now: number, retryAfterMs: number): void {
    const { openMostMs, openMs } = this.settings
    const ms = Math.min(openMostMs, openMs * 2 ** Math.min(this.openings++, 20))
    this.openUntil = now + Math.max(ms, Math.min(retryAfterMs, openMostMs))
    this.answered = 0
    this.inRow = 0
    this.outcomes = []
  }

  private note(good: boolean): void {
    this.outcomes.push(good)
    if (this.outcomes.length > this.settings.of) this.outcomes.shift()
  }

  /** Goes on being open as long as another was. */
  reopen(until: number): void {
    if (this.openUntil === null || until > this.openUntil) this.openUntil = until
    this.openings = Math.max(1, this.openings)
  }
}
