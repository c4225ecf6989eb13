/** How an answer of a script is said, in the parts and errors that providers use. */
import * as AiError from "@effect/ai/AiError"
import type * as Prompt from "@effect/ai/Prompt"
import type * as Response from "@effect/ai/Response"
import { Chunk, Duration, Effect, Option, Stream } from "effect"
import { continuation } from "../../model/index.ts"
import type { Answer, Fails, ModelFailure, Said, TextOptions } from "../ScriptedAnswer.ts"

type Part = Response.StreamPartEncoded
type Parts = Stream.Stream<Part, AiError.AiError>
/** An array where nothing has to be waited for. */
type Played = Parts | ReadonlyArray<Part>

export const toStream = (parts: Played): Parts =>
  Array.isArray(parts) ? Stream.fromChunk(Chunk.unsafeFromArray(parts)) : (parts as Parts)

export interface Script {
  readonly tokenDelay?: Duration.DurationInput | undefined
  readonly model?: string | undefined
  /** The conversations for which a failure has happened. */
  readonly failed: WeakMap<Fails, Set<string>>
}

const continues = (message: Prompt.Message): boolean => continuation in message.options

/** The number of the answer that is due. */
export const index = (prompt: Prompt.Prompt): number => {
  const { content } = prompt
  let count = 0
  for (let i = 0; i < content.length; i++) if (content[i]!.role === "assistant") count++
  // What asks for the rest of a cut answer stands at the end, or nowhere.
  const last = content.at(-2)
  return last?.role === "assistant" && continues(last) ? count - 1 : count
}

/** The text of a cut answer that this one is to go on from. */
const alreadySaid = (prompt: Prompt.Prompt): string => {
  const message = prompt.content.at(-2)
  if (message?.role !== "assistant" || !continues(message)) return ""
  return message.content.reduce((text, part) => (part.type === "text" ? text + part.text : text), "")
}

const pieces = (text: string, tokens: TextOptions["tokens"], delayed: boolean): ReadonlyArray<string> => {
  if (typeof tokens === "object") return tokens
  if (tokens !== undefined) {
    const size = Math.max(1, Math.ceil(text.length / tokens))
    return text.match(new RegExp(`[^]{1,${size}}`, "g")) ?? []
  }
  return delayed ? (text.match(/\s*\S+(?:\s+$)?/g) ?? [text]) : [text]
}

const textParts = (text: string, tokens: TextOptions["tokens"], delayed: boolean): ReadonlyArray<Part> => [
  { type: "text-start", id: "0" },
  ...pieces(text, tokens, delayed).map((delta): Part => ({ type: "text-delta", id: "0", delta }))
]

/** With a pause before each piece of text. */
const paced = (parts: Array<Part>, delay: Duration.DurationInput | undefined): Played =>
  delay === undefined || Duration.toMillis(delay) === 0
    ? parts
    : Stream.fromIterable(parts).pipe(
        Stream.rechunk(1),
        Stream.tap((part) => (part.type === "text-delta" ? Effect.sleep(delay) : Effect.void))
      )

const opening = (script: Script): Part => ({ type: "response-metadata", modelId: script.model ?? "scripted" })

const say = (script: Script, { calls, options, text }: Said, prompt: Prompt.Prompt, due: number): Played => {
  const delay = options.delay ?? script.tokenDelay
  const skip = alreadySaid(prompt)
  const rest = text.startsWith(skip) ? text.slice(skip.length) : text
  const parts: Array<Part> = [opening(script)]
  if (rest !== "") {
    parts.push(...textParts(rest, skip === "" ? options.tokens : undefined, delay !== undefined))
    parts.push({ type: "text-end", id: "0" })
  }
  calls.forEach(({ id = "", name, params }, n) => {
    id ||= `call_${due}_${n}`
    parts.push(
      { type: "tool-params-start", id, name },
      { type: "tool-params-delta", id, delta: JSON.stringify(params) },
      { type: "tool-params-end", id },
      { type: "tool-call", id, name, params }
    )
  })
  const inputTokens = options.usage?.inputTokens ?? 0
  const outputTokens = options.usage?.outputTokens ?? Math.ceil(text.length / 4)
  parts.push({
    type: "finish",
    reason: options.cut === true ? "length" : calls.length > 0 ? "tool-calls" : "stop",
    usage: { ...options.usage, inputTokens, outputTokens, totalTokens: inputTokens + outputTokens }
  })
  return paced(parts, delay)
}

const at = { module: "ScriptedModel", method: "streamText" }
const request = {
  method: "POST" as const,
  url: "scripted:",
  urlParams: [],
  hash: Option.none<string>(),
  headers: {}
}

/** "7 seconds" is a duration; "7" or a date is what the header says. */
const header = (retryAfter: Duration.DurationInput | string): string =>
  Duration.decodeUnknown(retryAfter).pipe(
    Option.map((duration) => String(Duration.toSeconds(duration))),
    Option.getOrElse(() => String(retryAfter))
  )

const response = (status: number, code: string, message: string, retryAfter: Fails["retryAfter"]) =>
  new AiError.HttpResponseError({
    ...at,
    request,
    reason: "StatusCode",
    response: {
      status,
      headers: retryAfter === undefined ? {} : { "retry-after": header(retryAfter) }
    },
    body: JSON.stringify({ error: { type: code, message } })
  })

/** What the providers answer with, by class: status, code, message. */
const refusals = {
  RateLimited: [429, "rate_limit_error", "slow down"],
  Overloaded: [529, "overloaded_error", "overloaded"],
  ContextOverflow: [400, "invalid_request_error", "prompt is too long"],
  InvalidRequest: [400, "invalid_request_error", "no"],
  Unauthorized: [401, "authentication_error", "no"],
  TimedOut: [408, "timeout_error", "too slow"]
} as const satisfies Partial<Record<ModelFailure, readonly [number, string, string]>>

export const breakOff = ({ after, failure, retryAfter }: Fails): Parts => {
  switch (failure) {
    case "Interrupted":
      return Stream.empty
    case "silence":
      return Stream.never
    case "Defect":
      return Stream.dieMessage("the script says that the provider's package throws")
    case "Refused":
      return Stream.make<[Part]>({
        type: "finish",
        reason: "content-filter",
        usage: { inputTokens: 0, outputTokens: Math.ceil(after.length / 4), totalTokens: 0 }
      })
    case "MalformedToolCall":
      return Stream.concat(
        Stream.make<Array<Part>>(
          { type: "tool-params-start", id: "malformed", name: "malformed" },
          { type: "tool-params-delta", id: "malformed", delta: '{"cut' }
        ),
        Stream.fail(new AiError.MalformedOutput({ ...at, cause: new SyntaxError("unexpected end") }))
      )
    case "Unreachable":
      // A connection that is lost in the middle of an answer is a cut answer.
      return after !== ""
        ? Stream.empty
        : Stream.fail(new AiError.HttpRequestError({ ...at, request, reason: "Transport" }))
    default: {
      const [status, code, message] = refusals[failure]
      return after === ""
        ? Stream.fail(response(status, code, message, retryAfter))
        : Stream.make<[Part]>({ type: "error", error: { type: code, message } })
    }
  }
}

/** Whether this failure has happened to this conversation before. Notes that it has now. */
const happened = (script: Script, answer: Fails, prompt: Prompt.Prompt): boolean => {
  let conversations = script.failed.get(answer)
  if (conversations === undefined) {
    conversations = new Set()
    script.failed.set(answer, conversations)
  }
  const conversation = JSON.stringify(prompt.content.filter((message) => !continues(message)))
  if (conversations.has(conversation)) return true
  conversations.add(conversation)
  return false
}

export const play = (script: Script, answer: Answer, prompt: Prompt.Prompt, due: number): Played => {
  switch (answer._tag) {
    case "Said":
      return say(script, answer, prompt, due)
    case "Fails": {
      if (happened(script, answer, prompt)) return play(script, answer.next, prompt, due)
      if (answer.after === "" && answer.failure in refusals) return breakOff(answer)
      const text = answer.after === "" ? [] : textParts(answer.after, undefined, script.tokenDelay !== undefined)
      return Stream.concat(toStream(paced([opening(script), ...text], script.tokenDelay)), breakOff(answer))
    }
    case "Reply": {
      const next = answer.answer(prompt)
      return Effect.isEffect(next)
        ? Stream.unwrap(Effect.map(next, (next) => toStream(play(script, next, prompt, due))))
        : play(script, next, prompt, due)
    }
  }
}

export const exhausted = (due: number, answers: number): AiError.AiError =>
  new AiError.MalformedInput({
    ...at,
    description: `the script has ${answers} answers and was asked for number ${due + 1}: give it more, or stop earlier`
  })

/** The answer in whole, for `generateText`. */
export const gathered = (parts: Parts): Effect.Effect<Array<Response.PartEncoded>, AiError.AiError> =>
  Effect.map(Stream.runCollect(parts), (chunk) => {
    const out: Array<Response.PartEncoded> = []
    let text = ""
    for (const part of chunk) {
      if (part.type === "text-delta") text += part.delta
      else if (part.type === "text-end") out.push({ type: "text", text })
      else if (part.type === "tool-call" || part.type === "finish" || part.type === "response-metadata") out.push(part)
    }
    return out
  })
