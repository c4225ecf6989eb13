/** The attempts that run now: one fiber each, begun after its intent is on disk. */
import { type Clock, Deferred, Duration, Effect, type Fiber, FiberId } from "effect"
import { type Blobs, Claim } from "../../blob/index.ts"
import type { SessionKey, StepId } from "../../domain/Id.ts"
import type { Json } from "../../domain/Json.ts"
import { totalTokens, type Usage } from "../../domain/Usage.ts"
import { Feed, type Live } from "../../feed/index.ts"
import type { Behaviour, StepOutput } from "../Behaviour.ts"
import { poolOf } from "../Decide.ts"
import type { OpenStep, SessionState } from "../State.ts"
import type { StepContext } from "../StepContext.ts"
import { type AttemptExit, idempotencyKey, settle } from "./attempt.ts"
import * as Child from "./child.ts"
import { isAsked } from "./doubted.ts"
import * as EndOnce from "./endOnce.ts"
import type { Ending } from "./lanePermits.ts"
import type { Slots } from "./slots.ts"

export interface Host {
  readonly key: SessionKey
  readonly behaviour: Behaviour
  readonly live: Live
  readonly slots: Slots
  readonly remotes: Child.Remotes
  readonly clock: Clock.Clock
  readonly state: SessionState
  readonly fork: (effect: Effect.Effect<void, never, Blobs>) => Fiber.RuntimeFiber<void>
  /** Makes an attempt's spans part of the turn's. */
  readonly within: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Keeps what an attempt has so far; without anything: that it has begun. */
  readonly save: (step: OpenStep, partial?: Json) => Effect.Effect<void>
  /** An attempt has come to an end. Not called for one that ended with its actor. */
  readonly ended: (step: OpenStep, startedAt: number, exit: AttemptExit) => void
  /** Live text has grown. */
  readonly changed: () => void
}

/** What is said of it to whoever let it begin. */
const endingOf = (exit: AttemptExit): Ending => {
  switch (exit._tag) {
    case "Succeeded":
      return exit.output.usage === undefined ? {} : { tokens: totalTokens(exit.output.usage) }
    case "Failed": {
      const { failure, usage } = exit
      return {
        failure: failure.class,
        retryAfterMs: failure.retryAfterMs,
        tokens: usage === undefined ? undefined : totalTokens(usage)
      }
    }
    default:
      return { failure: "Stopped" }
  }
}

/** Stands for an outcome that was settled elsewhere. */
const nothing: StepOutput = { output: null }

interface Attempt {
  /** A runner that leaves waits for it. */
  readonly tool: boolean
  readonly fiber: Fiber.RuntimeFiber<void>
  /** Of a child: tells it to stop. What is told and not interrupted can say what it has used. */
  readonly stop: Deferred.Deferred<void> | null
}

export class Running {
  private readonly attempts = new Map<StepId, Attempt>()
  private closed = false

  constructor(private readonly host: Host) {}

  has(step: StepId): boolean {
    return this.attempts.has(step)
  }

  /** The attempt's end was seen. */
  delete(step: StepId): void {
    this.attempts.delete(step)
  }

  /** What the state says is open runs, if something may begin; what must stop is stopped. */
  follow(state: SessionState, mayBegin: boolean): void {
    const stopping = state.turn?.stopping != null
    for (const id in state.open) {
      const step = state.open[id]!
      const one = this.attempts.get(step.step)
      if (stopping && step.reserved !== undefined) this.stopChild(step, mayBegin)
      else if (stopping) {
        if (one !== undefined) EndOnce.interrupt(one.fiber)
      } else if (one === undefined && mayBegin && step.held !== true) this.begin(step)
    }
  }

  /** Also one that nobody looks after now: it may be at work. */
  private stopChild(step: OpenStep, mayBegin: boolean): void {
    if (!this.attempts.has(step.step) && mayBegin) this.begin(step)
    const stop = this.attempts.get(step.step)?.stop
    if (stop != null) Deferred.unsafeDone(stop, Effect.void)
  }

  /** Whether tools are at work: one that waits for its time or its slot has not begun. */
  hasTools(): boolean {
    for (const [step, { tool }] of this.attempts) if (tool && this.host.slots.of(step) !== undefined) return true
    return false
  }

  /** Interrupts all, and waits until they are gone: their outcomes are nobody's any more. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.closed = true
    return EndOnce.end([...this.attempts.values()].map(({ fiber }) => fiber))
  })

  private begin(step: OpenStep): void {
    const stop = step.reserved === undefined ? null : Deferred.unsafeMake<void>(FiberId.none)
    const tool = step.kind === "tool" && stop === null
    this.attempts.set(step.step, { tool, fiber: this.host.fork(this.attempt(step, stop)), stop })
  }

  // Few effects: this runs at each step of each session.
  private attempt(step: OpenStep, stop: Attempt["stop"]): Effect.Effect<void, never, Blobs> {
    const { host } = this
    const { behaviour, clock, key, slots } = host
    let startedAt = step.dueAt
    let elsewhere: AttemptExit | null = null
    let used: Usage | undefined
    const spent = (usage: Usage) => {
      used = usage
    }
    const perform = Effect.suspend(() => {
      startedAt = Math.max(clock.unsafeCurrentTimeMillis(), step.dueAt)
      const away = slots.of(step.step)?.elsewhere
      slots.of(step.step)?.call?.begun()
      if (away == null)
        return host.within(behaviour.perform(step, host.state.behaviour, this.contextOf(step, stop, spent)))
      // What it came to over there counts also where it was interrupted here meanwhile.
      return Effect.uninterruptible(
        Effect.map(host.within(away(step, this.contextOf(step, null, spent))), (exit) => {
          elsewhere = exit
          return nothing
        })
      )
    })
    const known = this.isTold(step) ? Effect.zipRight(host.save(step), perform) : perform
    const restored = this.hasText(step) ? known : Effect.zipRight(this.restoreLive(step), known)
    // The first attempt has had its slot since before it was intended.
    const admitted = Effect.suspend(() =>
      slots.of(step.step) !== undefined
        ? restored
        : Effect.zipRight(slots.acquire(poolOf(behaviour, step.kind, step.name), step), restored)
    )
    const waited = Effect.suspend(() => {
      const early = step.dueAt - clock.unsafeCurrentTimeMillis()
      return early > 0 ? Effect.zipRight(clock.sleep(Duration.millis(early)), admitted) : admitted
    })
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.exit(restore(waited)), (exit) =>
        Effect.map(elsewhere === null ? settle(key, step.kind, exit, used) : Effect.succeed(elsewhere), (settled) => {
          slots.of(step.step)?.call?.over(endingOf(settled))
          slots.release(step.step)
          if (!this.closed) host.ended(step, startedAt, settled)
        })
      )
    )
  }

  /**
   * Whether the journal is to say that the attempt begins. The first one's intent does; another one begins by the clock, and
   * who takes the session over, with a clock of its own, would take it for one that waits, and begin it once more (I5).
   */
  private isTold(step: OpenStep): boolean {
    return step.attempt > 1 && step.repeatable === "never" && step.reserved === undefined && !isAsked(step)
  }

  private hasText(step: OpenStep): boolean {
    return step.nextInput !== "continue" || this.host.live.has(step.step)
  }

  /** A fresh runner has none of the text that the journal kept of a cut answer: readers count from its start. */
  private restoreLive(step: OpenStep): Effect.Effect<void, never, Blobs> {
    const { key, live } = this.host
    return Claim.resolve(key.namespace, step.partial ?? null).pipe(
      Effect.map((partial) => live.begin(step.step, Feed.textOf(partial))),
      // The step itself will meet the same loss and say so.
      Effect.ignore
    )
  }

  private contextOf(step: OpenStep, stop: Attempt["stop"], spent: NonNullable<StepContext["spent"]>): StepContext {
    const { host } = this
    const { behaviour, key, live, slots } = host
    return {
      call: slots.of(step.step)?.call,
      key,
      agent: behaviour.agent,
      turn: step.turn,
      step: step.step,
      attempt: step.attempt,
      // Made for those who ask.
      get idempotencyKey() {
        return idempotencyKey(key, step.step)
      },
      spent,
      emit: (channel, text) =>
        Effect.sync(() => {
          live.push(step.step, channel, text)
          host.changed()
        }),
      saved: step.partial,
      save: (partial) => host.save(step, partial),
      ...(stop === null
        ? {}
        : {
            child: (task) => Child.run(host.remotes, { key, step: step.step, budget: step.reserved ?? {} }, task, stop)
          })
    }
  }
}
