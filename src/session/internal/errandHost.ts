/**
 * The errands of one session on this runner: steps that run here because this runner has what they need.
 *
 * - I3: a call under an older epoch is refused; the first under a newer one ends what the older ones had begun.
 * - I5: an errand begins once, and only on the host that granted its slot. One that is not known here is lost, and never
 *   begun in its place. One that was ended from outside is lost, whatever its end looked like; one that never began is known
 *   not to have begun.
 * - I7: what nobody asks after, or whose session's runner has gone, is ended, with all that it had started.
 */
import { type Duration, Effect, type Fiber } from "effect"
import type { Blobs } from "../../blob/index.ts"
import type { Epoch, SessionKey } from "../../domain/Id.ts"
import type { Registered } from "../Registry.ts"
import type { OpenStep } from "../State.ts"
import { unaskedMs } from "./answered.ts"
import { settle } from "./attempt.ts"
import * as EndOnce from "./endOnce.ts"
import { Errand } from "./errand.ts"
import { type End, ErrandLost, type News } from "./errandProtocol.ts"
import type { Gate } from "./gate.ts"
import { Waiters } from "./waiters.ts"

export interface Surroundings {
  /** Milliseconds since whenever: no clock that is set moves it, and ends what others still ask after. */
  readonly elapsed: () => number
  readonly gateOf: (pool: string) => Gate
  readonly fork: (registered: Registered, effect: Effect.Effect<void, never, Blobs>) => Fiber.RuntimeFiber<void>
}

/** How many tickets that are over are remembered. Of one that is forgotten nobody knows whether it began. */
const pastMost = 1_000

export class ErrandHost {
  private readonly errands = new Map<string, Errand>()
  private readonly gates = new Map<string, Gate>()
  /** Tickets that are over, and what is known of how; an outcome is told once, and `unknown` after that. */
  private readonly past = new Map<string, Extract<End, string>>()
  private readonly ended = new Waiters()
  private isLeaving = false
  private epoch = -1

  /**
   * @param name no other host ever has the same
   * @param id what it is asked for under: its entity's
   */
  constructor(
    readonly name: string,
    private readonly key: SessionKey,
    private readonly around: Surroundings,
    readonly id = ""
  ) {}

  /** Waits for a slot, and answers with the host's name when it is there. */
  reserve(
    ticket: string,
    epoch: Epoch,
    pool: string,
    registered: Registered,
    from: string,
    waitMs: number
  ): Effect.Effect<string | null, ErrandLost> {
    return Effect.flatMap(this.under(epoch), () => {
      if (this.isLeaving) return new ErrandLost({ reason: "its runner leaves" })
      // A call that comes late does not bring back what is over.
      if (this.past.has(ticket)) return this.lost(ticket)
      const errand = this.errands.get(ticket) ?? this.queue(ticket, epoch, pool, registered, from)
      // A call that was under way for long says nothing of now: a slot that was told is asked for with `Keep`.
      if (!errand.hasSlot) errand.seenAt = this.around.elapsed()
      return Effect.map(
        errand.until(() => errand.hasSlot || errand.isStopped, waitMs),
        () => (errand.hasSlot ? this.name : null)
      )
    })
  }

  /** The slot is still wanted. */
  keep(ticket: string, epoch: Epoch, host: string): Effect.Effect<void, ErrandLost> {
    return Effect.asVoid(this.find(ticket, epoch, host))
  }

  /** Begins it in its slot; once. */
  begin(ticket: string, epoch: Epoch, host: string, step: OpenStep): Effect.Effect<void, ErrandLost> {
    return Effect.flatMap(this.find(ticket, epoch, host), (errand) => {
      if (errand.fiber !== null) return Effect.void
      if (this.isLeaving || errand.isStopped || !errand.hasSlot) {
        return new ErrandLost({ reason: "its slot was taken back before it began", neverBegan: true })
      }
      errand.fiber = this.around.fork(errand.registered, this.run(errand, step))
      return Effect.void
    })
  }

  follow(ticket: string, epoch: Epoch, seen: number, saved: number, waitMs: number): Effect.Effect<News, ErrandLost> {
    return Effect.flatMap(this.find(ticket, epoch, this.name), (errand) => {
      errand.acknowledge(seen, saved)
      return Effect.flatMap(
        errand.until(() => errand.hasNews, waitMs),
        () => (errand.isLost ? this.lost(ticket) : Effect.succeed(errand.news))
      )
    })
  }

  /** Ends it, and answers with what is known of its end. */
  drop(ticket: string, epoch: Epoch, host: string, known = false): Effect.Effect<End, ErrandLost> {
    return Effect.flatMap(this.under(epoch), () => {
      const errand = this.errands.get(ticket)
      // Its reservation may still be under way.
      if (errand === undefined && !this.past.has(ticket)) this.remember(ticket, "unknown")
      return Effect.map(errand === undefined ? Effect.void : this.end(errand), (): End => {
        if (host !== this.name) return "unknown"
        return (known ? null : errand?.result) ?? this.past.get(ticket) ?? "unknown"
      })
    })
  }

  /** Ends what is nobody's any more. */
  sweep(isOver: (errand: Errand) => boolean): Effect.Effect<void> {
    return Effect.suspend(() =>
      Effect.forEach([...this.errands.values()].filter(isOver), (errand) => this.end(errand), {
        concurrency: "unbounded",
        discard: true
      })
    )
  }

  /** Takes no more, lets what has begun go on for so long, tells how it ended to who asks, and ends the rest. */
  leave(drain: Duration.DurationInput): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.isLeaving = true
      return this.sweep(({ fiber }) => fiber === null)
    }).pipe(Effect.zipRight(Effect.timeoutOption(Effect.interruptible(this.empty), drain)), Effect.zipRight(this.rest))
  }

  /** Ends all. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.isLeaving = true
    return Effect.map(this.rest, () => {
      for (const gate of this.gates.values()) gate.leave()
      this.gates.clear()
    })
  })

  /** Ends what is still there. */
  private readonly rest: Effect.Effect<void> = Effect.suspend(() => {
    const warning = Effect.logWarning(`a tool for session ${this.key} does not stop: it is left behind, and in doubt`)
    return Effect.asVoid(Effect.unlessEffect(warning, EndOnce.patiently(this.sweep(() => true))))
  })

  /** When all that it had are told and dropped. */
  private readonly empty: Effect.Effect<void> = Effect.suspend(() => {
    if (this.errands.size === 0) return Effect.void
    const waiter = this.ended.listen()
    return Effect.zipRight(Effect.ensuring(waiter.news, Effect.sync(waiter.stop)), this.empty)
  })

  /** Lets a call in, if it is not one of the past, when nothing of an older epoch runs any more. */
  private under(epoch: Epoch): Effect.Effect<void, ErrandLost> {
    return Effect.suspend(() => {
      if (epoch < this.epoch) return new ErrandLost({ reason: "the session has another runner now" })
      if (epoch > this.epoch) this.past.clear()
      this.epoch = epoch
      for (const errand of this.errands.values())
        if (errand.epoch < epoch) return this.sweep((one) => one.epoch < epoch)
      return Effect.void
    })
  }

  private find(ticket: string, epoch: Epoch, host: string): Effect.Effect<Errand, ErrandLost> {
    return Effect.flatMap(this.under(epoch), () => {
      // It may have begun over there.
      if (host !== this.name) return new ErrandLost({ reason: "the host that held its slot is gone" })
      const errand = this.errands.get(ticket)
      if (errand === undefined) return this.lost(ticket)
      // Whoever waits for its end may have given it up by now: it does not begin any more.
      const isStale = errand.fiber === null && this.around.elapsed() - errand.seenAt > unaskedMs
      if (isStale)
        return Effect.zipRight(
          this.end(errand),
          Effect.suspend(() => this.lost(ticket))
        )
      errand.seenAt = this.around.elapsed()
      return Effect.succeed(errand)
    })
  }

  private lost(ticket: string): ErrandLost {
    const end = this.past.get(ticket)
    const reason = end === undefined ? "it is not known on this runner" : "it was ended on this runner"
    return new ErrandLost({ reason, neverBegan: end === "neverBegan" })
  }

  private remember(ticket: string, end: Extract<End, string>): void {
    this.past.set(ticket, end)
    if (this.past.size <= pastMost) return
    const [oldest] = this.past.keys()
    this.past.delete(oldest!)
  }

  private queue(ticket: string, epoch: Epoch, pool: string, registered: Registered, from: string): Errand {
    let gate = this.gates.get(pool)
    if (gate === undefined) {
      gate = this.around.gateOf(pool)
      this.gates.set(pool, gate)
    }
    const errand = new Errand(ticket, epoch, registered, from, this.around.elapsed())
    this.errands.set(ticket, errand)
    errand.queue(gate)
    return errand
  }

  private run(errand: Errand, step: OpenStep): Effect.Effect<void, never, Blobs> {
    const { behaviour } = errand.registered
    const perform = Effect.suspend(() =>
      behaviour.perform(step, behaviour.initial, errand.contextOf(this.key, step))
    ) as ReturnType<typeof behaviour.perform> as Effect.Effect<never>
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.exit(restore(perform)), (exit) =>
        Effect.map(settle(this.key, step.kind, exit), (settled) => errand.settle(settled))
      )
    )
  }

  private end(errand: Errand): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { fiber, ticket } = errand
      errand.stop()
      this.remember(ticket, fiber === null ? "neverBegan" : "unknown")
      return Effect.map(EndOnce.end(fiber === null ? [] : [fiber]), () => {
        if (fiber !== null && errand.result === null) this.remember(ticket, "stopped")
        if (this.errands.get(ticket) === errand) this.errands.delete(ticket)
        errand.forget()
        this.ended.wake()
      })
    })
  }
}
