/** Tokens by one count, whatever the provider's own habit. */
import type * as Response from "@effect/ai/Response"
import type { Message } from "../../domain/Message.ts"
import type { Usage } from "../../domain/Usage.ts"
import { cost, find, type Table } from "../Prices.ts"
import type { Finish } from "./Collector.ts"

const count = (u: unknown): number => (typeof u === "number" && u > 0 && Number.isFinite(u) ? Math.round(u) : 0)

const record = (u: unknown): Readonly<Record<string, unknown>> =>
  typeof u === "object" && u !== null ? (u as Record<string, unknown>) : {}

const priced = (tokens: Omit<Usage, "usd">, table: Table, model: string | null): Usage => ({
  ...tokens,
  usd: cost(find(table, model), tokens)
})

/**
 * Anthropic counts cached input beside `input_tokens` and names cache writes only in its metadata; the others count all
 * input as one.
 */
export const normalise = ({ metadata, usage }: Finish, table: Table, model: string | null): Usage => {
  const given: Partial<Response.Usage> = usage
  const anthropic = "anthropic" in metadata ? record(record(metadata["anthropic"])["usage"]) : null
  const cacheReadTokens = count(given.cachedInputTokens)
  const cacheWriteTokens = count(anthropic?.["cache_creation_input_tokens"])
  return priced(
    {
      inputTokens: count(given.inputTokens) + (anthropic === null ? 0 : cacheReadTokens + cacheWriteTokens),
      outputTokens: count(given.outputTokens),
      reasoningTokens: count(given.reasoningTokens),
      cacheReadTokens,
      cacheWriteTokens
    },
    table,
    model
  )
}

/**
 * What an answer is taken to have used whose provider never said: four characters a token, as they say of English.
 *
 * @param prefix the text that it went on from
 * @param characters how many came
 */
export const estimate = (
  {
    instructions = "",
    messages
  }: { readonly instructions?: string | undefined; readonly messages: ReadonlyArray<Message> },
  prefix: string,
  characters: number,
  table: Table,
  model: string | null
): Usage =>
  priced(
    {
      inputTokens: Math.ceil((instructions.length + JSON.stringify(messages).length + prefix.length) / 4),
      outputTokens: Math.ceil(characters / 4),
      reasoningTokens: 0,
      cacheReadTokens: 0,
      cacheWriteTokens: 0
    },
    table,
    model
  )
