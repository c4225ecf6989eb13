/** The span of a running turn: opened when this runner begins or takes over the turn, closed when it ends or leaves. */
import { Deferred, Effect, Runtime, type Tracer } from "effect"
import type { AttemptFailed, Noted, Paused, Resumed, StepFailed } from "../../domain/Entry.ts"
import { Names, Spans } from "../../telemetry/index.ts"

export interface TurnSpan {
  /** Makes the steps' spans its children. */
  readonly within: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Something happened, `at` in milliseconds since the epoch. */
  readonly event: (name: string, at: number, attributes: Readonly<Record<string, unknown>>) => void
  readonly end: (outcome: string) => void
}

/** Says of a failed attempt why, what is next, who decided so, and what it cost. */
export const attemptFailed = (span: TurnSpan, entry: AttemptFailed | StepFailed, at: number): void => {
  const { decided, failure, usage } = entry
  const { Attribute } = Names
  span.event(Names.EventName.attemptFailed, at, {
    [Attribute.step]: entry.step,
    [Attribute.attempt]: entry.attempt,
    [Attribute.failureClass]: failure.class,
    ...(decided === undefined
      ? {}
      : { [Attribute.plan]: decided.plan, [Attribute.policy]: decided.policy, [Attribute.rule]: decided.rule }),
    ...(decided?.model === undefined ? {} : { [Attribute.model]: decided.model }),
    ...(entry._tag === "StepFailed"
      ? {}
      : { [Attribute.retryMs]: Math.max(0, entry.retryAt - at), [Attribute.nextInput]: entry.nextInput }),
    ...(usage?.usd == null ? {} : { [Attribute.usd]: usage.usd })
  })
}

/** Says what was decided about the turn on its way. */
export const noted = (span: TurnSpan, entry: Noted | Paused | Resumed, at: number): void => {
  const { Attribute, EventName } = Names
  if (entry._tag === "Noted") {
    span.event(EventName.noted, at, { [Attribute.reason]: entry.kind })
    return
  }
  const pause = { [Attribute.pause]: entry.pause }
  if (entry._tag === "Paused") span.event(EventName.paused, at, { ...pause, [Attribute.reason]: entry.kind })
  else span.event(EventName.resumed, at, { ...pause, [Attribute.decision]: entry.decision })
}

/** What stands for a span where nobody looks. */
export const none: TurnSpan = { within: (effect) => effect, event: () => {}, end: () => {} }

export const open = (runtime: Runtime.Runtime<never>, subject: Spans.Subject): TurnSpan => {
  const ended = Deferred.unsafeMake<string>(Runtime.runSync(runtime)(Effect.fiberId))
  let span: Tracer.AnySpan | undefined
  const life = Effect.gen(function* () {
    span = yield* Effect.orDie(Effect.currentSpan)
    yield* Spans.outcome(yield* Deferred.await(ended))
  })
  // Runs up to the wait at once: the span is there when this returns.
  Runtime.runFork(runtime)(Spans.turn(subject)(life))
  return {
    within: (effect) => (span === undefined ? effect : Effect.withParentSpan(effect, span)) as typeof effect,
    event: (name, at, attributes) => {
      if (span?._tag === "Span") span.event(name, BigInt(at) * 1_000_000n, { ...attributes })
    },
    end: (outcome) => Deferred.unsafeDone(ended, Effect.succeed(outcome))
  }
}
