/**
 * A lane as one runner sees it: which of its calls may begin, and what it knows of the whole.
 *
 * ```
 * gate ── free? take ──► permits at hand            (no round trip where nobody waits)
 *      ── wait ──► asked for ──► host ──► granted    (with all other runners', in a fair order)
 * ```
 *
 * One fiber talks to the host: it says what is new and waits for news. While the host cannot be reached, calls go on under
 * this runner's part of the limit.
 */
import { Effect, Exit } from "effect"
import type { RateLimits } from "../../resilience/index.ts"
import { Alone } from "./laneAlone.ts"
import { Outbox } from "./laneOutbox.ts"
import { type Permit, Permits } from "./lanePermits.ts"
import type { LaneHost } from "./laneHost.ts"
import type { Copy, Granted, ModelState, Reply, Request, Wanted } from "./laneProtocol.ts"
import { Waiters } from "./waiters.ts"

export interface Surroundings {
  readonly now: () => number
  /** This runner's name among those that ask: unique to its process. */
  readonly name: () => string
  /** How many runners there are. */
  readonly runners: () => number
  /** Whether this is one of them yet: who is not hears nobody. */
  readonly isMember: () => boolean
  readonly ask: (request: Request) => Effect.Effect<Reply, unknown>
  /** The host, where it is in this process. */
  readonly near: () => Pick<LaneHost, "name" | "lend"> | null
  /** Something has waited for so long, in milliseconds. */
  readonly waited: (ms: number) => void
  readonly changed: (lane: Lane) => void
}

/** Why a call waits. */
export interface Why {
  readonly lane: string
  readonly model: string
  /** `limit`: as many as are allowed are out; `blocked`: the provider wants to hear nothing; `open`: the breaker is. */
  readonly reason: "limit" | "blocked" | "open"
  /** Until when, in milliseconds since the epoch; `null` where nobody knows. */
  readonly until: number | null
}

/** A call that wants to begin. */
export interface Asking {
  readonly namespace: string
  readonly session: string
  readonly model: string
  readonly tokens: number
  readonly granted: (permit: Permit) => void
  /** Its model's breaker is open, or the provider wants to hear nothing. */
  readonly shut: (() => void) | null
}

interface Waiting extends Wanted, Asking {
  readonly since: number
}

/** How many permits to have at hand. */
const atHand = 8
/** How long a look waits for news where something is under way, and where nothing is. */
const busyMs = 1_000
const idleMs = 10_000
/** How long an answer may take beyond that. */
const answerMs = 2_000
/** How long the host may be silent before calls go on under this runner's part. */
export const unreachableMs = 5_000
/** And for one that has never heard of a host: no host has set its part aside. */
export const unheardMs = 30_000
/** How long to wait before asking again. */
const againMs = 200

export class Lane {
  copy: Copy | null = null
  private copyAt = 0
  private silentSince: number | null = null
  /** Others wait: nothing is kept at hand. */
  private recall = false
  private readonly waiting = new Map<string, Waiting>()
  private readonly permits: Permits
  private readonly outbox: Outbox
  private alone: Alone<Waiting> | null = null
  private numbers = 0
  private readonly waiters = new Waiters()
  private hasNews = false
  private isUsed = false

  constructor(
    readonly lane: RateLimits.Lane,
    private readonly around: Surroundings
  ) {
    const { now } = around
    this.permits = new Permits({
      now,
      perMs: lane.rates.perMs,
      report: (report) => {
        this.outbox.report(report, now())
        // Nothing goes out until the host has heard of it.
        if (report.failure === "RateLimited") this.giveBack()
        // What nobody waits for is told with the next look.
        const isWanted = this.waiting.size > 0 || (this.copy?.waiting ?? 0) > 0
        if (isWanted || report.failure !== undefined || this.outbox.size >= 32) this.wake()
      }
    })
    this.outbox = new Outbox({
      waiting: () => [...this.waiting.values()].map(wantedOf),
      memory: () => ({ copy: this.copy, copyAgoMs: this.copyAgoMs, permits: [...this.permits.memory] })
    })
  }

  get copyAgoMs(): number {
    return this.around.now() - this.copyAt
  }

  // --- What sessions ask ---

  /** How a model's breaker stands. */
  stateOf(model: string): { readonly state: ModelState["state"]; readonly until: number | null } {
    const found = this.copy?.models.find((one) => one.model === model)
    if (found === undefined) return { state: "closed", until: null }
    const until = this.copyAt + found.openMs
    return until > this.around.now() ? { state: "open", until } : { state: "half-open", until: null }
  }

  /** Until when its provider wants to hear nothing, in milliseconds since the epoch; `null` where it does not mind. */
  get blockedUntil(): number | null {
    const until = this.copyAt + (this.copy?.blockedMs ?? 0)
    return until > this.around.now() ? until : null
  }

  /** How much longer that is. */
  get blockedMs(): number {
    return this.blockedUntil === null ? 0 : this.blockedUntil - this.around.now()
  }

  /** Whether a call of this runner is trying it, or about to. */
  isAsked(model: string): boolean {
    for (const one of this.waiting.values()) if (one.model === model) return true
    return this.permits.isAsked(model)
  }

  /** Where no limit is known nobody waits for a host that may be far or dead: it is told of what has begun. */
  private help(model: string, tokens: number): boolean {
    const part = Math.floor((this.copy?.learned.atOnce ?? 0) / Math.max(1, this.around.runners()))
    if (!this.isUnlimited || this.permits.running >= part) return false
    this.permits.keep(this.unasked(model, tokens), "")
    return true
  }

  /** A permit that the host has not granted, and is told of. */
  private unasked(model: string, tokens: number): Granted {
    const begun = { id: `${++this.numbers}~`, model, tokens }
    this.outbox.begun(begun)
    return { ...begun, number: -1, isSpare: true }
  }

  /** How many calls may begin at once. */
  free(model: string, tokens: number): number {
    if (!this.isUsed) this.wake()
    this.isUsed = true
    if (this.waiting.size > 0 || this.recall || this.stateOf(model).state !== "closed") return 0
    const free = this.permits.free(this.weightOf(tokens))
    return free === 0 && (this.borrow(model, tokens) || this.help(model, tokens)) ? 1 : free
  }

  /** Has one from a host that is in this process. */
  private borrow(model: string, tokens: number): boolean {
    const host = this.around.near()
    if (host === null || host.name !== this.outbox.host || this.outbox.isStranger || this.alone !== null) return false
    const lent = host.lend(this.around.name(), model, tokens)
    if (lent !== null) this.permits.keep(lent, host.name)
    return lent !== null
  }

  /** Takes one that was free a moment ago: by the clock it may be none of these any more, and the call begins all the same. */
  take(model: string, tokens: number): Permit {
    const permit =
      this.permits.take(model, this.weightOf(tokens)) ?? this.permits.hold(this.unasked(model, tokens), "", model)
    if (this.permits.atHand * 2 < atHand) this.wake()
    return permit
  }

  /** Waits for one. Returns how to give up. Nothing is granted before it has returned. */
  wait(asking: Asking): () => void {
    this.isUsed = true
    const id = String(++this.numbers)
    const one: Waiting = { ...asking, id, since: this.around.now() }
    this.waiting.set(id, one)
    this.outbox.wanted(wantedOf(one))
    this.wake()
    return () => {
      if (!this.waiting.delete(id)) return
      this.alone?.forget(id)
      this.outbox.cancelled(id)
      this.wake()
    }
  }

  why(model: string): Why {
    const { state, until } = this.stateOf(model)
    const of = { lane: this.lane.name, model }
    if (state !== "closed") return { ...of, reason: "open", until }
    const { blockedUntil } = this
    return blockedUntil === null
      ? { ...of, reason: "limit", until: null }
      : { ...of, reason: "blocked", until: blockedUntil }
  }

  /** What a call is taken to use that nobody knows anything of. */
  get meanTokens(): number {
    return this.copy?.meanTokens ?? 1_000
  }

  /** The lane as a whole, as it was last heard of. Times in milliseconds since the epoch. */
  get view() {
    const { blockedUntil, copy } = this
    return {
      lane: this.lane.name,
      requests: copy?.requests ?? this.lane.rates.requests ?? null,
      tokens: copy?.tokens ?? this.lane.rates.tokens ?? null,
      perMs: this.lane.rates.perMs,
      running: copy?.running ?? 0,
      waiting: Math.max(copy?.waiting ?? 0, this.waiting.size),
      blockedUntil,
      /** Models whose breaker is not closed. */
      models: (copy?.models ?? []).map(({ model }) => ({ model, ...this.stateOf(model) })),
      /** Since when its host does not answer, and each runner keeps to its part. */
      unreachableSince: this.alone === null ? null : this.silentSince
    }
  }

  /** What a permit must be good for: where tokens are not limited, any permit is good for any call. */
  private weightOf(tokens: number): number {
    return (this.copy?.tokens ?? this.lane.rates.tokens ?? null) === null ? 0 : tokens
  }

  private giveBack(): void {
    this.recall = true
    this.permits.tidy(true)
  }

  // --- The fiber that talks to the host ---

  private wake(): void {
    this.hasNews = true
    this.waiters.wake()
  }

  private readonly news: Effect.Effect<void> = Effect.suspend(() => {
    if (this.hasNews) return Effect.void
    const waiter = this.waiters.listen()
    return Effect.ensuring(waiter.news, Effect.sync(waiter.stop))
  })

  /** Talks to the host for ever, used or not: whichever runner is left when it dies knows what it knew. */
  get run(): Effect.Effect<never> {
    return Effect.forever(Effect.suspend(() => this.look()))
  }

  private look(): Effect.Effect<void> {
    this.permits.tidy(this.recall)
    const isAtOnce = this.hasNews || this.outbox.isStranger || this.alone !== null
    this.hasNews = false
    const request = this.request(isAtOnce ? 0 : this.isBusy ? busyMs : idleMs)
    return this.around.ask(request).pipe(
      Effect.timeout(request.waitMs + (this.alone === null ? answerMs : againMs)),
      Effect.exit,
      // What is new here is told at once: what the host was about to say, it says again.
      isAtOnce ? Effect.raceFirst(this.goingOn) : Effect.raceFirst(Effect.as(this.news, null)),
      Effect.flatMap((exit) => {
        if (exit === null) return Effect.void
        if (Exit.isSuccess(exit)) return Effect.sync(() => this.answered(request, exit.value))
        if (this.around.isMember()) this.silentSince ??= this.around.now()
        this.goAlone()
        // What comes meanwhile does not make it answer.
        return Effect.raceFirst(Effect.sleep(againMs), this.goingOn)
      })
    )
  }

  /** While the host cannot be reached: what is new begins by this runner's own part. */
  private get goingOn(): Effect.Effect<never> {
    if (this.alone === null) return Effect.never
    const begin = Effect.sync(() => {
      this.hasNews = false
      this.goAlone()
    })
    return Effect.forever(Effect.zipRight(this.news, begin))
  }

  /** Whether, as far as is known, the provider takes whatever comes. */
  private get isUnlimited(): boolean {
    const { copy, lane } = this
    if (copy === null || lane.rates.concurrent !== undefined) return false
    return copy.requests === null && copy.tokens === null && copy.blockedMs === 0 && copy.models.length === 0
  }

  private get isBusy(): boolean {
    return this.waiting.size > 0 || this.permits.running > 0 || this.permits.atHand > 0
  }

  private request(waitMs: number): Request {
    const { copy, outbox } = this
    const envelope = {
      runner: this.around.name(),
      known: copy !== null && copy.host === outbox.host ? copy.number : -1,
      want: this.isUsed && !this.recall ? Math.max(0, atHand - this.permits.atHand) : 0,
      waitMs
    }
    return outbox.request(envelope, this.around.now())
  }

  private answered(request: Request, reply: Reply): void {
    this.silentSince = null
    // Whatever the host knows, it does not know what was sent meanwhile.
    if (this.alone !== null) this.outbox.isStranger = true
    this.alone = null
    if (request.memory === null && this.outbox.isStranger && !reply.isStranger) return
    if (!this.outbox.answered(request, reply)) {
      this.permits.tidy(true)
      return
    }
    this.copy = reply.copy
    this.copyAt = this.around.now()
    this.recall = reply.recall
    for (const granted of reply.granted) if (this.outbox.confirm(granted)) this.granted(granted, reply.host)
    if (this.recall) this.permits.tidy(true)
    const isBlocked = this.blockedUntil !== null
    for (const one of [...this.waiting.values()]) {
      if (isBlocked || this.stateOf(one.model).state === "open") one.shut?.()
    }
    this.around.changed(this)
  }

  private granted(granted: Granted, host: string): void {
    if (granted.isSpare) {
      this.permits.keep(granted, host)
      return
    }
    const one = this.waiting.get(granted.id)
    // It gave up meanwhile.
    if (one === undefined) this.outbox.report({ id: granted.id, model: "", what: "unused" }, this.around.now())
    else this.begin(one, this.permits.hold(granted, host, one.model))
  }

  private begin(one: Waiting, permit: Permit): void {
    this.waiting.delete(one.id)
    this.around.waited(this.around.now() - one.since)
    one.granted(permit)
  }

  // --- While the host cannot be reached ---

  private goAlone(): void {
    const now = this.around.now()
    const patience = this.copy === null ? unheardMs : unreachableMs
    if (this.silentSince === null || now - this.silentSince < patience) return
    const runners = Math.max(1, this.around.runners())
    const alone = this.alone ?? new Alone<Waiting>(this.lane, this.copy, runners, this.permits.memory, now)
    this.alone = alone
    // Whatever the host knows, it does not know what is sent meanwhile: it is told before anything is asked of it.
    this.outbox.isStranger = true
    const mayBegin = ({ model }: Waiting) => this.stateOf(model).state !== "open"
    for (const [one, number] of alone.next(this.waiting.values(), mayBegin, now)) {
      this.outbox.cancelled(one.id)
      const granted = { id: `${one.id}!`, number: -1, tokens: one.tokens }
      const ended: Permit["over"] = (ending) => alone.ended(number, this.around.now(), ending)
      this.begin(one, this.permits.hold(granted, "", one.model, ended))
    }
    this.around.changed(this)
  }

  /** The last word: nothing of this runner is out any more. */
  readonly leave: Effect.Effect<void> = Effect.suspend(() => {
    this.permits.tidy(true)
    if (this.outbox.isStranger || this.around.runners() <= 1) return Effect.void
    // What is not interruptible cannot time out.
    const told = Effect.interruptible(this.around.ask({ ...this.request(0), want: 0 }))
    return Effect.ignore(Effect.timeoutOption(told, againMs))
  })
}

const wantedOf = ({ id, model, namespace, session, tokens }: Wanted): Wanted => ({
  id,
  model,
  namespace,
  session,
  tokens
})
