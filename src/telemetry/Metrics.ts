/**
 * Metrics of the runtime: counters and histograms on Effect's registry, which is a few additions in memory whether or
 * not anybody exports them. Durations are given in milliseconds and kept in seconds, as the conventions have them.
 */
import { Effect, Metric, MetricBoundaries } from "effect"
import { Attribute, MetricName } from "./Names.ts"
import type { Usage } from "./Spans.ts"

type Tags = Readonly<Record<string, string>>
interface Described {
  readonly name: string
  readonly unit: string
  readonly description: string
}

/** Upper bounds of durations, in seconds: from a commit to disk to an hour's tool. */
const seconds = MetricBoundaries.fromIterable([
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600
])

/** The conventions' own bounds for tokens: powers of four. */
const tokens = MetricBoundaries.exponential({ start: 1, factor: 4, count: 14 })

const described = <Type, Out>(metric: Metric.Metric<Type, number, Out>, of: Described) =>
  Metric.tagged(metric, "unit", of.unit)

const counter = (of: Described) =>
  described(Metric.counter(of.name, { description: of.description, incremental: true }), of)
const histogram = (of: Described, bounds: MetricBoundaries.MetricBoundaries) =>
  described(Metric.histogram(of.name, bounds, of.description), of)

export const steps = counter(MetricName.steps)
export const stepDuration = histogram(MetricName.stepDuration, seconds)
export const failures = counter(MetricName.failures)
export const turns = counter(MetricName.turns)
export const appendDuration = histogram(MetricName.appendDuration, seconds)
export const appendEntries = counter(MetricName.appendEntries)
export const tokenUsage = histogram(MetricName.tokenUsage, tokens)
export const cachedTokens = counter(MetricName.cachedTokens)
export const modelDuration = histogram(MetricName.modelDuration, seconds)
export const cost = counter(MetricName.cost)

/** How many series one metric may have. A name from outside (a model's) must not grow memory without bound. */
const maxSeries = 500

/** A metric's series by their tags, each made once: tagging is dear, adding is cheap. */
const series = <Type, Out>(metric: Metric.Metric<Type, number, Out>) => {
  const made = new Map<string, Metric.Metric<Type, number, Out>>()
  return (tags: Tags): Metric.Metric<Type, number, Out> => {
    const key = Object.values(tags).join("\u0000")
    const known = made.get(key)
    if (known !== undefined) return known
    const full = made.size >= maxSeries
    const bounded = full ? Object.fromEntries(Object.keys(tags).map((name) => [name, "_OTHER"])) : tags
    const tagged = Object.entries(bounded).reduce((sum, [name, value]) => Metric.tagged(sum, name, value), metric)
    if (!full) made.set(key, tagged)
    return tagged
  }
}

const none: ReadonlyArray<never> = []
const stepsOf = series(steps)
const stepDurationOf = series(stepDuration)
const failuresOf = series(failures)
const turnsOf = series(turns)
const tokenUsageOf = series(tokenUsage)
const cachedTokensOf = series(cachedTokens)
const modelDurationOf = series(modelDuration)
const costOf = series(cost)

/** A step ended. `outcome` is the tag of its outcome (`StepSucceeded`, `StepFailed`, `StepInDoubt`). */
export const stepEnded = (of: { readonly kind: string; readonly outcome: string; readonly durationMs: number }) =>
  Effect.sync(() => {
    stepsOf({ [Attribute.stepKind]: of.kind, [Attribute.outcome]: of.outcome }).unsafeUpdate(1, none)
    stepDurationOf({ [Attribute.stepKind]: of.kind }).unsafeUpdate(of.durationMs / 1000, none)
  })

/** An attempt failed, whether or not another follows. `class` is one of the closed union `FailureClass`. */
export const attemptFailed = (of: { readonly kind: string; readonly class: string }) =>
  Effect.sync(() =>
    failuresOf({ [Attribute.stepKind]: of.kind, [Attribute.failureClass]: of.class }).unsafeUpdate(1, none)
  )

/** A turn ended. `outcome` is the tag of its `TurnOutcome`. */
export const turnEnded = (of: { readonly agent: string; readonly outcome: string }) =>
  Effect.sync(() => turnsOf({ [Attribute.agent]: of.agent, [Attribute.outcome]: of.outcome }).unsafeUpdate(1, none))

/** A flush became durable. */
export const appended = (of: { readonly entries: number; readonly durationMs: number }) =>
  Effect.sync(() => {
    appendDuration.unsafeUpdate(of.durationMs / 1000, none)
    appendEntries.unsafeUpdate(of.entries, none)
  })

/** A model answered, in whole or in part. */
export const modelCalled = (of: {
  readonly provider: string
  readonly model: string
  readonly usage: Usage
  readonly durationMs: number
}) =>
  Effect.sync(() => {
    const tags = {
      [Attribute.operation]: "chat",
      [Attribute.provider]: of.provider,
      [Attribute.requestModel]: of.model
    }
    tokenUsageOf({ ...tags, [Attribute.tokenType]: "input" }).unsafeUpdate(of.usage.inputTokens, none)
    tokenUsageOf({ ...tags, [Attribute.tokenType]: "output" }).unsafeUpdate(of.usage.outputTokens, none)
    cachedTokensOf({ ...tags, "perdure.cache": "read" }).unsafeUpdate(of.usage.cacheReadTokens, none)
    cachedTokensOf({ ...tags, "perdure.cache": "write" }).unsafeUpdate(of.usage.cacheWriteTokens, none)
    modelDurationOf(tags).unsafeUpdate(of.durationMs / 1000, none)
    if (of.usage.usd !== null) costOf(tags).unsafeUpdate(of.usage.usd, none)
  })
