/** What a provider's answers say is left. Plain data: times in milliseconds are passed in. */

/** One resource, as an answer speaks of it. */
export interface Left {
  /** How much there is in a window; the same answer may not say. */
  readonly limit?: number | undefined
  readonly remaining: number
  /** In how many milliseconds all of it is there again. */
  readonly resetMs: number
}

/** What an answer's headers say. */
export interface Heard {
  readonly requests?: Left | undefined
  readonly tokens?: Left | undefined
}

interface Said extends Left {
  readonly at: number
  /** All that was granted up to the call that it was said to. */
  readonly soFar: number
  /** Whether it comes back bit by bit, and not all at once at the time that it named. */
  readonly refills: boolean
}

/** From how many answers on it is believed what others take. */
const enough = 4

export class Told {
  private last: Said | null = null
  /** The first of the same window. */
  private first: Said | null = null
  /** How much goes for each one of ours: more than one where others use the same key. */
  private each = 1

  hear(left: Left, at: number, soFar: number, refills: boolean): void {
    const said: Said = { ...left, at, soFar, refills }
    if (this.first === null || this.isOver(at) || left.remaining > this.first.remaining) this.first = said
    const ours = soFar - this.first.soFar
    if (ours >= enough) this.each = Math.max(1, (this.first.remaining - left.remaining) / ours)
    this.last = said
  }

  /** Something was said, and all of it is there again since: nobody knows what others have taken of that. */
  isOver(now: number): boolean {
    return this.last !== null && now >= this.last.at + this.last.resetMs
  }

  /** What is left now: what was said, and what has refilled, less what was granted since. */
  spare(now: number, soFar: number): number {
    if (this.last === null || this.isOver(now)) return Number.POSITIVE_INFINITY
    const { at, limit, refills, remaining, resetMs, soFar: before } = this.last
    const refilled = limit === undefined || !refills ? 0 : ((limit - remaining) * (now - at)) / resetMs
    return remaining + refilled - (soFar - before) * this.each
  }

  /** From when on there is so much, `now` or later. */
  reaches(now: number, weight: number, soFar: number): number {
    if (this.last === null || this.spare(now, soFar) >= weight) return now
    const { at, limit, refills, remaining, resetMs, soFar: before } = this.last
    const full = at + resetMs
    if (limit === undefined || limit <= remaining || !refills) return full
    const missing = weight - remaining + (soFar - before) * this.each
    return Math.max(now, Math.min(full, Math.ceil(at + (missing * resetMs) / (limit - remaining))))
  }
}
