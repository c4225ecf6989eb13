/**
 * What providers allow, by lane. A lane is what shares a limit: the models of one provider and key, or one model. There is
 * one of each in the whole cluster, whatever runner a session is on.
 *
 * ```ts
 * RateLimits.layer({
 *   sonnet: { requests: 50, tokens: 40_000, concurrent: 8 },
 *   gpt: { requests: 500, models: ["gpt", "gpt-mini"] }
 * })
 * ```
 *
 * A model that is in none has a lane of its own name, and what it allows is learned from its answers.
 */
import { Context, Duration, Effect, Layer, Option } from "effect"
import * as Breaker from "./Breaker.ts"
import type { Rates } from "./Limiter.ts"

/** The name of the lane, and of the model, of agents that name none: they ask the runner's `LanguageModel`. */
export const unnamed = "default"

export interface Limit {
  /** Requests in a window. Learned from the provider's answers unless told. */
  readonly requests?: number | undefined
  /** Tokens in a window, input and output together. */
  readonly tokens?: number | undefined
  /** Calls at the same time. */
  readonly concurrent?: number | undefined
  /** How long the provider's window is; a minute unless told. */
  readonly per?: Duration.DurationInput | undefined
  /** The models that share it, by their names in `Models.layer`; the one of the lane's own name unless told. */
  readonly models?: ReadonlyArray<string> | undefined
  /** When the models' breakers open, and for how long. What is left out is that of `Breaker.defaults`. */
  readonly breaker?: Partial<Breaker.Settings> | undefined
}

export type Limits = Readonly<Record<string, Limit>>

export class RateLimits extends Context.Reference<RateLimits>()("perdure/RateLimits", {
  defaultValue: (): Limits => ({})
}) {}

/** A lane as it is to be. */
export interface Lane {
  readonly name: string
  readonly rates: Rates
  readonly breaker: Breaker.Settings
}

const minuteMs = 60_000

const isCount = (value: number | undefined): boolean => value === undefined || (value >= 1 && Number.isFinite(value))

/** What is wrong with a limit, if something is. */
const flawOf = ({ breaker, concurrent, models, per, requests, tokens, ...unknown }: Limit): string | null => {
  for (const name of Object.keys(unknown)) {
    return `there is no "${name}": a limit has requests, tokens, concurrent, per, models and breaker`
  }
  for (const [name, value] of Object.entries({ requests, tokens, concurrent })) {
    if (!isCount(value)) return `${name} is to be a number from 1 on, not ${value}`
  }
  if (per !== undefined && !Option.exists(Duration.decodeUnknown(per), (time) => Duration.toMillis(time) > 0)) {
    return `per is to be a time that is longer than nothing, such as "1 minute", not ${JSON.stringify(per)}`
  }
  if (models?.length === 0) return "models is empty: leave it out, or name one"
  const broken = Breaker.flawOf(breakerOf(breaker))
  return broken === null ? null : `breaker: ${broken}`
}

/** With what is left out, or left undefined, as it is by default. */
const breakerOf = (given: Limit["breaker"] = {}): Breaker.Settings => ({
  ...Breaker.defaults,
  ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
})

/**
 * Says what providers allow.
 *
 * @throws if a limit cannot be one, or two lanes have the same model: what cannot work fails where it is written
 */
export const layer = (limits: Limits): Layer.Layer<never> => {
  const taken = new Map<string, string>()
  for (const [lane, limit] of Object.entries(limits)) {
    const flaw = flawOf(limit)
    if (flaw !== null) throw new Error(`the rate limit of "${lane}": ${flaw}`)
    for (const model of limit.models ?? [lane]) {
      const other = taken.get(model)
      if (other !== undefined) throw new Error(`the model "${model}" is in two rate limits: "${other}" and "${lane}"`)
      taken.set(model, lane)
    }
  }
  return Layer.effect(RateLimits, Effect.succeed(limits)) as unknown as Layer.Layer<never>
}

/** Whether somebody said something of a model. */
export const isTold = (limits: Limits, model: string): boolean => laneOf(limits, model) !== null

const laneOf = (limits: Limits, model: string): string | null => {
  for (const [lane, limit] of Object.entries(limits)) {
    if ((limit.models ?? [lane]).includes(model)) return lane
  }
  return null
}

/** The lane of a model. */
export const of = (limits: Limits, model: string): Lane => named(limits, laneOf(limits, model) ?? model)

/** A lane by its name. */
export const named = (limits: Limits, name: string): Lane => {
  const { breaker, concurrent, per, requests, tokens } = limits[name] ?? {}
  return {
    name,
    rates: { requests, tokens, concurrent, perMs: per === undefined ? minuteMs : Duration.toMillis(per) },
    breaker: breakerOf(breaker)
  }
}
