/** How much one turn of an agent may use (I8). Limits are always on: what an agent does not say has a default. */
import { Duration } from "effect"
import type { Limits } from "../session/index.ts"

/** A part of the limits, as an agent states them. `wall` is the age of a turn. */
export interface Budget {
  readonly steps?: number | undefined
  readonly modelCalls?: number | undefined
  readonly toolCalls?: number | undefined
  /** Input and output tokens together. */
  readonly tokens?: number | undefined
  /** US dollars. Calls whose price is unknown count as nothing. */
  readonly usd?: number | undefined
  readonly wall?: Duration.DurationInput | undefined
}

/** Generous for a task that a person waits for; an agent that works for hours says so. */
export const defaults: Limits = {
  steps: 500,
  modelCalls: 100,
  toolCalls: 400,
  tokens: 5_000_000,
  usd: 10,
  wallMs: 60 * 60 * 1000
}

export const resolve = (budget: Budget = {}): Limits => ({
  steps: budget.steps ?? defaults.steps,
  modelCalls: budget.modelCalls ?? defaults.modelCalls,
  toolCalls: budget.toolCalls ?? defaults.toolCalls,
  tokens: budget.tokens ?? defaults.tokens,
  usd: budget.usd ?? defaults.usd,
  wallMs: budget.wall === undefined ? defaults.wallMs : Duration.toMillis(budget.wall)
})
