/**
 * What models cost, in US dollars a million tokens.
 *
 * The figures are list prices for standard processing, as read in May 2026 from the providers' price pages
 * (platform.claude.com/docs/en/about-claude/pricing, platform.openai.com/docs/pricing) and from summaries of them.
 * Providers change them: check before you bill anybody by them, and replace the table where they are wrong:
 *
 * ```ts
 * Layer.succeed(Prices.Prices, { ...Prices.table, "my-model": { input: 1, output: 4, cacheRead: 0.1, cacheWrite: 1 } })
 * ```
 *
 * Not in it: batch and priority tiers, surcharges for very long contexts, one-hour cache writes, hosted tools.
 */
import { Context } from "effect"
import type { Usage } from "../domain/Usage.ts"

/** The day on which {@link table} was last looked through. */
export const asOf = "2026-05-01"

/** US dollars a million tokens. */
export interface Price {
  /** Input that is neither read from nor written to a cache. */
  readonly input: number
  /** Output, reasoning included. */
  readonly output: number
  readonly cacheRead: number
  readonly cacheWrite: number
}

export type Table = Readonly<Record<string, Price>>

const price = (input: number, output: number, cacheRead: number, cacheWrite: number): Price => ({
  input,
  output,
  cacheRead,
  cacheWrite
})

/** Anthropic: a cache read costs a tenth of the input, a (five-minute) write a quarter more than it. */
const anthropic = (input: number, output: number): Price => price(input, output, input * 0.1, input * 1.25)

/** OpenAI: writing to the cache costs nothing of its own. */
const openai = (input: number, output: number, cached: number): Price => price(input, output, cached, input)

/** By model id without its date: `claude-sonnet-4-5-20250929` is looked up as itself, then as `claude-sonnet-4-5`. */
export const table: Table = {
  "claude-opus-4-6": anthropic(5, 25),
  "claude-opus-4-5": anthropic(5, 25),
  "claude-opus-4-1": anthropic(15, 75),
  "claude-opus-4": anthropic(15, 75),
  "claude-sonnet-4-6": anthropic(3, 15),
  "claude-sonnet-4-5": anthropic(3, 15),
  "claude-sonnet-4": anthropic(3, 15),
  "claude-3-7-sonnet": anthropic(3, 15),
  "claude-3-5-sonnet": anthropic(3, 15),
  "claude-haiku-4-5": anthropic(1, 5),
  "claude-3-5-haiku": anthropic(0.8, 4),
  "claude-3-haiku": price(0.25, 1.25, 0.03, 0.3),
  "claude-3-opus": anthropic(15, 75),

  "gpt-5.4": openai(2.5, 15, 0.25),
  "gpt-5.4-mini": openai(0.75, 4.5, 0.075),
  "gpt-5.4-nano": openai(0.2, 1.25, 0.02),
  "gpt-5.2": openai(1.75, 14, 0.175),
  "gpt-5.2-codex": openai(1.75, 14, 0.175),
  "gpt-5.2-pro": openai(21, 168, 21),
  "gpt-5.1": openai(1.25, 10, 0.125),
  "gpt-5.1-codex": openai(1.25, 10, 0.125),
  "gpt-5": openai(1.25, 10, 0.125),
  "gpt-5-codex": openai(1.25, 10, 0.125),
  "gpt-5-pro": openai(15, 120, 15),
  "gpt-5-mini": openai(0.25, 2, 0.025),
  "gpt-5-nano": openai(0.05, 0.4, 0.005),
  "gpt-4.1": openai(2, 8, 0.5),
  "gpt-4.1-mini": openai(0.4, 1.6, 0.1),
  "gpt-4.1-nano": openai(0.1, 0.4, 0.025),
  "gpt-4o": openai(2.5, 10, 1.25),
  "gpt-4o-mini": openai(0.15, 0.6, 0.075),
  o3: openai(2, 8, 0.5),
  "o4-mini": openai(1.1, 4.4, 0.275),

  // perdure/testing: a scripted model costs nothing
  scripted: price(0, 0, 0, 0)
}

/** The table in use: {@link table} unless another is provided. */
export class Prices extends Context.Reference<Prices>()("perdure/Prices", {
  defaultValue: (): Table => table
}) {}

const dated = /(?:-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest|0)|@.*)$/

/** The price of a model, with or without a date, `-latest` or `@version` in its id; `null` where it is not known. */
export const find = (table: Table, model: string | null): Price | null => {
  if (model === null) return null
  const lookup = (id: string) => (Object.hasOwn(table, id) ? table[id]! : null)
  return lookup(model) ?? lookup(model.replace(dated, ""))
}

/** US dollars for these tokens; `null` where the price is not known. */
export const cost = (price: Price | null, usage: Omit<Usage, "usd">): number | null => {
  if (price === null) return null
  const plain = Math.max(0, usage.inputTokens - usage.cacheReadTokens - usage.cacheWriteTokens)
  return (
    (plain * price.input +
      usage.cacheReadTokens * price.cacheRead +
      usage.cacheWriteTokens * price.cacheWrite +
      usage.outputTokens * price.output) /
    1_000_000
  )
}
