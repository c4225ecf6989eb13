/** What a model call used, and what that cost. */
import { Schema } from "effect"

const Tokens = Schema.NonNegativeInt

/**
 * Tokens of one or more model calls. `inputTokens` counts all input, cached or not, whatever the provider's own habit
 * is; `cacheReadTokens` and `cacheWriteTokens` are parts of it; `reasoningTokens` is a part of `outputTokens`.
 */
export const Usage = Schema.Struct({
  inputTokens: Tokens,
  outputTokens: Tokens,
  reasoningTokens: Tokens,
  cacheReadTokens: Tokens,
  cacheWriteTokens: Tokens,
  /** US dollars; `null` where the price table does not know the model. */
  usd: Schema.NullOr(Schema.NonNegative.pipe(Schema.finite()))
})
export type Usage = typeof Usage.Type

export const zero: Usage = {
  inputTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  usd: 0
}

/** An unknown price counts as nothing in a sum: the total is a lower bound, and the steps say which price is unknown. */
export const add = (a: Usage, b: Usage): Usage => ({
  inputTokens: a.inputTokens + b.inputTokens,
  outputTokens: a.outputTokens + b.outputTokens,
  reasoningTokens: a.reasoningTokens + b.reasoningTokens,
  cacheReadTokens: a.cacheReadTokens + b.cacheReadTokens,
  cacheWriteTokens: a.cacheWriteTokens + b.cacheWriteTokens,
  usd: (a.usd ?? 0) + (b.usd ?? 0)
})

export const totalTokens = (usage: Usage): number => usage.inputTokens + usage.outputTokens
