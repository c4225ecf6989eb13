/**
 * The errands of one session on this runner: steps that run here because this runner has what they need.
 *
 * - I3: a call under an older epoch is refused; the first under a newer one ends what the older ones had begun.
 * - I5: an errand begins once. One that is not known here is lost, and never begun in its place.
 * - I7: what nobody asks after, or whose session's runner has gone, is ended, with all that it had started.
 */
import { Effect, Fiber } from "effect"
import type { Blobs } from "../../blob/index.ts"
import type { Epoch, SessionKey } from "../../domain/Id.ts"
import type { Registered } from "../Registry.ts"
import type { OpenStep } from "../State.ts"
import { settle } from "./attempt.ts"
import { Errand } from "./errand.ts"
import { ErrandLost, type News } from "./errandProtocol.ts"
import type { Gate } from "./gate.ts"

export interface Surroundings {
  readonly now: () => number
  readonly gateOf: (pool: string) => Gate
  readonly fork: (registered: Registered, effect: Effect.Effect<void, never, Blobs>) => Fiber.RuntimeFiber<void>
}

export class ErrandHost {
  private readonly errands = new Map<string, Errand>()
  private readonly gates = new Map<string, Gate>()
  private epoch = -1

  constructor(
    private readonly key: SessionKey,
    private readonly around: Surroundings
  ) {}

  /** Waits for a slot, and says whether it is there. */
  reserve(ticket: string, epoch: Epoch, pool: string, registered: Registered, from: string, waitMs: number) {
    return Effect.flatMap(this.under(epoch), () => {
      const errand = this.errands.get(ticket) ?? this.queue(ticket, pool, registered, from)
      errand.seenAt = this.around.now()
      return Effect.map(
        errand.until(() => errand.hasSlot, waitMs),
        () => errand.hasSlot
      )
    })
  }

  /** Begins it in its slot; once. */
  begin(ticket: string, epoch: Epoch, step: OpenStep): Effect.Effect<void, ErrandLost> {
    return Effect.flatMap(this.find(ticket, epoch), (errand) => {
      if (errand.fiber !== null) return Effect.void
      if (!errand.hasSlot) return new ErrandLost({ reason: "it has no slot" })
      errand.fiber = this.around.fork(errand.registered, this.run(errand, step))
      return Effect.void
    })
  }

  follow(ticket: string, epoch: Epoch, seen: number, saved: number, waitMs: number): Effect.Effect<News, ErrandLost> {
    return Effect.flatMap(this.find(ticket, epoch), (errand) => {
      errand.acknowledge(seen, saved)
      return Effect.map(
        errand.until(() => errand.hasNews, waitMs),
        () => errand.news
      )
    })
  }

  drop(ticket: string, epoch: Epoch): Effect.Effect<void, ErrandLost> {
    return Effect.flatMap(this.under(epoch), () => this.end(ticket))
  }

  /** Ends what is nobody's any more. */
  sweep(isOver: (errand: { readonly from: string; readonly seenAt: number }) => boolean): Effect.Effect<void> {
    const over = [...this.errands.values()].filter(isOver)
    return Effect.forEach(over, ({ ticket }) => this.end(ticket), { concurrency: "unbounded", discard: true })
  }

  /** Ends all. */
  readonly close: Effect.Effect<void> = Effect.suspend(() =>
    Effect.map(
      this.sweep(() => true),
      () => {
        for (const gate of this.gates.values()) gate.leave()
        this.gates.clear()
      }
    )
  )

  /** Lets a call in, if it is not one of the past. */
  private under(epoch: Epoch): Effect.Effect<void, ErrandLost> {
    return Effect.suspend(() => {
      if (epoch < this.epoch) return new ErrandLost({ reason: "the session has another runner now" })
      if (epoch === this.epoch) return Effect.void
      this.epoch = epoch
      return this.sweep(() => true)
    })
  }

  private find(ticket: string, epoch: Epoch): Effect.Effect<Errand, ErrandLost> {
    return Effect.flatMap(this.under(epoch), () => {
      const errand = this.errands.get(ticket)
      if (errand === undefined) return Effect.fail(new ErrandLost({ reason: "it is not known on this runner" }))
      errand.seenAt = this.around.now()
      return Effect.succeed(errand)
    })
  }

  private queue(ticket: string, pool: string, registered: Registered, from: string): Errand {
    let gate = this.gates.get(pool)
    if (gate === undefined) {
      gate = this.around.gateOf(pool)
      this.gates.set(pool, gate)
    }
    const errand = new Errand(ticket, registered, from, this.around.now())
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

  private end(ticket: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const errand = this.errands.get(ticket)
      if (errand === undefined) return Effect.void
      const ended = errand.fiber === null ? Effect.void : Effect.asVoid(Fiber.interrupt(errand.fiber))
      return Effect.map(ended, () => {
        this.errands.delete(ticket)
        errand.leave()
      })
    })
  }
}
