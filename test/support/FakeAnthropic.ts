/** A server that speaks Anthropic's Messages API as `@effect/ai-anthropic` calls it. */
import * as AnthropicClient from "@effect/ai-anthropic/AnthropicClient"
import * as AnthropicLanguageModel from "@effect/ai-anthropic/AnthropicLanguageModel"
import type { LanguageModel } from "@effect/ai/LanguageModel"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import { Layer, Redacted } from "effect"
import { type Beat, type FakeProvider, sse } from "./FakeProvider.ts"

export const modelId = "claude-sonnet-4-5-20250929"

export interface Usage {
  readonly input_tokens: number
  readonly output_tokens: number
  readonly cache_read_input_tokens?: number
  readonly cache_creation_input_tokens?: number
}

/** Blocks of an answer. `pieces` come as one delta each. */
export type Block =
  | { readonly type: "text"; readonly pieces: ReadonlyArray<string> }
  | { readonly type: "thinking"; readonly pieces: ReadonlyArray<string>; readonly signature: string }
  | { readonly type: "redacted"; readonly data: string }
  | { readonly type: "tool"; readonly id: string; readonly name: string; readonly json: ReadonlyArray<string> }
  | { readonly type: "search"; readonly id: string; readonly query: string }

export const text = (...pieces: ReadonlyArray<string>): Block => ({ type: "text", pieces })
export const thinking = (signature: string, ...pieces: ReadonlyArray<string>): Block => ({
  type: "thinking",
  pieces,
  signature
})
/** A call; its arguments as they are streamed, valid JSON or not. */
export const tool = (id: string, name: string, ...json: ReadonlyArray<string>): Block => ({
  type: "tool",
  id,
  name,
  json
})

const blockEvents = (block: Block, index: number): ReadonlyArray<{ readonly type: string }> => {
  const start = (content_block: object) => ({ type: "content_block_start", index, content_block })
  const delta = (delta: object) => ({ type: "content_block_delta", index, delta })
  const stop = { type: "content_block_stop", index }
  switch (block.type) {
    case "text":
      return [
        start({ type: "text", text: "" }),
        ...block.pieces.map((text) => delta({ type: "text_delta", text })),
        stop
      ]
    case "thinking":
      return [
        start({ type: "thinking", thinking: "", signature: "" }),
        ...block.pieces.map((thinking) => delta({ type: "thinking_delta", thinking })),
        delta({ type: "signature_delta", signature: block.signature }),
        stop
      ]
    case "redacted":
      return [start({ type: "redacted_thinking", data: block.data }), stop]
    case "tool":
      return [
        start({ type: "tool_use", id: block.id, name: block.name, input: {} }),
        ...block.json.map((partial_json) => delta({ type: "input_json_delta", partial_json })),
        stop
      ]
    case "search":
      return [
        start({ type: "server_tool_use", id: block.id, name: "web_search", input: {} }),
        delta({ type: "input_json_delta", partial_json: JSON.stringify({ query: block.query }) }),
        stop
      ]
  }
}

/** An answer's events, one beat each. */
export const message = (
  blocks: ReadonlyArray<Block>,
  options: { readonly stop?: string; readonly usage?: Usage } = {}
): ReadonlyArray<Beat> => {
  const usage = options.usage ?? { input_tokens: 10, output_tokens: 5 }
  return [
    {
      type: "message_start",
      message: {
        id: "msg_1",
        type: "message",
        role: "assistant",
        content: [],
        model: modelId,
        stop_reason: null,
        stop_sequence: null,
        usage: { ...usage, output_tokens: 1 }
      }
    },
    { type: "ping" },
    ...blocks.flatMap(blockEvents),
    {
      type: "message_delta",
      delta: {
        stop_reason: options.stop ?? (blocks.some((block) => block.type === "tool") ? "tool_use" : "end_turn"),
        stop_sequence: null
      },
      usage: { output_tokens: usage.output_tokens }
    },
    { type: "message_stop" }
  ].map(sse)
}

/** An `error` event in the middle of a stream. */
export const errorEvent = (type: string, message = "something happened"): Beat =>
  sse({ type: "error", error: { type, message } } as { type: string })

export const errorBody = (type: string, message: string) => ({ type: "error", error: { type, message } })

export const layer = (
  fake: FakeProvider,
  options: { readonly apiKey?: string; readonly http?: Layer.Layer<HttpClient.HttpClient> } = {}
): Layer.Layer<LanguageModel> =>
  AnthropicLanguageModel.layer({ model: modelId }).pipe(
    Layer.provide(AnthropicClient.layer({ apiUrl: fake.url, apiKey: Redacted.make(options.apiKey ?? "sk-ant-fake") })),
    Layer.provide(options.http ?? FetchHttpClient.layer)
  )
