/**
 * The table of what providers refuse: status, code and words, and the class that they stand for. For how it is used, and
 * for what happens without any of them, see `Classify`.
 */
import type { FailureClass, Reached } from "../../domain/Failure.ts"
import type { Symptom } from "./Symptom.ts"

/**
 * One row: it fits where any of status, codes and text does. It holds for all providers: their codes do not collide, and
 * gateways send those of one through the API of another.
 */
export interface Rule {
  readonly class: FailureClass
  readonly status?: (status: number) => boolean
  /** The provider's own names, lower case. */
  readonly codes?: ReadonlyArray<string>
  readonly text?: RegExp
  readonly reached?: Reached
  /** What to tell a person. */
  readonly say: string
}

const is =
  (...statuses: ReadonlyArray<number>) =>
  (status: number) =>
    statuses.includes(status)

/** The first row that fits decides: the particular before the general. */
export const rules: ReadonlyArray<Rule> = [
  {
    // 413 is also what is said of a request that no minute's tokens would ever be enough for.
    class: "ContextOverflow",
    status: is(413),
    codes: [
      "context_length_exceeded",
      "exceed_context_size_error",
      "model_max_prompt_tokens_exceeded",
      "request_too_large",
      "string_above_max_length"
    ],
    text: /prompt is too long|maximum context length|exceeds? the (?:available )?context (?:window|limit|size|length)|exceed context limit|input is too long|context window|input token count.{0,80}exceeds|reduce the length of the (?:messages|prompt)|request too large.{0,200}tokens per min/,
    say: "the conversation is too long for the model: shorten or compact it"
  },
  {
    class: "Refused",
    codes: ["content_filter", "content_policy_violation", "cyber_policy", "refusal", "responsibleaipolicyviolation"],
    text: /content filtering policy|content management policy|flagged as potentially violating|requires moderation|prohibited_content/,
    say: "the provider's content filter refused the request or the answer"
  },
  {
    // The model's fault, not ours: some gateways read the calls, and fail the request over one that they cannot.
    class: "MalformedToolCall",
    codes: ["malformed_function_call", "tool_use_failed"],
    say: "the model called a tool in a way that its provider could not read"
  },
  {
    // Said by Google's servers of any limit, in the words that others keep for an empty account.
    class: "RateLimited",
    codes: ["resource_exhausted"],
    say: "the provider's rate limit is reached"
  },
  {
    // Said with 400, 402 and 429 alike, and no wait mends it.
    class: "Unauthorized",
    status: is(402),
    codes: ["billing_error", "billing_hard_limit_reached", "insufficient_quota"],
    text: /credit balance is too low|exceeded your current quota|insufficient (?:balance|credits)/,
    say: "the provider's account has no credit or quota left: check its billing"
  },
  {
    class: "Unauthorized",
    status: is(401, 403),
    codes: ["authentication_error", "invalid_api_key", "permission_error", "unsupported_country_region_territory"],
    say: "the provider did not accept the API key, or the key may not use this model: check the key and its rights"
  },
  {
    class: "TimedOut",
    status: is(408, 504, 524),
    codes: ["deadline_exceeded", "timeout", "timeout_error"],
    say: "the provider gave up waiting"
  },
  {
    class: "RateLimited",
    status: is(429),
    codes: ["rate_limit_error", "rate_limit_exceeded", "too_many_requests"],
    say: "the provider's rate limit is reached"
  },
  {
    // Refused before it was read, by a server that is not the model's: another connection finds another one.
    class: "Unreachable",
    status: is(421),
    reached: "nothing",
    say: "the request came to a server that does not answer for the provider"
  },
  {
    // 409 and 425: another request was in the way. It passes.
    class: "Overloaded",
    status: (status) => status === 409 || status === 425 || status >= 500,
    codes: [
      "api_error",
      "engine_overloaded",
      "internal_error",
      "internal_server_error",
      "overloaded_error",
      "server_error",
      "server_is_overloaded",
      "service_unavailable",
      "unavailable"
    ],
    say: "the provider is overloaded or failing"
  },
  {
    class: "InvalidRequest",
    status: is(404),
    codes: ["model_not_found", "not_found_error"],
    say: "the provider does not know the model, or the address: check the model's name and the API's URL"
  },
  {
    class: "InvalidRequest",
    status: (status) => status >= 400,
    codes: ["invalid_image", "invalid_prompt", "invalid_request_error", "unsupported_value"],
    say: "the provider did not accept the request"
  }
]

/** Whether a row is about a symptom. */
const fits = (rule: Rule, symptom: Symptom): boolean =>
  (rule.codes?.some((code) => symptom.codes.includes(code)) ?? false) ||
  (rule.text?.test(symptom.text) ?? false) ||
  (symptom.status !== null && (rule.status?.(symptom.status) ?? false))

/** The row that a symptom falls under. */
export const find = (symptom: Symptom): Rule | undefined => rules.find((rule) => fits(rule, symptom))

/** Codes that may be journaled: any other string of an error could be anything. */
export const knownCodes = new Set(rules.flatMap((rule) => rule.codes ?? []))
