/**
 * Journaled messages as the prompt of a request.
 *
 * A message never changes, so what it became is kept with it (by identity): the prompt of a conversation that grew by
 * one message costs one conversion and a copy of pointers. `Prompt.fromResponseParts` is not used: it drops metadata,
 * and with it the thinking signatures that a provider wants to see again.
 */
import * as Prompt from "@effect/ai/Prompt"
import type { Json } from "../../domain/Json.ts"
import { type AssistantPart, type Message, type ToolCallPart, textOf } from "../../domain/Message.ts"

/** Marks what {@link toPrompt} adds to a conversation to have a cut answer continued, for scripted models. */
export const continuation = "perdureContinuation"

const askToContinue =
  "Your last message was cut off in transmission. Go on from its very last character: do not repeat any of it, do not apologise, do not comment on this."

const converted = new WeakMap<Message, Prompt.Message>()

/** Names as all providers take them: one that a model made up may have been anything. */
const toolName = (name: string): string =>
  /^[a-zA-Z0-9_-]{1,64}$/.test(name) ? name : name.replace(/[^a-zA-Z0-9_-]/g, "_").slice(0, 64) || "unknown"

const options = (metadata: ToolCallPart["metadata"]): Prompt.ProviderOptions =>
  // What was taken from a part's `metadata` goes back as its `options`: the same record under its two names.
  (metadata ?? {}) as Prompt.ProviderOptions

/** Providers take an object only; a call whose arguments were not even JSON is shown as the text that it was. */
const params = (part: ToolCallPart): unknown =>
  typeof part.params === "object" && part.params !== null && !Array.isArray(part.params)
    ? part.params
    : { unparsed: part.params }

const providerName = (part: ToolCallPart): string | undefined => {
  const own = part.metadata?.["perdure"]
  return typeof own === "object" && own !== null && "providerName" in own ? String(own["providerName"]) : undefined
}

const opaque = (part: Json): Prompt.AssistantMessagePart | null => {
  if (typeof part !== "object" || part === null || Array.isArray(part)) return null
  const it = part as { readonly [key: string]: Json }
  switch (it["type"]) {
    case "tool-result":
      return Prompt.toolResultPart({
        id: String(it["id"]),
        name: String(it["name"]),
        isFailure: it["isFailure"] === true,
        result: it["result"],
        providerExecuted: true,
        options: options(it["metadata"] as ToolCallPart["metadata"])
      })
    // Files and sources that a model made are shown to people: no provider takes them back.
    default:
      return null
  }
}

const assistantPart = (part: AssistantPart): Prompt.AssistantMessagePart | null => {
  switch (part.type) {
    case "text":
      return part.text === "" ? null : Prompt.textPart({ text: part.text, options: options(part.metadata) })
    case "reasoning":
      return Prompt.reasoningPart({ text: part.text, options: options(part.metadata) })
    case "tool-call":
      return Prompt.toolCallPart({
        id: part.id,
        // A tool that the provider runs is known to its package by our name for it, one that we run by the provider's.
        name: toolName(part.providerExecuted === true ? part.name : (providerName(part) ?? part.name)),
        params: params(part),
        providerExecuted: part.providerExecuted === true,
        options: options(part.metadata)
      })
    case "opaque":
      return opaque(part.part)
  }
}

const file = (data: string, mediaType: string): string | Uint8Array | URL => {
  if (/^(https?|data):/i.test(data)) {
    const inline = /^data:[^,]*;base64,(.*)$/is.exec(data)
    if (inline !== null) return new Uint8Array(Buffer.from(inline[1]!, "base64"))
    return new URL(data)
  }
  // Anthropic's package base64-encodes bytes even where the API wants the text of a text file.
  if (mediaType === "text/plain") return Buffer.from(data, "base64").toString("utf8")
  return new Uint8Array(Buffer.from(data, "base64"))
}

/**
 * Anthropic wants an answer with signed thinking to begin with it. One that was cut and continued begins with the text
 * from before the cut.
 */
const thinkingFirst = (parts: ReadonlyArray<AssistantPart>): ReadonlyArray<AssistantPart> => {
  if (parts[0]?.type !== "text") return parts
  const signed = (part: AssistantPart) => part.type === "reasoning" && part.metadata?.["anthropic"] !== undefined
  return parts.some(signed) ? [...parts.filter(signed), ...parts.filter((part) => !signed(part))] : parts
}

/**
 * As `Prompt.makeMessage`, whose spread of its parameters makes objects that take fifteen times as long to read: with
 * 10,000 messages that is most of a call.
 */
const message = (role: Prompt.Message["role"], content: unknown, options: Prompt.ProviderOptions): Prompt.Message =>
  ({ [Prompt.MessageTypeId]: Prompt.MessageTypeId, role, content, options }) as Prompt.Message

const convert = (it: Message): Prompt.Message => {
  switch (it.role) {
    case "user":
      return message(
        "user",
        it.parts.map((part) =>
          part.type === "text"
            ? Prompt.textPart({ text: part.text })
            : Prompt.filePart({
                mediaType: part.mediaType,
                data: file(part.data, part.mediaType),
                ...(part.name === undefined ? {} : { fileName: part.name })
              })
        ),
        {}
      )
    case "assistant":
      return message(
        "assistant",
        thinkingFirst(it.parts)
          .map(assistantPart)
          .filter((part) => part !== null),
        {}
      )
    case "tool":
      return message(
        "tool",
        [
          Prompt.toolResultPart({
            id: it.callId,
            name: toolName(it.name),
            isFailure: it.isError,
            result: it.result,
            providerExecuted: false
          })
        ],
        {}
      )
  }
}

/** What an answer becomes of which nothing can be sent (sources only): providers refuse empty messages. */
const nothing = message("assistant", [], {})

const once = (it: Message): Prompt.Message => {
  let prompt = converted.get(it)
  if (prompt === undefined) {
    prompt = convert(it)
    if (prompt.role === "assistant" && prompt.content.length === 0) prompt = nothing
    converted.set(it, prompt)
  }
  return prompt
}

/**
 * The text of a cut answer that the next attempt goes on from. Reasoning is left out, because its signature may have
 * been cut with it, and tool calls, because a call without its result is refused: both are produced anew.
 */
export const continued = (prefix: ReadonlyArray<AssistantPart> | undefined): string =>
  prefix === undefined ? "" : textOf(prefix)

/**
 * The prompt. A prefix becomes an assistant message with its text and a request to go on from there: a trailing
 * assistant message alone is taken by some models only, and refused by the newest.
 */
export const toPrompt = (
  instructions: string | undefined,
  messages: ReadonlyArray<Message>,
  prefix: string
): Prompt.Prompt => {
  const content: Array<Prompt.Message> = []
  if (instructions !== undefined && instructions !== "") content.push(message("system", instructions, {}))
  for (let i = 0; i < messages.length; i++) {
    const next = once(messages[i]!)
    if (next !== nothing) content.push(next)
  }
  if (prefix.trim() !== "") {
    const mark = { [continuation]: {} }
    content.push(
      message("assistant", [Prompt.textPart({ text: prefix })], mark),
      message("user", [Prompt.textPart({ text: askToContinue })], mark)
    )
  }
  return Prompt.fromMessages(content)
}
