/** A server that speaks OpenAI's Responses API as `@effect/ai-openai` calls it. */
import * as OpenAiClient from "@effect/ai-openai/OpenAiClient"
import * as OpenAiLanguageModel from "@effect/ai-openai/OpenAiLanguageModel"
import type { LanguageModel } from "@effect/ai/LanguageModel"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import { Layer, Redacted } from "effect"
import { type Beat, type FakeProvider, sse } from "./FakeProvider.ts"

export const modelId = "gpt-5-2025-08-07"

export type Item =
  | { readonly type: "message"; readonly id: string; readonly pieces: ReadonlyArray<string>; readonly refusal?: string }
  | {
      readonly type: "reasoning"
      readonly id: string
      readonly encrypted: string
      readonly summaries: ReadonlyArray<string>
    }
  | {
      readonly type: "call"
      readonly id: string
      readonly callId: string
      readonly name: string
      readonly json: string
    }

export const text = (id: string, ...pieces: ReadonlyArray<string>): Item => ({ type: "message", id, pieces })
export const reasoning = (id: string, encrypted: string, ...summaries: ReadonlyArray<string>): Item => ({
  type: "reasoning",
  id,
  encrypted,
  summaries
})
export const call = (id: string, callId: string, name: string, json: string): Item => ({
  type: "call",
  id,
  callId,
  name,
  json
})

type Event = { readonly type: string; readonly [field: string]: unknown }

const itemEvents = (item: Item, output_index: number): ReadonlyArray<Event> => {
  const added = (item: object) => ({ type: "response.output_item.added", output_index, item })
  const done = (item: object) => ({ type: "response.output_item.done", output_index, item })
  switch (item.type) {
    case "message": {
      const message = { type: "message", id: item.id, role: "assistant" }
      const content =
        item.refusal === undefined
          ? { type: "output_text", text: item.pieces.join(""), annotations: [] }
          : { type: "refusal", refusal: item.refusal }
      return [
        added({ ...message, status: "in_progress", content: [] }),
        ...item.pieces.map((delta) => ({
          type: "response.output_text.delta",
          output_index,
          content_index: 0,
          item_id: item.id,
          delta
        })),
        done({ ...message, status: "completed", content: [content] })
      ]
    }
    case "reasoning": {
      const reasoning = { type: "reasoning", id: item.id }
      return [
        added({ ...reasoning, summary: [] }),
        ...item.summaries.flatMap((delta, summary_index): ReadonlyArray<Event> => {
          const at = { output_index, item_id: item.id, summary_index }
          return [
            { type: "response.reasoning_summary_part.added", ...at, part: { type: "summary_text", text: "" } } as Event,
            { type: "response.reasoning_summary_text.delta", ...at, delta } as Event
          ]
        }),
        done({
          ...reasoning,
          encrypted_content: item.encrypted,
          summary: item.summaries.map((text) => ({ type: "summary_text", text }))
        })
      ]
    }
    case "call": {
      const call = { type: "function_call", id: item.id, call_id: item.callId, name: item.name }
      return [
        added({ ...call, arguments: "", status: "in_progress" }),
        { type: "response.function_call_arguments.delta", output_index, item_id: item.id, delta: item.json } as Event,
        done({ ...call, arguments: item.json, status: "completed" })
      ]
    }
  }
}

const response = (fields: object) => ({
  id: "resp_1",
  object: "response",
  created_at: 1_700_000_000,
  status: "in_progress",
  error: null,
  incomplete_details: null,
  output: [],
  instructions: null,
  parallel_tool_calls: true,
  model: modelId,
  tools: [],
  tool_choice: "auto",
  metadata: {},
  temperature: 1,
  top_p: 1,
  ...fields
})

export interface Usage {
  readonly input_tokens: number
  readonly cached: number
  readonly output_tokens: number
  readonly reasoning: number
}

const usageOf = (usage: Usage) => ({
  input_tokens: usage.input_tokens,
  input_tokens_details: { cached_tokens: usage.cached },
  output_tokens: usage.output_tokens,
  output_tokens_details: { reasoning_tokens: usage.reasoning },
  total_tokens: usage.input_tokens + usage.output_tokens
})

/** An answer's events, one beat each. `end`: `completed`, `failed`, or why it is incomplete. */
export const answer = (
  items: ReadonlyArray<Item>,
  options: {
    readonly end?: "completed" | "failed" | "max_output_tokens" | "content_filter"
    readonly usage?: Usage
  } = {}
): ReadonlyArray<Beat> => {
  const end = options.end ?? "completed"
  const usage = usageOf(options.usage ?? { input_tokens: 10, cached: 0, output_tokens: 5, reasoning: 0 })
  const last: Event & { readonly response: object } =
    end === "completed"
      ? { type: "response.completed", response: response({ status: "completed", usage }) }
      : end === "failed"
        ? {
            type: "response.failed",
            response: response({ status: "failed", error: { code: "server_error", message: "oh" }, usage: null })
          }
        : {
            type: "response.incomplete",
            response: response({ status: "incomplete", incomplete_details: { reason: end }, usage })
          }
  return [{ type: "response.created", response: response({}) }, ...items.flatMap(itemEvents), last].map(
    (event, sequence_number) => sse({ sequence_number, ...event })
  )
}

/** An `error` event in the middle of a stream. */
export const errorEvent = (code: string | null, message = "something happened"): Beat =>
  sse({ type: "error", code, message, param: null, sequence_number: 99 } as Event)

export const errorBody = (
  code: string | null,
  message: string,
  type = "invalid_request_error",
  param: string | null = null
) => ({
  error: { message, type, param, code }
})

export const layer = (
  fake: FakeProvider,
  options: { readonly apiKey?: string; readonly http?: Layer.Layer<HttpClient.HttpClient> } = {}
): Layer.Layer<LanguageModel> =>
  OpenAiLanguageModel.layer({ model: modelId }).pipe(
    Layer.provide(OpenAiClient.layer({ apiUrl: fake.url, apiKey: Redacted.make(options.apiKey ?? "sk-fake") })),
    Layer.provide(options.http ?? FetchHttpClient.layer)
  )
