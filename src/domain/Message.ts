/**
 * The conversation as it is journaled: provider-neutral, plain JSON, provider metadata (signatures) kept verbatim.
 *
 * Any `Text` of it may be a claim on a blob (`blob/Claim`): a short string that stands for a long one.
 */
import { Schema } from "effect"
import { Json, Text } from "./Json.ts"

/** What the provider wants to see again, unread by us: thinking signatures, item ids. */
const Metadata = Schema.optional(Schema.Record({ key: Schema.String, value: Json }))

export const TextPart = Schema.Struct({ type: Schema.Literal("text"), text: Text, metadata: Metadata })
export type TextPart = typeof TextPart.Type

export const ReasoningPart = Schema.Struct({ type: Schema.Literal("reasoning"), text: Text, metadata: Metadata })

export const ToolCallPart = Schema.Struct({
  type: Schema.Literal("tool-call"),
  /** The provider's id of the call. */
  id: Text,
  name: Text,
  /** Encoded arguments, as the model wrote them. */
  params: Json,
  /** Why the call cannot be run: unknown tool, or arguments that do not fit. The model is told so. */
  invalid: Schema.optional(Text),
  /** The provider ran it itself: there is nothing to run here. */
  providerExecuted: Schema.optional(Schema.Boolean),
  metadata: Metadata
})
export type ToolCallPart = typeof ToolCallPart.Type

/** A part that we only carry: provider-executed results, sources, files. `part` is its encoded form. */
export const OpaquePart = Schema.Struct({ type: Schema.Literal("opaque"), part: Json })

export const AssistantPart = Schema.Union(TextPart, ReasoningPart, ToolCallPart, OpaquePart)
export type AssistantPart = typeof AssistantPart.Type

export const FilePart = Schema.Struct({
  type: Schema.Literal("file"),
  mediaType: Schema.String,
  /** Base64, or a `data:` or `https:` URL. */
  data: Text,
  name: Schema.optional(Text)
})

export const UserPart = Schema.Union(Schema.Struct({ type: Schema.Literal("text"), text: Text }), FilePart)
export type UserPart = typeof UserPart.Type

export const Message = Schema.Union(
  Schema.Struct({
    role: Schema.Literal("user"),
    parts: Schema.Array(UserPart),
    /** Nobody has said it: it is a note of the runtime's to the model, of this kind: `loop`, `lastWords`, `summary`. */
    note: Schema.optional(Schema.String)
  }),
  Schema.Struct({ role: Schema.Literal("assistant"), parts: Schema.Array(AssistantPart) }),
  Schema.Struct({
    role: Schema.Literal("tool"),
    callId: Text,
    name: Text,
    result: Json,
    isError: Schema.Boolean
  })
)
export type Message = typeof Message.Type

/** The text of an assistant's parts, in order, without reasoning. */
export const textOf = (parts: ReadonlyArray<AssistantPart>): string =>
  parts.reduce((text, part) => (part.type === "text" ? text + part.text : text), "")

/** A cut answer and its continuation as one answer: text that was cut in the middle is one part again. */
export const join = (
  prefix: ReadonlyArray<AssistantPart>,
  rest: ReadonlyArray<AssistantPart>
): ReadonlyArray<AssistantPart> => {
  const last = prefix[prefix.length - 1]
  const first = rest[0]
  return last?.type === "text" && first?.type === "text"
    ? [...prefix.slice(0, -1), { ...last, ...first, text: last.text + first.text }, ...rest.slice(1)]
    : [...prefix, ...rest]
}
