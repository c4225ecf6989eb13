/** One errand, on the runner that runs it: its slot, what it says, and what it came to. */
import { Deferred, Effect, type Fiber, FiberId } from "effect"
import type { Epoch, SessionKey } from "../../domain/Id.ts"
import type { Json } from "../../domain/Json.ts"
import type { Channel } from "../../feed/index.ts"
import type { Registered } from "../Registry.ts"
import type { OpenStep } from "../State.ts"
import type { StepContext } from "../StepContext.ts"
import { type AttemptExit, idempotencyKey } from "./attempt.ts"
import type { News } from "./errandProtocol.ts"
import type { Gate, Lease } from "./gate.ts"
import { Waiters } from "./waiters.ts"

interface Saving {
  readonly number: number
  readonly partial: Json
  readonly done: Deferred.Deferred<void>
}

/** Units of live text in one answer: far less than what fits in a frame. */
const textMost = 256 * 1024
/** How much live text may wait to be fetched, in units; a tool that says more waits. */
const waitingMost = 1024 * 1024
/** What a piece weighs beside its text, in units. */
const pieceWeight = 64

const outcomeOf = (exit: AttemptExit): NonNullable<News["outcome"]> => {
  switch (exit._tag) {
    case "Succeeded":
      return {
        _tag: "Succeeded",
        output: { output: exit.output.output, usage: exit.output.usage, reconciled: exit.output.reconciled }
      }
    case "Failed":
      return exit
    case "Unstorable": {
      // It may have done what it is for: nobody knows what it gave.
      const failure = { class: "RunnerLost", message: exit.error.message } as const
      return { _tag: "Failed", failure, partial: undefined, usage: undefined, random: 0.5 }
    }
  }
}

export class Errand {
  /** What runs, once it has begun. */
  fiber: Fiber.RuntimeFiber<void> | null = null
  private lease: Lease | null = null
  private giveUp: () => void = () => {}
  private readonly changed = new Waiters()
  /** Live text that has not been fetched, from number `fetched` on. */
  private readonly pieces: Array<{ readonly channel: Channel; readonly text: string }> = []
  private fetched = 0
  private weight = 0
  /** Whoever says something waits here while too much has not been fetched. */
  private readonly room = new Waiters()
  private isOver = false
  private isGone = false
  private saving: ReadonlyArray<Saving> = []
  private saves = 0
  private outcome: News["outcome"] = null

  /**
   * @param epoch of its session
   * @param from the runner of its session
   * @param seenAt when somebody asked after it last, in milliseconds since whenever
   */
  constructor(
    readonly ticket: string,
    readonly epoch: Epoch,
    readonly registered: Registered,
    readonly from: string,
    public seenAt: number
  ) {}

  get hasSlot(): boolean {
    return this.lease !== null
  }

  /** Takes a slot, or waits for one. */
  queue(gate: Gate): void {
    if (gate.free() > 0) {
      this.lease = gate.take()
      return
    }
    this.giveUp = gate.wait((lease) => {
      this.lease = lease
      this.changed.wake()
    })
  }

  /** Gives the slot back, or the place in the queue. */
  leave(): void {
    this.giveUp()
    const { lease } = this
    this.lease = null
    lease?.release()
    this.changed.wake()
  }

  settle(exit: AttemptExit): void {
    // Cut off from outside: that is no outcome of the tool (I5).
    if (!this.isOver || exit._tag === "Succeeded") this.outcome = outcomeOf(exit)
    this.leave()
  }

  /** It is about to be ended from outside. */
  stop(): void {
    this.isOver = true
    // Nobody fetches any more: whoever waits for that goes on, and meets the interruption.
    this.room.wake()
  }

  /** Nothing of it runs any more. */
  forget(): void {
    this.isGone = true
    this.leave()
  }

  /** Whether it is being ended, or has been: it begins no more. */
  get isStopped(): boolean {
    return this.isOver
  }

  /** Whether it was ended from outside, and nothing of it runs any more. */
  get isLost(): boolean {
    return this.isGone && this.outcome === null
  }

  /** The other runner has these. */
  acknowledge(seen: number, saved: number): void {
    for (const { text } of this.pieces.splice(0, seen - this.fetched)) this.weight -= text.length + pieceWeight
    this.fetched = Math.max(this.fetched, seen)
    if (!this.isFull) this.room.wake()
    for (const one of this.saving) if (one.number <= saved) Deferred.unsafeDone(one.done, Effect.void)
    this.saving = this.saving.filter(({ number }) => number > saved)
  }

  /** What it came to, if it was not cut off before. */
  get result(): News["outcome"] {
    return this.outcome
  }

  get hasNews(): boolean {
    return this.isLost || this.pieces.length > 0 || this.saving.length > 0 || this.outcome !== null
  }

  get news(): News {
    const pieces: Array<{ readonly channel: Channel; readonly text: string }> = []
    let length = 0
    for (const piece of this.pieces) {
      if (length > textMost) break
      pieces.push(piece)
      length += piece.text.length
    }
    const [first] = this.saving
    const isAll = pieces.length === this.pieces.length && first === undefined
    const save = first === undefined ? null : { number: first.number, partial: first.partial }
    // The end comes last.
    return { pieces, save, outcome: isAll ? this.outcome : null }
  }

  /** Waits until it is so, and no longer than `waitMs`. */
  until(test: () => boolean, waitMs: number): Effect.Effect<void> {
    const wait: Effect.Effect<void> = Effect.suspend(() => {
      if (test()) return Effect.void
      const waiter = this.changed.listen()
      return Effect.zipRight(Effect.ensuring(waiter.news, Effect.sync(waiter.stop)), wait)
    })
    return Effect.suspend(() =>
      test() || waitMs <= 0 ? Effect.void : Effect.asVoid(Effect.timeoutOption(wait, waitMs))
    )
  }

  private get isFull(): boolean {
    return this.weight > waitingMost && !this.isOver
  }

  /** Until the other runner has fetched enough: a tool that floods waits for it, and this runner's memory is bounded. */
  private readonly hasRoom: Effect.Effect<void> = Effect.suspend(() => {
    if (!this.isFull) return Effect.void
    const waiter = this.room.listen()
    return Effect.zipRight(Effect.ensuring(waiter.news, Effect.sync(waiter.stop)), this.hasRoom)
  })

  private say(channel: Channel, text: string): void {
    for (let at = 0; at < text.length; at += textMost) {
      const piece = text.slice(at, at + textMost)
      this.pieces.push({ channel, text: piece })
      this.weight += piece.length + pieceWeight
    }
    this.changed.wake()
  }

  contextOf(key: SessionKey, step: OpenStep): StepContext {
    return {
      key,
      agent: this.registered.behaviour.agent,
      turn: step.turn,
      step: step.step,
      attempt: step.attempt,
      askedUnder: this.epoch,
      get idempotencyKey() {
        return idempotencyKey(key, step.step)
      },
      emit: (channel, text) =>
        Effect.suspend(() => {
          if (this.isOver) return Effect.void
          this.say(channel, text)
          return this.hasRoom
        }),
      saved: step.partial,
      save: (partial) =>
        Effect.suspend(() => {
          const done = Deferred.unsafeMake<void>(FiberId.none)
          this.saving = [...this.saving, { number: ++this.saves, partial, done }]
          this.changed.wake()
          return Deferred.await(done)
        })
    }
  }
}
