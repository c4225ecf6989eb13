/**
 * What a provider allows, kept: requests and tokens in a time, calls at once. Plain data: no clock, no fiber; `now` is in
 * milliseconds and never goes back.
 *
 * It knows a limit from the settings, from what the provider's answers say of it, or from what was refused:
 *
 * | known | what goes out |
 * |---|---|
 * | a limit | as many in any window of the provider's, however it counts ({@link Meter}) |
 * | what is left, by the last answer | as many, and what refills until the time that it named |
 * | nothing | a few at once, one more for each that is answered |
 * | refused (429) | nothing until the time that it named, five minutes at most; then a few, and from then on as many as were taken the last time |
 */
import { Meter } from "./internal/Meter.ts"
import { type Heard, type Left, Told } from "./internal/Told.ts"

export type { Heard, Left }

/** What is told of a limit. Nothing is a limit that is not known. */
export interface Rates {
  /** Requests in {@link Rates.perMs}. */
  readonly requests?: number | undefined
  /** Tokens in {@link Rates.perMs}, input and output together. */
  readonly tokens?: number | undefined
  /** Calls at the same time. */
  readonly concurrent?: number | undefined
  /** How long the provider's window is, in milliseconds: a minute with all that we know. */
  readonly perMs: number
}

/** What a limiter has found out. */
export interface Learned {
  readonly requests?: number | undefined
  readonly tokens?: number | undefined
  /** Calls that may be sent and not answered. */
  readonly atOnce?: number | undefined
}

/** Something that was spent before this limiter began. */
export interface Spent {
  readonly leftMs: number
  readonly requests: number
  readonly tokens: number
}

/** What is set aside of it. */
export type Share = Omit<Spent, "leftMs">

/** Calls at once while nothing is known, and after something was refused. */
export const firstAtOnce = 16
const againAtOnce = 2
const unlikeFor = 32
/** How long to wait where a refusal does not say: doubled each time, up to the window. */
const refusedMs = 1_000
/** Who asks for longer is tried again then: one wrong header must not stop everybody. */
export const refusedMostMs = 300_000

interface Grant {
  readonly number: number
  readonly tokens: number
  /** All that was granted before and with this, since ever. */
  readonly requestsSoFar: number
  readonly tokensSoFar: number
  /** The provider has surely had the request. */
  seen: boolean
}

/** What was taken before something was refused. */
interface Guess {
  readonly limit: number
  readonly perMs: number
  /** Since when it stands. */
  readonly at: number
  /** The refusals that it was made of: those of the same time say nothing new. */
  readonly storm: number
}

export class Limiter {
  private readonly grants = new Map<number, Grant>()
  private readonly requests: Meter
  private readonly tokens: Meter
  private numbers = 0
  private requestsSoFar = 0
  private tokensSoFar = 0
  private readonly requestsTold = new Told()
  private readonly tokensTold = new Told()
  private requestsHeard: number | undefined
  private tokensHeard: number | undefined
  private guess: Guess | null = null
  /** For how many answers more it is not believed that its limits refill. */
  private unlike = 0
  /** How many may be sent that are not answered; beyond all bounds once it is known what is allowed. */
  private atOnce: number
  private unanswered = 0
  private refusedUntil = Number.NEGATIVE_INFINITY
  /** Refusals in a row, and times in which there were any. */
  private refusals = 0
  private storms = 0
  /** The last grant before the last of those times: that it is refused too says nothing new, however late it does. */
  private stormAfter = 0
  /** Since when it is seen how much is taken, and what had been granted then. */
  private takenSince: number | null = null
  private takenFrom = 0
  /** Tokens of a call in the mean. */
  private mean = 1_000

  constructor(readonly rates: Rates) {
    this.requests = new Meter(rates.perMs)
    this.tokens = new Meter(rates.perMs)
    this.atOnce = rates.requests === undefined ? firstAtOnce : Number.POSITIVE_INFINITY
  }

  /** How many calls are under way. */
  get running(): number {
    return this.grants.size
  }

  /** The number of the last grant. */
  get last(): number {
    return this.numbers
  }

  /** What a call is taken to use that nobody knows anything of. */
  get meanTokens(): number {
    return Math.round(this.mean)
  }

  /** Until when nothing goes out because the provider said so; `null` where it has not. */
  blockedUntil(now: number): number | null {
    return this.refusedUntil > now ? this.refusedUntil : null
  }

  /** How many requests there may be in {@link windowMs}, by all that is known; `undefined` where nothing is. */
  get requestLimit(): number | undefined {
    return least(this.rates.requests, this.requestsHeard, this.guess?.limit)
  }

  get tokenLimit(): number | undefined {
    return least(this.rates.tokens, this.tokensHeard)
  }

  get windowMs(): number {
    return this.requests.perMs
  }

  /** Whether a call of so many tokens may begin now. */
  fits(now: number, tokens: number): boolean {
    return this.nextAt(now, tokens) === now
  }

  /**
   * When such a call may begin, if nothing else does meanwhile: `now`, or later, or `null` where that waits for a call that
   * is under way.
   */
  nextAt(now: number, tokens: number): number | null {
    const { concurrent = Number.POSITIVE_INFINITY } = this.rates
    if (this.grants.size >= concurrent || this.unanswered >= this.unansweredMost(now)) return null
    let at = Math.max(now, this.refusedUntil)
    const { requestLimit, tokenLimit } = this
    if (requestLimit !== undefined) {
      const free = this.requests.freeAt(now, requestLimit - 1)
      if (free === null) return null
      at = Math.max(at, free)
    }
    if (tokenLimit !== undefined) {
      // One that is larger than the limit goes out alone: the provider says what it makes of it.
      const free = this.tokens.freeAt(now, Math.max(0, tokenLimit - tokens))
      if (free === null) return null
      at = Math.max(at, free)
    }
    at = this.requestsTold.reaches(at, 1, this.requestsSoFar)
    at = this.tokensTold.reaches(at, Math.min(tokens, tokenLimit ?? tokens), this.tokensSoFar)
    return at
  }

  /** A new window begins with a few, too: the first answer says what others have taken of it. */
  private unansweredMost(now: number): number {
    const isToldAnew = this.rates.requests === undefined && this.requestsTold.isOver(now)
    return isToldAnew ? Math.min(this.atOnce, firstAtOnce) : this.atOnce
  }

  /** How many calls more than those that are granted could begin now; tokens are not looked at. */
  room(now: number): number {
    if (now < this.refusedUntil) return 0
    const { concurrent = Number.POSITIVE_INFINITY } = this.rates
    const { requestLimit = Number.POSITIVE_INFINITY } = this
    return Math.max(
      0,
      Math.floor(
        Math.min(
          concurrent - this.grants.size,
          this.unansweredMost(now) - this.unanswered,
          requestLimit - this.requests.used(now),
          this.requestsTold.spare(now, this.requestsSoFar)
        )
      )
    )
  }

  /** What a call of so many tokens costs, in requests: a tenth of all tokens is as much as a tenth of all requests. */
  costOf(tokens: number): number {
    const { requestLimit, tokenLimit } = this
    if (tokenLimit === undefined) return 1
    return Math.max(1, (tokens / tokenLimit) * (requestLimit ?? tokenLimit / this.mean))
  }

  /** A call may begin. Returns its number. */
  grant(now: number, tokens: number): number {
    const number = ++this.numbers
    if (this.guess !== null && now - this.guess.at >= this.guess.perMs) this.raise(this.guess, now)
    // Only what is recent says how much is taken in a window.
    if (this.takenSince === null || now - this.takenSince > 2 * this.rates.perMs) {
      this.takenSince = now - (this.takenSince === null ? 0 : this.rates.perMs)
      this.takenFrom = this.requestsSoFar - this.requests.used(now)
    }
    this.requestsSoFar++
    this.tokensSoFar += tokens
    this.unanswered++
    const { requestsSoFar, tokensSoFar } = this
    this.grants.set(number, { number, tokens, requestsSoFar, tokensSoFar, seen: false })
    this.requests.begin(1)
    this.tokens.begin(tokens)
    return number
  }

  /** It was given back, and nothing was sent. */
  unused(number: number): void {
    const grant = this.grants.get(number)
    if (grant === undefined) return
    this.grants.delete(number)
    this.tokens.revoke(grant.tokens)
    if (grant.seen) return
    this.unanswered--
    this.requests.revoke(1)
    this.requestsSoFar--
    this.tokensSoFar -= grant.tokens
  }

  /**
   * The provider has had the request at `at`, or before.
   *
   * @param answered it has begun to answer it, and takes more than this
   */
  seen(number: number, at: number, answered = true): void {
    const grant = this.grants.get(number)
    if (grant === undefined || grant.seen) return
    grant.seen = true
    this.unanswered--
    this.requests.seen(1, 1, at)
    if (!answered) return
    this.refusals = 0
    this.atOnce++
  }

  /** The call has ended at `at`, after so many tokens; as many as were thought where nobody knows. */
  ended(number: number, at: number, tokens?: number, answered = true): void {
    const grant = this.grants.get(number)
    if (grant === undefined) return
    this.seen(number, at, answered)
    this.grants.delete(number)
    this.tokens.seen(grant.tokens, tokens ?? grant.tokens, at)
    if (tokens !== undefined) this.mean += (tokens - this.mean) / 16
  }

  /** The provider has refused it (429): for how long, where it says so. */
  refused(number: number, at: number, retryAfterMs?: number): void {
    const grant = this.grants.get(number)
    const isFirst = at >= this.refusedUntil && number > this.stormAfter
    if (isFirst) {
      this.refusals++
      this.storms++
      this.stormAfter = this.numbers
    }
    const asked = retryAfterMs === undefined ? undefined : Math.min(retryAfterMs, refusedMostMs)
    const wait = asked ?? Math.min(this.rates.perMs, refusedMs * 2 ** Math.min(this.refusals - 1, 16))
    this.refusedUntil = Math.max(this.refusedUntil, at + wait)
    // What is refused counts where a limit was told, for there are those who count it. One that is found out is of what is taken.
    if (this.rates.requests === undefined) this.unused(number)
    else this.ended(number, at, 0, false)
    if (grant !== undefined && this.requestsHeard === undefined) this.guessFrom(grant, at, isFirst)
    if (!isFirst) return
    this.atOnce = againAtOnce
    this.takenSince = this.refusedUntil
    this.takenFrom = this.requestsSoFar
  }

  /** How many are taken, from one that was not. */
  private guessFrom(grant: Grant, now: number, isFirst: boolean): void {
    const { guess } = this
    const { perMs: most, requests } = this.rates
    // What was taken is known: somewhat less from now on.
    if (guess !== null) {
      if (guess.storm === this.storms) return
      this.guess = { ...guess, limit: Math.max(1, guess.limit - 1), at: this.refusedUntil }
      return
    }
    if (!isFirst) return
    // As many as went before it since it was last refused, in the time from then until it takes more.
    const lasted = this.refusedUntil - (this.takenSince ?? now)
    const perMs = Math.min(most, Math.max(1_000, lasted))
    // A limit that was told counts in its own window: what is seen in a much shorter one says nothing of that.
    if (requests !== undefined && perMs < most / 2) return
    const taken = grant.requestsSoFar - this.takenFrom - 1
    const limit = Math.max(1, Math.floor(taken * Math.min(1, perMs / lasted)))
    this.guess = { limit, perMs, at: this.refusedUntil, storm: this.storms }
    if (requests === undefined) this.requests.perMs = perMs
  }

  /** A whole window without a refusal: a little more may be taken. */
  private raise(guess: Guess, now: number): void {
    const { limit } = guess
    this.guess = { ...guess, limit: limit + Math.max(1, Math.floor(limit / 20)), at: now }
  }

  /** What the answer to a call says is left. */
  heard(number: number, now: number, { requests, tokens }: Heard): void {
    const grant = this.grants.get(number)
    if (grant === undefined) return
    if (requests !== undefined) {
      this.requestsTold.hear(requests, now, grant.requestsSoFar, this.refills(requests))
      if (requests.limit !== undefined) {
        this.requestsHeard = requests.limit
        this.guess = null
        this.requests.perMs = this.rates.perMs
      }
    }
    if (tokens !== undefined) {
      this.tokensTold.hear(tokens, now, grant.tokensSoFar, this.refills(tokens))
      this.tokensHeard = tokens.limit ?? this.tokensHeard
    }
  }

  /**
   * Whether an answer is one of a provider whose limits refill bit by bit: then what is missing is there again in just that
   * part of the window. One that has borders says so only by chance: once it did not, it is not believed for a while.
   */
  private refills({ limit, remaining, resetMs }: Left): boolean {
    if (limit === undefined) return false
    const { perMs } = this.rates
    const missing = ((limit - remaining) / limit) * perMs
    // Some tell whole seconds.
    const isLike = Math.abs(resetMs - missing) <= perMs / 20 + Math.min(1_000, perMs / 20)
    this.unlike = isLike ? Math.max(0, this.unlike - 1) : unlikeFor
    return this.unlike === 0
  }

  /** Counts what others have spent. */
  inherit(now: number, spent: ReadonlyArray<Spent>): void {
    for (const { leftMs, requests, tokens } of spent) {
      this.requests.expire(requests, now + leftMs)
      this.tokens.expire(tokens, now + leftMs)
    }
  }

  /** Sets something aside for somebody who may spend it without a word. */
  reserve({ requests, tokens }: Share): void {
    this.requests.begin(requests)
    this.tokens.begin(tokens)
  }

  /** It counts no more: what of it was spent is said otherwise. */
  release({ requests, tokens }: Share): void {
    this.requests.revoke(requests)
    this.tokens.revoke(tokens)
  }

  /** What counts now, for whoever is to go on with it: never younger than it is. */
  spent(now: number, most = 16): ReadonlyArray<Spent> {
    return [
      ...this.requests.pieces(now, most).map(({ leftMs, weight }) => ({ leftMs, requests: weight, tokens: 0 })),
      ...this.tokens.pieces(now, most).map(({ leftMs, weight }) => ({ leftMs, requests: 0, tokens: weight }))
    ]
  }

  /** What answers have told of. */
  get learned(): Learned {
    const { atOnce, requestsHeard: requests, tokensHeard: tokens } = this
    return {
      ...(requests === undefined ? {} : { requests }),
      ...(tokens === undefined ? {} : { tokens }),
      ...(Number.isFinite(atOnce) ? { atOnce } : {})
    }
  }

  /** What another has {@link learned}. */
  learn({ atOnce = 0, requests, tokens }: Learned): void {
    this.requestsHeard ??= requests
    this.tokensHeard ??= tokens
    this.atOnce = Math.max(this.atOnce, atOnce)
  }

  /** Goes on being refused as long as another was. */
  block(until: number): void {
    this.refusedUntil = Math.max(this.refusedUntil, until)
  }
}

const least = (...limits: ReadonlyArray<number | undefined>): number | undefined =>
  limits.reduce((least, limit) => (limit === undefined ? least : Math.min(limit, least ?? limit)), undefined)
