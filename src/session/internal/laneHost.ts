/**
 * The one place of the cluster that says which calls of a lane may begin: a limiter, a breaker a model, and the order of who
 * waits, of all runners.
 *
 * It is nowhere on disk. When it moves to another runner, that one goes on from its copy, from what the others had been
 * granted since, and takes it that `aheadMost` of the permits of the one that died were used without anybody
 * knowing: its host never lets its own runner have more of them than the copies of others know of.
 */
import { Effect, type Fiber } from "effect"
import { FairQueue, Limiter, type RateLimits } from "../../resilience/index.ts"
import { addressOf } from "./errandProtocol.ts"
import { Ahead } from "./laneAhead.ts"
import { answered, Breakers } from "./laneBreakers.ts"
import { guest, idOf, type Known, type Waiting } from "./laneGuest.ts"
import type { Begun, Copy, Granted, Memory, Reply, Report, Request, Wanted } from "./laneProtocol.ts"
import { evenly, isFresher, left, Settling, since, unheardOf } from "./laneSettling.ts"
import { Later } from "./later.ts"
import { Unheard } from "./laneUnheard.ts"
import { warn } from "./laneWarning.ts"
import { Waiters } from "./waiters.ts"

export interface Surroundings {
  readonly now: () => number
  readonly fork: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>
  /** The name of this host's own runner. */
  readonly self: () => string
  /** Whether a runner is known to be gone. */
  readonly isGone: (runner: string) => boolean
  /** The addresses of all runners. */
  readonly runners: () => ReadonlyArray<string>
  /** Whether there was a host before, as far as this runner can know. */
  readonly isSuccessor: boolean
}

/** A runner that should have asked so long ago is dead, and what it had is given to others, in milliseconds. */
export const silenceMs = 5_000
/** How often a host looks who is gone. */
export const sweepMs = 1_000
/** How often copies are renewed while something is granted. */
const renewMs = 1_000

export class LaneHost {
  private readonly limiter: Limiter.Limiter
  private readonly breakers: Breakers
  private readonly queue = new FairQueue.FairQueue<Waiting>()
  private readonly runners = new Map<string, Known>()
  private readonly news = new Waiters()
  private readonly ahead = new Ahead()
  private spares = 0
  private isClosed = false
  private readonly unheard: Unheard
  /** When something may begin that may not yet. */
  private readonly later: Later
  private sweptAt: number
  private warnedUntil = 0
  /** The freshest copy of the host before it: whose grants those are of which it does not know. */
  private before: Copy | null = null
  /** While it waits for what others know. */
  private settling: Settling | null

  /** @param name no other host ever has the same */
  constructor(
    readonly name: string,
    readonly lane: RateLimits.Lane,
    private readonly around: Surroundings,
    /** A planted bug, for the simulator: nothing that was before is known. */
    private readonly forgets = false
  ) {
    this.sweptAt = around.now()
    this.limiter = new Limiter.Limiter(lane.rates)
    this.breakers = new Breakers(lane.breaker)
    this.unheard = new Unheard(this.limiter, around)
    this.later = new Later(around, () => this.pump())
    this.settling = lane.rates.requests === undefined || forgets ? null : new Settling(around.now())
  }

  /** Goes on where another was. */
  inherit(copy: Copy, agoMs: number): void {
    const { before, lane } = this
    if (copy.host === this.name || this.forgets || (before !== null && !isFresher(copy, before))) return
    this.before = copy
    const now = this.around.now()
    this.limiter.inherit(now, before === null ? left(copy, agoMs, lane.rates) : since(before, copy, agoMs, lane.rates))
    this.limiter.learn(copy.learned)
    if (copy.blockedMs > agoMs) this.limiter.block(now + copy.blockedMs - agoMs)
    for (const { model, openMs } of copy.models) this.breakers.of(model).reopen(now + Math.max(0, openMs - agoMs))
  }

  /** Takes what a runner says, and answers when there is news for it, or after `waitMs`. */
  sync(request: Request): Effect.Effect<Reply> {
    return Effect.suspend(() => {
      const now = this.around.now()
      if (request.memory !== null) this.remember(request.runner, request.memory)
      const known = this.runners.get(request.runner)
      if (known === undefined || request.host !== this.name) return Effect.succeed(this.reply(null, true))
      known.seenAt = now
      known.dueAt = now + request.waitMs
      known.known = Math.max(known.known, request.known)
      known.want = request.want
      for (const begun of request.begun) this.adopt(known, begun)
      for (const id of request.confirmed) known.untold.delete(id)
      for (const report of request.reports) this.take(known, report)
      for (const wanted of request.add) this.queueUp(known, wanted)
      for (const id of request.cancel) this.cancel(known, id)
      this.acknowledge()
      this.pump()
      // What it was told and does not know of has been lost.
      if (known.untold.size > 0) known.hasNews = true
      return Effect.map(this.until(known, now + request.waitMs), () => this.reply(known, false))
    })
  }

  /** Forgets runners that are gone. To be called every {@link sweepMs}. */
  readonly sweep = (): void => {
    const now = this.around.now()
    // Who stood still has heard nobody: that says nothing of the others.
    const stoodStill = Math.max(0, now - this.sweptAt - 2 * sweepMs)
    this.sweptAt = now
    for (const known of this.runners.values()) {
      known.dueAt += stoodStill
      if (now - known.seenAt > renewMs && this.around.isGone(known.name)) this.lose(known)
      else if (now - known.dueAt > silenceMs) {
        this.lose(known)
        this.unheard.add(addressOf(known.name), known.name)
      }
    }
    this.unheard.sweep()
    this.acknowledge()
    this.pump()
  }

  close(): void {
    this.isClosed = true
    this.later.at(null)
    this.news.wake()
  }

  get copy(): Copy {
    const now = this.around.now()
    const blocked = this.limiter.blockedUntil(now)
    return {
      host: this.name,
      number: this.limiter.last,
      spent: this.limiter.spent(now),
      blockedMs: blocked === null ? 0 : blocked - now,
      models: this.breakers.states(now),
      waiting: this.queue.size,
      running: this.limiter.running,
      requests: this.limiter.requestLimit ?? null,
      tokens: this.limiter.tokenLimit ?? null,
      meanTokens: this.limiter.meanTokens,
      learned: this.limiter.learned
    }
  }

  // --- What runners say ---

  private join(name: string): Known {
    const known = guest(name, this.around.now())
    this.runners.set(name, known)
    this.unheard.heard(name)
    return known
  }

  /** What a runner has had of which this host does not know. */
  private remember(name: string, { copy, copyAgoMs, permits }: Memory): void {
    const now = this.around.now()
    if (copy !== null) this.inherit(copy, copyAgoMs)
    const known = this.runners.get(name) ?? this.join(name)
    const { perMs } = this.lane.rates
    for (const { agoMs, host, id, model, number, tokens } of permits) {
      if (known.permits.has(id)) continue
      if (agoMs === null) {
        this.adopt(known, { id, model, tokens })
        continue
      }
      const isCounted =
        this.forgets || host === this.name || (host === this.before?.host && number <= this.before.number)
      if (agoMs < perMs && !isCounted) this.limiter.inherit(now, [{ leftMs: perMs - agoMs, requests: 1, tokens }])
    }
  }

  /** A call of which this host has not known is under way. */
  private adopt(known: Known, { id, model, tokens }: Begun): void {
    if (known.permits.has(id)) return
    const now = this.around.now()
    const number = this.limiter.grant(now, tokens)
    const probe = this.breakers.of(model).begin(now) ? model : null
    known.permits.set(id, { id, number, tokens, isSpare: false, runner: known, probe, isAnswering: false })
  }

  private take(known: Known, report: Report): void {
    const permit = known.permits.get(report.id)
    if (permit === undefined) return
    const at = this.around.now() - report.agoMs
    const { number, probe } = permit
    if (report.heard !== undefined) this.limiter.heard(number, at, report.heard)
    if (report.what === "seen") {
      this.limiter.seen(number, at)
      if (probe !== null && !permit.isAnswering) this.breakers.of(probe).answering()
      permit.isAnswering = true
      return
    }
    known.permits.delete(report.id)
    known.untold.delete(report.id)
    if (report.what === "unused") {
      this.limiter.unused(number)
      if (probe !== null) this.breakers.of(probe).forgotten(true, permit.isAnswering)
      return
    }
    const { failure } = report
    if (failure === "RateLimited") this.limiter.refused(number, at, report.retryAfterMs)
    else this.limiter.ended(number, at, report.tokens, answered(failure))
    if (failure === "RateLimited") this.warnedUntil = warn(this.around, this.lane.name, this.limiter, this.warnedUntil)
    const isOther = this.breakers.judge(report, probe !== null, permit.isAnswering, this.around.now())
    if (isOther || failure === "RateLimited") this.tell()
  }

  /** All runners are to know at once. */
  private tell(): void {
    for (const known of this.runners.values()) known.hasNews = true
    this.news.wake()
  }

  private queueUp(known: Known, wanted: Wanted): void {
    if (!known.permits.has(wanted.id))
      this.queue.add({ ...wanted, id: idOf(known, wanted.id), own: wanted.id, runner: known })
  }

  private cancel(known: Known, id: string): void {
    this.queue.remove(idOf(known, id))
    const permit = known.permits.get(id)
    // It was granted while it gave up.
    if (permit !== undefined) this.take(known, { id, model: "", what: "unused", agoMs: 0 })
  }

  private lose(known: Known): void {
    const now = this.around.now()
    this.runners.delete(known.name)
    for (const ticket of [...this.queue.all]) if (ticket.runner === known) this.queue.remove(ticket.id)
    // It may have sent them just now.
    for (const { isAnswering, number, probe } of known.permits.values()) {
      this.limiter.ended(number, now, undefined, false)
      if (probe !== null) this.breakers.of(probe).forgotten(true, isAnswering)
    }
  }

  // --- What may begin ---

  /** What any other runner's copy has is known to have been granted, whoever dies. */
  private acknowledge(): void {
    const others = [...this.runners.values()].filter(({ name }) => name !== this.around.self())
    this.ahead.acknowledge(others.length === 0 ? null : Math.max(...others.map(({ known }) => known)))
  }

  private readonly mayHave = (runner: Known): boolean =>
    runner.name !== this.around.self() || !this.ahead.isFull(this.limiter.requestLimit)

  private grant(runner: Known, id: string, tokens: number, probe: string | null, isSpare: boolean): Granted {
    const number = this.limiter.grant(this.around.now(), tokens)
    const granted: Granted = { id, number, tokens, isSpare }
    runner.permits.set(id, { ...granted, runner, probe, isAnswering: false })
    runner.untold.set(id, granted)
    runner.hasNews = true
    if (runner.name === this.around.self() && this.runners.size > 1) this.ahead.granted(number, this.around.now())
    return granted
  }

  /** A permit for its own runner, which need not ask and wait: where nobody else does, and one is free. */
  lend(name: string, model: string, tokens: number): Granted | null {
    const now = this.around.now()
    const known = this.runners.get(name)
    if (known === undefined || this.isClosed || this.settles(now) !== null) return null
    if (this.queue.size > 0 || !this.mayHave(known)) return null
    if (this.breakers.of(model).state(now) !== "closed" || !this.limiter.fits(now, tokens)) return null
    const granted = this.grant(known, `+${this.name}.${++this.spares}`, tokens, null, true)
    known.untold.delete(granted.id)
    return granted
  }

  /** Until when nothing is let through because others know what was; `null` where it need not wait. */
  private settles(now: number): number | null {
    if (this.settling === null) return null
    const unheard = () => unheardOf(this.runners.keys(), this.around.runners())
    const until = this.settling.waitsUntil(now, unheard)
    if (until !== null) return until
    this.settling = null
    for (const address of unheard()) this.unheard.add(address)
    if (this.before === null && this.around.isSuccessor) this.limiter.inherit(now, evenly(this.lane.rates))
    return null
  }

  /** Lets begin what may. */
  private pump(): void {
    if (this.isClosed) return
    const now = this.around.now()
    const settled = this.settles(now)
    if (settled !== null) {
      this.later.at(settled)
      return
    }
    let due: number | null = null
    for (;;) {
      const next = this.next(now)
      if (next === undefined) break
      if (typeof next === "number") {
        due = next
        break
      }
      const at = this.limiter.nextAt(now, next.tokens)
      if (at !== now) {
        due = at
        break
      }
      this.queue.take(next, this.limiter.costOf(next.tokens))
      this.grant(next.runner, next.own, next.tokens, this.breakers.of(next.model).begin(now) ? next.model : null, false)
    }
    for (const { model } of this.queue.all) {
      const until = this.breakers.of(model).until(now)
      if (until !== null && (due === null || until < due)) due = until
    }
    if (this.queue.size === 0) this.spare(now)
    // Whoever's copy is needed before more may be granted.
    if (this.ahead.isHalfFull(this.limiter.requestLimit)) {
      for (const known of this.runners.values()) if (known.name !== this.around.self()) known.hasNews = true
    }
    this.later.at(due)
    this.news.wake()
  }

  /** Who is next; or until when to wait for the copy of another runner, before those are passed over that need it. */
  private next(now: number): Waiting | number | undefined {
    const may = ({ model }: Waiting) => this.breakers.of(model).admits(now)
    const first = this.queue.next(may)
    if (first === undefined || this.mayHave(first.runner)) return first
    const until = this.ahead.since + renewMs / 2
    return until > now ? until : this.queue.next((one) => may(one) && this.mayHave(one.runner))
  }

  /** Where nobody waits, each runner may have some at hand: a quarter of what is left at most, together. */
  private spare(now: number): void {
    const tokens = this.limiter.meanTokens
    let left = Math.floor(this.limiter.room(now) / 4)
    for (const runner of this.runners.values()) {
      let has = 0
      for (const { isSpare } of runner.untold.values()) if (isSpare) has++
      // Those that it has been told of it counts itself: `want` is what it lacks.
      for (let n = has; n < runner.want && left > 0 && this.mayHave(runner); n++) {
        if (!this.limiter.fits(now, tokens)) return
        this.grant(runner, `+${this.name}.${++this.spares}`, tokens, null, true)
        left--
      }
    }
  }

  // --- What runners are told ---

  /** Waits until there is something to tell the runner, no longer than that. */
  private until(known: Known, deadline: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const now = this.around.now()
      if (known.hasNews || this.isClosed || now >= deadline) return Effect.void
      // A copy that is not renewed would forget what was granted meanwhile.
      const isBehind = known.known < this.limiter.last
      const renewAt = isBehind ? Math.max(now, known.toldAt + renewMs) : deadline
      if (isBehind && now >= known.toldAt + renewMs) return Effect.void
      const waiter = this.news.listen()
      return waiter.news.pipe(
        Effect.timeoutOption(Math.max(1, Math.min(deadline, renewAt) - now)),
        Effect.ensuring(Effect.sync(waiter.stop)),
        Effect.zipRight(this.until(known, deadline))
      )
    })
  }

  private reply(known: Known | null, isStranger: boolean): Reply {
    if (known !== null) {
      known.hasNews = false
      known.seenAt = this.around.now()
      known.dueAt = known.seenAt
      known.toldAt = known.seenAt
    }
    return {
      host: this.name,
      isStranger,
      granted: known === null ? [] : [...known.untold.values()],
      recall: this.queue.size > 0 || this.limiter.blockedUntil(this.around.now()) !== null,
      copy: this.copy
    }
  }
}
