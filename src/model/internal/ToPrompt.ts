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

const known = new WeakMap<Message, Prompt.Message>()

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

/** Throws where the data is an address that cannot be read as one. */
const file = (data: string, mediaType: string): string | Uint8Array | URL => {
  const inline = /^data:([^,]*),(.*)$/is.exec(data)
  if (inline === null && /^(https?|data):/i.test(data)) return new URL(data)
  const [, kind = ";base64", content = data] = inline ?? []
  const bytes = /;base64$/i.test(kind) ? Buffer.from(content, "base64") : Buffer.from(decodeURIComponent(content))
  // Anthropic's package base64-encodes bytes even where the API wants the text of a text file.
  return mediaType === "text/plain" ? bytes.toString("utf8") : new Uint8Array(bytes)
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

const converted = (it: Message): Prompt.Message => {
  const prompt = convert(it)
  return prompt.role === "assistant" && prompt.content.length === 0 ? nothing : prompt
}

const once = (it: Message): Prompt.Message => {
  let prompt = known.get(it)
  if (prompt === undefined) {
    prompt = converted(it)
    known.set(it, prompt)
  }
  return prompt
}

/** What a conversation became. */
interface Grown {
  readonly messages: ReadonlyArray<Message>
  /** Index by index, after the instructions. */
  readonly content: Array<Prompt.Message>
  /** How many messages it has. */
  length: number
  /** Whether {@link nothing} is among them. */
  hasNothing: boolean
}

/** The last conversation that began with a message, by the instructions that it was for. */
const grown = new WeakMap<Message, Map<string, Grown>>()

/** Of shorter conversations nothing is kept: to convert them is soon done, and thousands of sessions may be at rest. */
const worthKeeping = 32

/** A session's instructions seldom change; whoever changes them all the time must not be remembered for each. */
const remembered = 4

/**
 * A conversation only grows, so the pointers of the one before are compared and copied: looking each message up would
 * take ten times as long. An array that was pushed to since is known without a look.
 */
const convertAll = (instructions: string, messages: ReadonlyArray<Message>): Grown => {
  const system = instructions === "" ? [] : [message("system", instructions, {})]
  const first = messages.length < worthKeeping ? undefined : messages[0]
  const kept = first === undefined ? undefined : grown.get(first)
  const before = kept?.get(instructions)
  let same = 0
  if (before !== undefined) {
    const most = Math.min(before.length, messages.length)
    if (before.messages === messages) same = most
    else while (same < most && before.messages[same] === messages[same]) same++
  }
  const goesOn = before !== undefined && same === before.length
  const all: Grown =
    goesOn && before.messages === messages
      ? before
      : {
          messages,
          content: goesOn ? before.content.slice() : (before?.content.slice(0, system.length + same) ?? system),
          length: same,
          hasNothing: before?.hasNothing ?? false
        }
  for (; all.length < messages.length; all.length++) {
    const one = first === undefined ? converted(messages[all.length]!) : once(messages[all.length]!)
    if (one === nothing) all.hasNothing = true
    all.content.push(one)
  }
  if (first === undefined) return all
  if (kept === undefined) grown.set(first, new Map([[instructions, all]]))
  else {
    if (kept.size >= remembered) kept.clear()
    kept.set(instructions, all)
  }
  return all
}

/**
 * The text of a cut answer that the next attempt goes on from. Reasoning is left out, because its signature may have
 * been cut with it, and tool calls, because a call without its result is refused: both are produced anew.
 */
export const continued = (prefix: ReadonlyArray<AssistantPart> | undefined): string =>
  prefix === undefined ? "" : textOf(prefix)

/**
 * The prompt. Throws where a file's address is none. A prefix becomes an assistant message with its text and a request to go on from there: a trailing
 * assistant message alone is taken by some models only, and refused by the newest.
 */
export const toPrompt = (
  instructions: string | undefined,
  messages: ReadonlyArray<Message>,
  prefix: string
): Prompt.Prompt => {
  const all = convertAll(instructions ?? "", messages)
  // A copy: what is kept grows on, and a prompt does not.
  const content = all.hasNothing ? all.content.filter((it) => it !== nothing) : all.content.slice()
  if (prefix.trim() !== "") {
    const mark = { [continuation]: {} }
    content.push(
      message("assistant", [Prompt.textPart({ text: prefix })], mark),
      message("user", [Prompt.textPart({ text: askToContinue })], mark)
    )
  }
  return Prompt.fromMessages(content)
}
