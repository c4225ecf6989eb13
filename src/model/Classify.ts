/**
 * A provider's errors as Perdure's failure classes: one table, by status, the provider's own code, words of its message,
 * and how far the answer had come.
 *
 * Nothing of the error itself goes on from here (I12): it holds the request's headers with the API key, and a body that
 * may quote the conversation. A failure is made of this file's own sentences, of numbers, and of words that this file
 * knows ({@link knownCodes}, {@link place}).
 *
 * | what happened | class | reached |
 * |---|---|---|
 * | no connection: refused, no such host, no route, certificate | `Unreachable` | nothing |
 * | connection lost before the answer began | `Unreachable` | request |
 * | a status of 400 or more, or an error inside the answer | the rows of `internal/rules.ts` | request, partial |
 * | answer cut, unreadable, or empty | `Interrupted` | request, partial |
 * | not a word of an answer, in a content type that no API answers in | `InvalidRequest` | request |
 * | silence (`Model.Request.silence`) | `TimedOut` | request, partial |
 * | answer ended by a filter or as a refusal | `Refused` | partial |
 */
import * as AiError from "@effect/ai/AiError"
import type { Failure } from "../domain/Failure.ts"
import { find, knownCodes } from "./internal/rules.ts"
import { field, parsed, type Symptom, symptomOf } from "./internal/Symptom.ts"
import * as RateHeaders from "./RateHeaders.ts"

/** Where in the request the provider saw the fault, in words of the API only: `messages.3.content`. */
const place = (text: string): string => {
  const found =
    /\b(?:messages|input|tools|system|model|max_tokens|max_output_tokens|temperature|top_p|top_k|thinking|reasoning|tool_choice|stop_sequences)\b(?:\.\d{1,5}|\[\d{1,5}\]|\.(?:content|role|type|text|input_schema|parameters|source|budget_tokens|effort|tool_use|tool_result|thinking|custom|function|name|id|call_id)\b)*/.exec(
      text
    )
  return found === null ? "" : ` (it names \`${found[0]}\`)`
}

/** Which limit it was, where that is told: a wait for tokens is another than one for requests. */
const limitOf = (symptom: Symptom, now: number): string => {
  const usedUp = RateHeaders.limits(symptom.headers, now).filter(({ remaining }) => remaining === 0)
  const tokens =
    usedUp.length > 0
      ? usedUp.some(({ of }) => of !== "requests")
      : symptom.codes.includes("tokens") || /tokens per (?:min|day)|\(tp[md]\)/.test(symptom.text)
  const requests =
    usedUp.length > 0
      ? usedUp.some(({ of }) => of === "requests")
      : symptom.codes.includes("requests") || /requests per (?:min|day)|\(rp[md]\)/.test(symptom.text)
  return tokens === requests ? "" : tokens ? ": that of tokens" : ": that of requests"
}

/** The failure that a symptom stands for; `otherwise` when the table does not know it. */
const classify = (symptom: Symptom, now: number, otherwise: Failure): Failure => {
  const rule = find(symptom)
  if (rule === undefined) return otherwise
  const code = symptom.codes.find((code) => knownCodes.has(code))
  const passes = rule.class === "RateLimited" || rule.class === "Overloaded" || rule.class === "TimedOut"
  const wait = passes
    ? RateHeaders.waitMs(symptom.headers, symptom.text, now)
    : RateHeaders.retryAfterMs(symptom.headers, now)
  const more =
    rule.class === "InvalidRequest" ? place(symptom.text) : rule.class === "RateLimited" ? limitOf(symptom, now) : ""
  return {
    class: rule.class,
    message: rule.say + more,
    ...(wait === undefined ? {} : { retryAfterMs: wait }),
    ...(symptom.status === null ? {} : { status: symptom.status }),
    ...(code === undefined ? {} : { code }),
    reached: rule.reached ?? "request"
  }
}

const cut: Failure = { class: "Interrupted", message: "the answer was cut off before its end", reached: "request" }

/** An `error` event in the middle of an answer. */
export const fromErrorEvent = (error: unknown, now: number): Failure =>
  classify(symptomOf(null, {}, error), now, {
    class: "Overloaded",
    message: "the provider reported an error in the middle of the answer",
    reached: "request"
  })

/** The system's name for a failed connection (`ECONNREFUSED`), from anywhere in the chain of causes. */
const systemCode = (error: unknown, depth = 0): string | undefined => {
  const code = field(error, "code")
  if (
    typeof code === "string" &&
    /^(E[A-Z_]{3,30}|UND_ERR_[A-Z_]{1,30}|CERT_[A-Z_]{1,40}|[A-Z_]{1,30}_CERT)$/.test(code)
  ) {
    return code
  }
  return depth > 6 || error === undefined ? undefined : systemCode(field(error, "cause"), depth + 1)
}

/** Connections that never came to be. Of all others nobody knows whether the request was read. */
const neverMade = new Set([
  "EAI_AGAIN",
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "UND_ERR_CONNECT_TIMEOUT"
])

/** What a provider's package failed with. `now` in milliseconds since the epoch. */
export const fromAiError = (error: AiError.AiError, now: number): Failure => {
  switch (error._tag) {
    case "HttpRequestError": {
      if (error.reason !== "Transport") {
        return {
          class: "InvalidRequest",
          message: "the request could not be written: check the provider's settings",
          reached: "nothing"
        }
      }
      const code = systemCode(error.cause)
      const never = code !== undefined && (neverMade.has(code) || /CERT/.test(code))
      return {
        class: "Unreachable",
        message: never
          ? "the provider could not be reached: check the network and the API's URL"
          : "the connection was lost before the provider answered",
        ...(code === undefined ? {} : { code }),
        reached: never ? "nothing" : "request"
      }
    }
    case "HttpResponseError":
      return error.reason === "StatusCode"
        ? classify(symptomOf(error.response.status, error.response.headers, parsed(error.body)), now, {
            class: "InvalidRequest",
            message: "the provider answered with a status that makes no sense",
            status: error.response.status,
            reached: "request"
          })
        : cut
    case "MalformedInput":
      // Raised by the provider's package before anything is sent, in its own words: "unsupported media type …".
      return {
        class: "InvalidRequest",
        message: `the conversation cannot be sent to this provider: ${error.description ?? "no reason given"}`,
        reached: "nothing"
      }
    case "MalformedOutput": {
      // An event that the package does not know ends the stream; if it told of an error, that is the failure.
      const raw = field(field(field(error, "cause"), "issue"), "actual")
      for (const event of typeof raw === "object" && raw !== null && Symbol.iterator in raw
        ? (raw as Iterable<unknown>)
        : []) {
        const data = typeof event === "string" ? parsed(event) : undefined
        if (field(data, "type") === "error" || field(data, "error") != null) return fromErrorEvent(data, now)
      }
      return {
        class: "Interrupted",
        message: "the answer could not be read: the provider sent what its API does not have",
        reached: "request"
      }
    }
    case "UnknownError":
      return { class: "Overloaded", message: "the provider's package failed without saying why", reached: "request" }
  }
}

/** Whatever a call to a provider died of. */
export const fromUnknown = (error: unknown, now: number): Failure =>
  AiError.isAiError(error)
    ? fromAiError(error, now)
    : field(error, "_tag") === "SseError"
      ? {
          class: "Interrupted",
          message: "the answer could not be read: one event of it was larger than 10 MiB",
          reached: "request"
        }
      : {
          class: "Defect",
          message: "the provider's package threw an exception: report it with the runner's version",
          reached: "request"
        }

/** What answers come in: JSON, or a stream of events; some gateways have their own words for them. */
const isOfAnApi = (type: string): boolean => /json|event-?stream/.test(type)

/**
 * What answered and said nothing that is an answer was perhaps no provider: a web site at a wrong address, or a page to
 * log in at. It will say the same each time.
 *
 * @param contentType as the response says it
 */
export const fromStranger = (status: number, contentType: string | undefined): Failure | null => {
  const type = contentType?.split(";")[0]?.trim().toLowerCase() ?? ""
  if (type === "" || isOfAnApi(type)) return null
  const named = /^[a-z]{1,20}\/[a-z0-9.+-]{1,60}$/.test(type) ? type : "one that makes no sense"
  return {
    class: "InvalidRequest",
    message: `what answered is no provider's API: status ${status} with the content type ${named}, where JSON or an event stream is due: look at the API's URL, and at what stands between (a proxy, a page to log in at)`,
    status,
    reached: "request"
  }
}

/** The stream ended and nobody said that it was complete. */
export const cutOff = cut
