/**
 * What was spent of one resource (requests, tokens) in a sliding window. Plain data: times in milliseconds are passed in.
 *
 * A charge counts from when it is granted until a window after the provider has surely seen it. Whatever way the provider
 * counts (a window that slides, one with borders, a bucket that refills), it sees each request between those two moments,
 * so that never more than the limit falls into any window of its own.
 */

/** A charge that is no longer under way: it is forgotten at `at`. */
interface Expiring {
  readonly at: number
  readonly weight: number
}

export class Meter {
  private spent = 0
  private underWay = 0
  /** In the order of their times, from `first` on. */
  private expiring: Array<Expiring> = []
  private first = 0

  /** @param windowMs how long the window is */
  constructor(private windowMs: number) {}

  get perMs(): number {
    return this.windowMs
  }

  /** The window is another one, for what was spent already too. */
  set perMs(perMs: number) {
    const later = perMs - this.windowMs
    if (later === 0) return
    this.windowMs = perMs
    this.expiring = this.expiring.slice(this.first).map(({ at, weight }) => ({ at: at + later, weight }))
    this.first = 0
  }

  /** What counts now: under way, or seen within the window. */
  used(now: number): number {
    while (this.first < this.expiring.length && this.expiring[this.first]!.at <= now) {
      this.spent -= this.expiring[this.first]!.weight
      this.first++
    }
    if (this.first > 64 && this.first * 2 > this.expiring.length) {
      this.expiring = this.expiring.slice(this.first)
      this.first = 0
    }
    return this.spent + this.underWay
  }

  /** Something is granted. */
  begin(weight: number): void {
    this.underWay += weight
  }

  /** It was not used after all, or is to count as something else. */
  revoke(weight: number): void {
    this.underWay -= weight
  }

  /** The provider has seen it at `at` or before, and it was `actual` instead of `weight`. */
  seen(weight: number, actual: number, at: number): void {
    this.underWay -= weight
    this.expire(actual, at + this.perMs)
  }

  /** Counts until `at`, whatever it is. */
  expire(weight: number, at: number): void {
    if (weight <= 0) return
    const last = this.expiring.at(-1)
    this.spent += weight
    // Later than due is safe, and keeps the order.
    this.expiring.push({ at: Math.max(at, last?.at ?? at), weight })
  }

  /** When no more than `most` counts any more; `null` where that waits for what is under way. */
  freeAt(now: number, most: number): number | null {
    let used = this.used(now)
    if (used <= most) return now
    for (let i = this.first; i < this.expiring.length; i++) {
      const { at, weight } = this.expiring[i]!
      used -= weight
      if (used <= most) return at
    }
    return null
  }

  /** What counts now and how old it is, in at most `most` pieces, none of them younger than it was. */
  pieces(now: number, most: number): ReadonlyArray<{ readonly leftMs: number; readonly weight: number }> {
    this.used(now)
    const pieces: Array<{ leftMs: number; weight: number }> = []
    const grain = this.perMs / most
    for (let i = this.first; i < this.expiring.length; i++) {
      const { at, weight } = this.expiring[i]!
      const leftMs = Math.ceil((at - now) / grain) * grain
      const last = pieces.at(-1)
      if (last?.leftMs === leftMs) last.weight += weight
      else pieces.push({ leftMs, weight })
    }
    if (this.underWay > 0) pieces.push({ leftMs: this.perMs, weight: this.underWay })
    return pieces
  }
}
