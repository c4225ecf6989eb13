/**
 * A provider's errors as Perdure's failure classes: one table, by status, the provider's own code, and words of its
 * message.
 *
 * Nothing of the error itself goes on from here (I12): it holds the request's headers with the API key, and a body that
 * may quote the conversation. A failure is made of this file's own sentences, of numbers, and of words that this file
 * knows ({@link knownCodes}, {@link place}).
 */
import * as AiError from "@effect/ai/AiError"
import type { Failure, FailureClass } from "../domain/Failure.ts"

/** What is known of an error, read and then thrown away. */
export interface Symptom {
  /** The HTTP status, or `null` when the error came inside an answer. */
  readonly status: number | null
  readonly headers: Readonly<Record<string, string>>
  /** The provider's own name for it: `overloaded_error`, `context_length_exceeded`. */
  readonly codes: ReadonlyArray<string>
  /** Its message and body, lower case. Matched, never kept. */
  readonly text: string
}

interface Rule {
  readonly class: FailureClass
  readonly status?: (status: number) => boolean
  readonly codes?: ReadonlyArray<string>
  readonly text?: RegExp
  /** What to tell a person. */
  readonly say: string
}

const is =
  (...statuses: ReadonlyArray<number>) =>
  (status: number) =>
    statuses.includes(status)

/** The first rule of which any part fits decides: the particular before the general. */
export const rules: ReadonlyArray<Rule> = [
  {
    class: "ContextOverflow",
    status: is(413),
    codes: ["context_length_exceeded", "request_too_large", "string_above_max_length"],
    text: /prompt is too long|maximum context length|exceeds? the context (window|limit)|exceed context limit|input is too long|context window/,
    say: "the conversation is too long for the model: shorten or compact it"
  },
  {
    class: "Refused",
    codes: ["content_filter", "content_policy_violation", "refusal", "cyber_policy"],
    text: /content filtering policy|content management policy|flagged as potentially violating/,
    say: "the provider's content filter refused the request or the answer"
  },
  {
    // Said with 400, 402 and 429 alike, and no wait mends it.
    class: "Unauthorized",
    status: is(402),
    codes: ["insufficient_quota", "billing_error", "billing_hard_limit_reached"],
    text: /credit balance is too low|exceeded your current quota/,
    say: "the provider's account has no credit or quota left: check its billing"
  },
  {
    class: "Unauthorized",
    status: is(401, 403),
    codes: ["authentication_error", "permission_error", "invalid_api_key", "unsupported_country_region_territory"],
    say: "the provider did not accept the API key, or the key may not use this model: check the key and its rights"
  },
  {
    class: "TimedOut",
    status: is(408, 504),
    codes: ["timeout_error", "timeout"],
    say: "the provider gave up waiting"
  },
  {
    class: "RateLimited",
    status: is(429),
    codes: ["rate_limit_error", "rate_limit_exceeded"],
    say: "the provider's rate limit is reached"
  },
  {
    class: "Overloaded",
    status: (status) => status >= 500,
    codes: ["overloaded_error", "api_error", "server_error", "server_is_overloaded", "internal_error"],
    say: "the provider is overloaded or failing"
  },
  {
    class: "InvalidRequest",
    status: is(404),
    codes: ["not_found_error", "model_not_found"],
    say: "the provider does not know the model, or the address: check the model's name and the API's URL"
  },
  {
    class: "InvalidRequest",
    status: (status) => status >= 400,
    codes: ["invalid_request_error", "invalid_prompt", "invalid_image", "unsupported_value"],
    say: "the provider did not accept the request"
  }
]

const fits = (rule: Rule, symptom: Symptom): boolean =>
  (rule.codes?.some((code) => symptom.codes.includes(code)) ?? false) ||
  (rule.text?.test(symptom.text) ?? false) ||
  (symptom.status !== null && (rule.status?.(symptom.status) ?? false))

/** Codes that may be journaled: any other string of an error could be anything. */
const knownCodes = new Set(rules.flatMap((rule) => rule.codes ?? []))

/** Where in the request the provider saw the fault, in words of the API only: `messages.3.content`. */
const place = (text: string): string => {
  const found =
    /\b(?:messages|input|tools|system|model|max_tokens|max_output_tokens|temperature|top_p|top_k|thinking|reasoning|tool_choice|stop_sequences)\b(?:\.\d{1,5}|\[\d{1,5}\]|\.(?:content|role|type|text|input_schema|parameters|source|budget_tokens|effort|tool_use|tool_result|thinking|custom|function|name|id|call_id)\b)*/.exec(
      text
    )
  return found === null ? "" : ` (it names \`${found[0]}\`)`
}

/** `retry-after-ms`, or `retry-after` in seconds or as an HTTP date. `now` in milliseconds since the epoch. */
export const retryAfterMs = (headers: Symptom["headers"], now: number): number | undefined => {
  const millis = Number.parseFloat(headers["retry-after-ms"] ?? "")
  if (millis >= 0) return Math.ceil(millis)
  const value = headers["retry-after"]?.trim()
  if (value === undefined || value === "") return undefined
  if (/^\d+(\.\d+)?$/.test(value)) return Math.ceil(Number(value) * 1000)
  // `Date.parse` makes a date of almost anything: an HTTP date begins with its day.
  const date = /^[A-Z][a-z]{2}/.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

/** The failure that a symptom stands for; `otherwise` when the table does not know it. */
export const classify = (symptom: Symptom, now: number, otherwise: Failure): Failure => {
  const rule = rules.find((rule) => fits(rule, symptom))
  if (rule === undefined) return otherwise
  const wait = retryAfterMs(symptom.headers, now)
  const code = symptom.codes.find((code) => knownCodes.has(code))
  return {
    class: rule.class,
    message: rule.class === "InvalidRequest" ? rule.say + place(symptom.text) : rule.say,
    ...(wait === undefined ? {} : { retryAfterMs: wait }),
    ...(symptom.status === null ? {} : { status: symptom.status }),
    ...(code === undefined ? {} : { code })
  }
}

const cut: Failure = { class: "Interrupted", message: "the answer was cut off before its end" }

const field = (u: unknown, key: string): unknown =>
  typeof u === "object" && u !== null ? (u as Record<string, unknown>)[key] : undefined

const strings = (...values: ReadonlyArray<unknown>): ReadonlyArray<string> =>
  values.filter((value) => typeof value === "string")

/** Reads `{ error: { type, code, message } }` and what is nested less. */
const symptomOf = (status: number | null, headers: Symptom["headers"], body: unknown): Symptom => {
  const inner = field(body, "error")
  const error = typeof inner === "object" && inner !== null ? inner : body
  return {
    status,
    headers,
    codes: strings(field(error, "code"), field(error, "type"), field(error, "status")),
    text: (typeof body === "string" ? body : strings(field(error, "param"), field(error, "message")).join(" "))
      .slice(0, 4000)
      .toLowerCase()
  }
}

const parsed = (body: string | undefined): unknown => {
  if (body === undefined) return undefined
  try {
    return JSON.parse(body)
  } catch {
    return body
  }
}

/** An `error` event in the middle of an answer. */
export const fromErrorEvent = (error: unknown, now: number): Failure =>
  classify(symptomOf(null, {}, error), now, {
    class: "Overloaded",
    message: "the provider reported an error in the middle of the answer"
  })

/** The system's name for a failed connection (`ECONNREFUSED`), from anywhere in the chain of causes. */
const systemCode = (error: unknown, depth = 0): string | undefined => {
  const code = field(error, "code")
  if (typeof code === "string" && /^(E[A-Z]{3,20}|UND_ERR_[A-Z_]{1,30})$/.test(code)) return code
  return depth > 6 || error === undefined ? undefined : systemCode(field(error, "cause"), depth + 1)
}

/** What a provider's package failed with. `now` in milliseconds since the epoch. */
export const fromAiError = (error: AiError.AiError, now: number): Failure => {
  switch (error._tag) {
    case "HttpRequestError": {
      if (error.reason !== "Transport") {
        return { class: "InvalidRequest", message: "the request could not be written: check the provider's settings" }
      }
      const code = systemCode(error.cause)
      return {
        class: "Unreachable",
        message: "the provider could not be reached: check the network and the API's URL",
        ...(code === undefined ? {} : { code })
      }
    }
    case "HttpResponseError":
      return error.reason === "StatusCode"
        ? classify(symptomOf(error.response.status, error.response.headers, parsed(error.body)), now, {
            class: "InvalidRequest",
            message: "the provider answered with a status that makes no sense",
            status: error.response.status
          })
        : cut
    case "MalformedInput":
      // Raised by the provider's package before anything is sent, in its own words: "unsupported media type …".
      return {
        class: "InvalidRequest",
        message: `the conversation cannot be sent to this provider: ${error.description ?? "no reason given"}`
      }
    case "MalformedOutput": {
      // An event that the package does not know ends the stream; if it told of an error, that is the failure.
      const raw = field(field(field(error, "cause"), "issue"), "actual")
      for (const event of typeof raw === "object" && raw !== null && Symbol.iterator in raw
        ? (raw as Iterable<unknown>)
        : []) {
        const data = typeof event === "string" ? parsed(event) : undefined
        if (field(data, "type") === "error") return fromErrorEvent(data, now)
      }
      return {
        class: "Interrupted",
        message: "the answer could not be read: the provider sent what its API does not have"
      }
    }
    case "UnknownError":
      return { class: "Overloaded", message: "the provider's package failed without saying why" }
  }
}

/** Whatever a call to a provider died of. */
export const fromUnknown = (error: unknown, now: number): Failure =>
  AiError.isAiError(error)
    ? fromAiError(error, now)
    : field(error, "_tag") === "SseError"
      ? { class: "Interrupted", message: "the answer could not be read: one event of it was larger than 10 MiB" }
      : { class: "Defect", message: "the provider's package threw an exception: report it with the runner's version" }

/** The stream ended and nobody said that it was complete. */
export const cutOff = cut
