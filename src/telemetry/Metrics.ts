/**
 * Metrics of the runtime: counters and histograms on Effect's registry, which is a few additions in memory whether or
 * not anybody exports them: what comes at each step is a function, not an effect. Durations are given in milliseconds
 * and kept in seconds, as the conventions have them.
 */
import { Effect, Metric, MetricBoundaries, MetricLabel } from "effect"
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

/** How many series one metric may have. A name from outside (a model's) must not grow memory without bound. */
const maxSeries = 500

/**
 * A metric by its tags. Labels are made once a series and handed to Effect as the same array each time: it finds the
 * series by that array's identity in 0.1 µs, and by the labels' hashes in several.
 */
const series = <Type, Out>(metric: Metric.Metric<Type, number, Out>, unit: string) => {
  const made = new Map<string, ReadonlyArray<MetricLabel.MetricLabel>>()
  const labels = (tags: Tags) => Object.entries({ unit, ...tags }).map(([name, value]) => MetricLabel.make(name, value))
  return (tags: Tags, value: number): void => {
    let key = ""
    for (const name in tags) key += `${tags[name]}\u0000`
    let found = made.get(key)
    if (found === undefined && made.size >= maxSeries) {
      found = labels(Object.fromEntries(Object.keys(tags).map((name) => [name, "_OTHER"])))
    } else if (found === undefined) {
      found = labels(tags)
      made.set(key, found)
    }
    metric.unsafeUpdate(value, found)
  }
}

const counter = (of: Described) =>
  series(Metric.counter(of.name, { description: of.description, incremental: true }), of.unit)
const gauge = (of: Described) => series(Metric.gauge(of.name, { description: of.description }), of.unit)
const histogram = (of: Described, bounds: MetricBoundaries.MetricBoundaries) =>
  series(Metric.histogram(of.name, bounds, of.description), of.unit)

const steps = counter(MetricName.steps)
const stepDuration = histogram(MetricName.stepDuration, seconds)
const failures = counter(MetricName.failures)
const turns = counter(MetricName.turns)
const notes = counter(MetricName.notes)
const poolRunning = gauge(MetricName.poolRunning)
const poolWaiting = gauge(MetricName.poolWaiting)
const poolWait = histogram(MetricName.poolWait, seconds)
const laneWaiting = gauge(MetricName.laneWaiting)
const laneRunning = gauge(MetricName.laneRunning)
const laneWait = histogram(MetricName.laneWait, seconds)
const laneBlocked = gauge(MetricName.laneBlocked)
const breakerOpen = gauge(MetricName.breakerOpen)
const appendDuration = histogram(MetricName.appendDuration, seconds)
const appendEntries = counter(MetricName.appendEntries)
const tokenUsage = histogram(MetricName.tokenUsage, tokens)
const cachedTokens = counter(MetricName.cachedTokens)
const modelDuration = histogram(MetricName.modelDuration, seconds)
const cost = counter(MetricName.cost)
const untagged: Tags = {}

/** A step ended. `outcome` is the tag of its outcome (`StepSucceeded`, `StepFailed`, `StepInDoubt`). */
export const stepEnded = (of: {
  readonly kind: string
  readonly outcome: string
  readonly durationMs: number
}): void => {
  steps({ [Attribute.stepKind]: of.kind, [Attribute.outcome]: of.outcome }, 1)
  stepDuration({ [Attribute.stepKind]: of.kind }, of.durationMs / 1000)
}

/** An attempt failed, whether or not another follows. `class` is one of the closed union `FailureClass`. */
export const attemptFailed = (of: { readonly kind: string; readonly class: string }): void =>
  failures({ [Attribute.stepKind]: of.kind, [Attribute.failureClass]: of.class }, 1)

/** A turn ended. `outcome` is the tag of its `TurnOutcome`. */
export const turnEnded = (of: { readonly agent: string; readonly outcome: string }): void =>
  turns({ [Attribute.agent]: of.agent, [Attribute.outcome]: of.outcome }, 1)

/** A limit was met, a loop was found, a turn was told that its budget nears its end, or is paused. */
export const noted = (of: { readonly agent: string; readonly reason: string }): void =>
  notes({ [Attribute.agent]: of.agent, [Attribute.reason]: of.reason }, 1)

/** What one pool of a runner reports, at each step: functions, not effects, and nothing where nothing has changed. */
export const pool = (name: string) => {
  const tags = { [Attribute.pool]: name }
  let running = 0
  let waiting = 0
  return {
    changed: (now: { readonly running: number; readonly waiting: number }): void => {
      if (now.running !== running) poolRunning(tags, now.running)
      if (now.waiting !== waiting) poolWaiting(tags, now.waiting)
      running = now.running
      waiting = now.waiting
    },
    /** A wait is over. Steps that found a slot at once are not counted. */
    waited: (ms: number): void => poolWait(tags, Math.max(0, ms) / 1000)
  }
}

/**
 * What a runner reports of a lane: what it sees of the whole cluster, so that any one runner's is all of it. Times in
 * milliseconds since the epoch.
 */
export const lane = (name: string) => {
  const tags = { [Attribute.lane]: name }
  const open = new Set<string>()
  return {
    changed: (now: {
      readonly waiting: number
      readonly running: number
      readonly blockedForMs: number
      readonly open: ReadonlyArray<string>
    }): void => {
      laneWaiting(tags, now.waiting)
      laneRunning(tags, now.running)
      laneBlocked(tags, now.blockedForMs / 1000)
      for (const model of open) if (!now.open.includes(model)) breakerOpen({ ...tags, [Attribute.model]: model }, 0)
      open.clear()
      for (const model of now.open) {
        breakerOpen({ ...tags, [Attribute.model]: model }, 1)
        open.add(model)
      }
    },
    /** A wait is over. Calls that could begin at once are not counted. */
    waited: (ms: number): void => laneWait(tags, Math.max(0, ms) / 1000)
  }
}

/** A flush became durable. */
export const appended = (of: { readonly entries: number; readonly durationMs: number }): void => {
  appendDuration(untagged, of.durationMs / 1000)
  appendEntries(untagged, of.entries)
}

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
    tokenUsage({ ...tags, [Attribute.tokenType]: "input" }, of.usage.inputTokens)
    tokenUsage({ ...tags, [Attribute.tokenType]: "output" }, of.usage.outputTokens)
    cachedTokens({ ...tags, [Attribute.cache]: "read" }, of.usage.cacheReadTokens)
    cachedTokens({ ...tags, [Attribute.cache]: "write" }, of.usage.cacheWriteTokens)
    modelDuration(tags, of.durationMs / 1000)
    if (of.usage.usd !== null) cost(tags, of.usage.usd)
  })
