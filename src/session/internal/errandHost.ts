/**
 * The errands of one session on this runner: steps that run here because this runner has what they need.
 *
 * - I3: a call under an older epoch is refused; the first under a newer one ends what the older ones had begun.
 * - I5: an errand begins once. One that is not known here is lost, and never begun in its place.
 * - I7: what nobody asks after, or whose session's runner has gone, is ended, with all that it had started.
 */
import { Deferred, Effect, type Exit, Fiber, FiberId } from "effect"
import type { Blobs } from "../../blob/index.ts"
import type { Epoch, SessionKey } from "../../domain/Id.ts"
import type { Json } from "../../domain/Json.ts"
import type { Channel } from "../../feed/index.ts"
import type { Registered } from "../Registry.ts"
import type { OpenStep } from "../State.ts"
import type { StepContext } from "../StepContext.ts"
import { type AttemptExit, idempotencyKey, settle } from "./attempt.ts"
import { ErrandLost, type News } from "./errandProtocol.ts"
import type { Gate, Lease } from "./gate.ts"
import { Waiters } from "./waiters.ts"

interface Saving {
  readonly number: number
  readonly partial: Json
  readonly done: Deferred.Deferred<void>
}

interface Errand {
  readonly ticket: string
  readonly registered: Registered
  /** The runner of its session. */
  readonly from: string
  readonly changed: Waiters
  giveUp: () => void
  lease: Lease | null
  fiber: Fiber.RuntimeFiber<void> | null
  /** Live text that has not been fetched, from number `dropped` on. */
  readonly pieces: Array<{ readonly channel: Channel; readonly text: string }>
  dropped: number
  saving: ReadonlyArray<Saving>
  saves: number
  outcome: News["outcome"]
  seenAt: number
}

/** Units of live text in one answer: far less than what fits in a frame. */
const textMost = 256 * 1024

export interface Surroundings {
  readonly now: () => number
  readonly gateOf: (pool: string) => Gate
  readonly fork: (registered: Registered, effect: Effect.Effect<void, never, Blobs>) => Fiber.RuntimeFiber<void>
}

const outcomeOf = (exit: AttemptExit): NonNullable<News["outcome"]> => {
  switch (exit._tag) {
    case "Succeeded":
      return { _tag: "Succeeded", output: { output: exit.output.output, usage: exit.output.usage } }
    case "Failed":
      return exit
    case "Unstorable": {
      // It may have done what it is for: nobody knows what it gave.
      const failure = { class: "RunnerLost", message: exit.error.message } as const
      return { _tag: "Failed", failure, partial: undefined, usage: undefined, random: 0.5 }
    }
  }
}

export class ErrandHost {
  private readonly errands = new Map<string, Errand>()
  private readonly gates = new Map<string, Gate>()
  private epoch = -1

  constructor(
    private readonly key: SessionKey,
    private readonly around: Surroundings
  ) {}

  get isEmpty(): boolean {
    return this.errands.size === 0
  }

  /** Lets a call in, if it is not one of the past. */
  private readonly under = (epoch: Epoch): Effect.Effect<void, ErrandLost> =>
    Effect.suspend(() => {
      if (epoch < this.epoch) return new ErrandLost({ reason: "the session has another runner now" })
      if (epoch === this.epoch) return Effect.void
      this.epoch = epoch
      return this.dropAll
    })

  private readonly find = (ticket: string, epoch: Epoch): Effect.Effect<Errand, ErrandLost> =>
    Effect.flatMap(this.under(epoch), () => {
      const errand = this.errands.get(ticket)
      if (errand === undefined) return Effect.fail(new ErrandLost({ reason: "it is not known on this runner" }))
      errand.seenAt = this.around.now()
      return Effect.succeed(errand)
    })

  reserve(ticket: string, epoch: Epoch, pool: string, registered: Registered, from: string, waitMs: number) {
    return Effect.flatMap(this.under(epoch), () => {
      const errand = this.errands.get(ticket) ?? this.queue(ticket, pool, registered, from)
      errand.seenAt = this.around.now()
      return Effect.map(
        this.until(errand, () => errand.lease !== null, waitMs),
        () => errand.lease !== null
      )
    })
  }

  begin(ticket: string, epoch: Epoch, step: OpenStep): Effect.Effect<void, ErrandLost> {
    return Effect.flatMap(this.find(ticket, epoch), (errand) => {
      if (errand.lease === null) return new ErrandLost({ reason: "it has no slot" })
      errand.fiber ??= this.around.fork(errand.registered, this.run(errand, step))
      return Effect.void
    })
  }

  follow(ticket: string, epoch: Epoch, seen: number, saved: number, waitMs: number): Effect.Effect<News, ErrandLost> {
    return Effect.flatMap(this.find(ticket, epoch), (errand) => {
      errand.pieces.splice(0, seen - errand.dropped)
      errand.dropped = Math.max(errand.dropped, seen)
      for (const one of errand.saving) if (one.number <= saved) Deferred.unsafeDone(one.done, Effect.void)
      errand.saving = errand.saving.filter(({ number }) => number > saved)
      const isNew = () => errand.pieces.length > 0 || errand.saving.length > 0 || errand.outcome !== null
      return Effect.map(this.until(errand, isNew, waitMs), () => this.newsOf(errand))
    })
  }

  drop(ticket: string, epoch: Epoch): Effect.Effect<void, ErrandLost> {
    return Effect.flatMap(this.under(epoch), () => this.end(ticket))
  }

  /** Ends what is nobody's any more. */
  sweep(isOver: (errand: { readonly from: string; readonly seenAt: number }) => boolean): Effect.Effect<void> {
    return Effect.forEach([...this.errands.values()].filter(isOver), ({ ticket }) => this.end(ticket), {
      concurrency: "unbounded",
      discard: true
    })
  }

  readonly dropAll: Effect.Effect<void> = Effect.suspend(() => this.sweep(() => true))

  readonly close: Effect.Effect<void> = Effect.suspend(() =>
    Effect.map(this.dropAll, () => {
      for (const gate of this.gates.values()) gate.leave()
      this.gates.clear()
    })
  )

  private queue(ticket: string, pool: string, registered: Registered, from: string): Errand {
    let gate = this.gates.get(pool)
    if (gate === undefined) {
      gate = this.around.gateOf(pool)
      this.gates.set(pool, gate)
    }
    const errand: Errand = {
      ticket,
      registered,
      from,
      changed: new Waiters(),
      giveUp: () => {},
      lease: null,
      fiber: null,
      pieces: [],
      dropped: 0,
      saving: [],
      saves: 0,
      outcome: null,
      seenAt: this.around.now()
    }
    this.errands.set(ticket, errand)
    if (gate.free() > 0) errand.lease = gate.take()
    else {
      errand.giveUp = gate.wait((lease) => {
        errand.lease = lease
        errand.changed.wake()
      })
    }
    return errand
  }

  /** Waits until it is so, and no longer than `waitMs`. */
  private until(errand: Errand, test: () => boolean, waitMs: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (test() || waitMs <= 0) return Effect.void
      const waiter = errand.changed.listen()
      return Effect.ensuring(Effect.asVoid(Effect.timeoutOption(waiter.news, waitMs)), Effect.sync(waiter.stop))
    })
  }

  private newsOf({ outcome, pieces, saving }: Errand): News {
    const some: Array<{ readonly channel: Channel; readonly text: string }> = []
    let length = 0
    for (const piece of pieces) {
      if (length > textMost) break
      some.push(piece)
      length += piece.text.length
    }
    const [first] = saving
    return {
      pieces: some,
      save: first === undefined ? null : { number: first.number, partial: first.partial },
      // The end comes last.
      outcome: some.length === pieces.length && first === undefined ? outcome : null
    }
  }

  private run(errand: Errand, step: OpenStep): Effect.Effect<void, never, Blobs> {
    const { behaviour } = errand.registered
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        Effect.exit(
          restore(Effect.suspend(() => behaviour.perform(step, behaviour.initial, this.contextOf(errand, step))))
        ),
        (exit) =>
          Effect.map(settle(this.key, step.kind, exit as Exit.Exit<never, never>), (settled) => {
            errand.outcome = outcomeOf(settled)
            this.release(errand)
            errand.changed.wake()
          })
      )
    )
  }

  private contextOf(errand: Errand, step: OpenStep): StepContext {
    const { key } = this
    return {
      key,
      agent: errand.registered.behaviour.agent,
      turn: step.turn,
      step: step.step,
      attempt: step.attempt,
      get idempotencyKey() {
        return idempotencyKey(key, step.step)
      },
      emit: (channel, text) =>
        Effect.sync(() => {
          errand.pieces.push({ channel, text })
          errand.changed.wake()
        }),
      saved: step.partial,
      save: (partial) =>
        Effect.suspend(() => {
          const done = Deferred.unsafeMake<void>(FiberId.none)
          errand.saving = [...errand.saving, { number: ++errand.saves, partial, done }]
          errand.changed.wake()
          return Deferred.await(done)
        })
    }
  }

  private release(errand: Errand): void {
    const { lease } = errand
    errand.lease = null
    lease?.release()
  }

  private end(ticket: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const errand = this.errands.get(ticket)
      if (errand === undefined) return Effect.void
      errand.giveUp()
      const ended = errand.fiber === null ? Effect.void : Effect.asVoid(Fiber.interrupt(errand.fiber))
      return Effect.map(ended, () => {
        this.errands.delete(ticket)
        this.release(errand)
        errand.changed.wake()
      })
    })
  }
}
