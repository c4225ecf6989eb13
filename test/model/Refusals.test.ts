/**
 * What providers and compatible servers answer instead of an answer, as they word it, through a real HTTP server and their
 * packages: each is its class, with what it says about waiting, and nothing of its words (I12).
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { RateHeaders } from "../../src/model/index.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as OpenAi from "../support/FakeOpenAi.ts"
import * as Fake from "../support/FakeProvider.ts"
import { failure } from "../support/modelCall.ts"

type Row = readonly [
  who: string,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: unknown,
  expected: Readonly<Record<string, unknown>>
]

/** Far enough away that the machine may be slow. */
const laterMs = 3_600_000
const later = () => new Date(Date.now() + laterMs).toISOString()
const aboutThen = expect.closeTo(laterMs, -5.6)

const anthropic: ReadonlyArray<Row> = [
  [
    "requests a minute",
    429,
    {
      "anthropic-ratelimit-requests-limit": "50",
      "anthropic-ratelimit-requests-remaining": "0",
      "anthropic-ratelimit-requests-reset": later(),
      "anthropic-ratelimit-tokens-remaining": "39000",
      "anthropic-ratelimit-tokens-reset": "2099-01-01T00:00:00Z"
    },
    Anthropic.errorBody(
      "rate_limit_error",
      "This request would exceed your organization's rate limit of 50 requests per minute"
    ),
    {
      class: "RateLimited",
      retryAfterMs: aboutThen,
      message: "the provider's rate limit is reached: that of requests"
    }
  ],
  [
    "input tokens a minute",
    429,
    { "retry-after": "17", "anthropic-ratelimit-input-tokens-remaining": "0" },
    Anthropic.errorBody(
      "rate_limit_error",
      "This request would exceed the rate limit for your organization of 30,000 input tokens per minute"
    ),
    { class: "RateLimited", retryAfterMs: 17_000, message: "the provider's rate limit is reached: that of tokens" }
  ],
  [
    "an overload that says for how long",
    529,
    { "retry-after": "3" },
    Anthropic.errorBody("overloaded_error", "Overloaded"),
    { class: "Overloaded", retryAfterMs: 3_000 }
  ],
  [
    "too much for one request",
    413,
    {},
    Anthropic.errorBody("request_too_large", "Request exceeds the maximum size"),
    { class: "ContextOverflow" }
  ],
  ["a conflict", 409, {}, Anthropic.errorBody("invalid_request_error", "conflict"), { class: "Overloaded" }],
  ["a misdirected request", 421, {}, "", { class: "Unreachable", reached: "nothing" }],
  [
    "no credit",
    402,
    {},
    Anthropic.errorBody("billing_error", "Your account has an issue"),
    { class: "Unauthorized", code: "billing_error" }
  ]
]

const openAi: ReadonlyArray<Row> = [
  [
    "requests a minute, by its reset",
    429,
    {
      "x-ratelimit-limit-requests": "500",
      "x-ratelimit-remaining-requests": "0",
      "x-ratelimit-reset-requests": "1m2.5s",
      "x-ratelimit-remaining-tokens": "29000",
      "x-ratelimit-reset-tokens": "6h"
    },
    OpenAi.errorBody(
      "rate_limit_exceeded",
      "Rate limit reached for gpt-5 on requests per min (RPM): Limit 500, Used 500",
      "requests"
    ),
    { class: "RateLimited", retryAfterMs: 62_500, message: "the provider's rate limit is reached: that of requests" }
  ],
  [
    "tokens a minute, in words only",
    429,
    {},
    OpenAi.errorBody(
      "rate_limit_exceeded",
      "Rate limit reached for gpt-5 on tokens per min (TPM): Limit 30000, Used 29000, Requested 4000. Please try again in 6.5s.",
      "tokens"
    ),
    { class: "RateLimited", retryAfterMs: 6_500, message: "the provider's rate limit is reached: that of tokens" }
  ],
  [
    "a wait in milliseconds",
    429,
    { "retry-after-ms": "871", "retry-after": "1" },
    OpenAi.errorBody("rate_limit_exceeded", "slow", "tokens"),
    { class: "RateLimited", retryAfterMs: 871 }
  ],
  [
    "a request that is more than a minute's tokens: no wait mends it, a shorter one does",
    429,
    { "retry-after": "1" },
    OpenAi.errorBody(
      "rate_limit_exceeded",
      "Request too large for gpt-5 in organization org-x on tokens per min (TPM): Limit 30000, Requested 41000.",
      "tokens"
    ),
    { class: "ContextOverflow" }
  ],
  [
    "an empty account",
    429,
    { "retry-after": "1" },
    OpenAi.errorBody(
      "insufficient_quota",
      "You exceeded your current quota, please check your plan",
      "insufficient_quota"
    ),
    { class: "Unauthorized", code: "insufficient_quota" }
  ],
  [
    "a country",
    403,
    {},
    OpenAi.errorBody(
      "unsupported_country_region_territory",
      "Country, region, or territory not supported",
      "request_forbidden"
    ),
    { class: "Unauthorized" }
  ],
  [
    "a filter",
    400,
    {},
    OpenAi.errorBody("content_policy_violation", "rejected by our safety system"),
    { class: "Refused" }
  ],
  [
    "a prompt that was flagged",
    400,
    {},
    OpenAi.errorBody(
      "invalid_prompt",
      "Invalid prompt: your prompt was flagged as potentially violating our usage policy."
    ),
    { class: "Refused" }
  ],
  [
    "an engine",
    503,
    {},
    OpenAi.errorBody(null, "The engine is currently overloaded, please try again later", "server_error"),
    { class: "Overloaded" }
  ],
  ["a proxy's timeout", 524, {}, "<html>A timeout occurred</html>", { class: "TimedOut" }]
]

const compatible: ReadonlyArray<Row> = [
  [
    "vLLM, too long",
    400,
    {},
    {
      object: "error",
      message: "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
      type: "BadRequestError",
      param: null,
      code: 400
    },
    { class: "ContextOverflow", status: 400 }
  ],
  [
    "llama.cpp, too long",
    400,
    {},
    {
      error: {
        code: 400,
        message: "the request exceeds the available context size, try increasing it",
        type: "exceed_context_size_error"
      }
    },
    { class: "ContextOverflow" }
  ],
  [
    "llama.cpp, loading",
    503,
    {},
    { error: { code: 503, message: "Loading model", type: "unavailable_error" } },
    { class: "Overloaded" }
  ],
  ["Ollama, no such model", 404, {}, { error: "model 'llama9' not found" }, { class: "InvalidRequest" }],
  [
    "Google, a rate limit in an empty account's words",
    429,
    {},
    [
      {
        error: {
          code: 429,
          message: "You exceeded your current quota, please check your plan and billing details. Please retry in 21.5s",
          status: "RESOURCE_EXHAUSTED"
        }
      }
    ],
    { class: "RateLimited", retryAfterMs: 21_500 }
  ],
  [
    "Google, too long",
    400,
    {},
    [
      {
        error: {
          code: 400,
          message: "The input token count (1200000) exceeds the maximum number of tokens allowed (1048575).",
          status: "INVALID_ARGUMENT"
        }
      }
    ],
    { class: "ContextOverflow" }
  ],
  [
    "Google, overloaded",
    503,
    {},
    [{ error: { code: 503, message: "The model is overloaded.", status: "UNAVAILABLE" } }],
    { class: "Overloaded", code: "unavailable" }
  ],
  [
    "Azure, its filter",
    400,
    {},
    {
      error: {
        code: "content_filter",
        message: "The response was filtered",
        status: 400,
        innererror: { code: "ResponsibleAIPolicyViolation" }
      }
    },
    { class: "Refused", code: "content_filter" }
  ],
  [
    "Azure, its limit",
    429,
    {},
    {
      error: {
        code: "429",
        message: "Requests to the API have exceeded token rate limit. Please retry after 20 seconds."
      }
    },
    { class: "RateLimited", retryAfterMs: 20_000 }
  ],
  [
    "Groq, a call that it could not read",
    400,
    {},
    {
      error: {
        message: "Failed to call a function. Please adjust your prompt.",
        type: "invalid_request_error",
        code: "tool_use_failed",
        failed_generation: "<function"
      }
    },
    { class: "MalformedToolCall", code: "tool_use_failed" }
  ],
  [
    "Groq, more than a minute's tokens",
    413,
    {},
    {
      error: {
        message: "Request too large for model on tokens per minute (TPM): Limit 6000, Requested 9000",
        type: "tokens",
        code: "rate_limit_exceeded"
      }
    },
    { class: "ContextOverflow" }
  ],
  [
    "OpenRouter, no credit",
    402,
    {},
    { error: { code: 402, message: "Insufficient credits" } },
    { class: "Unauthorized" }
  ],
  [
    "OpenRouter, moderation",
    403,
    {},
    { error: { code: 403, message: "google/x requires moderation on OpenAI. Your input was flagged", metadata: {} } },
    { class: "Refused" }
  ],
  [
    "OpenRouter, a limit until a time",
    429,
    { "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(Date.now() + laterMs) },
    { error: { code: 429, message: "Rate limit exceeded: free-models-per-min" } },
    { class: "RateLimited", retryAfterMs: aboutThen }
  ],
  [
    "DeepSeek, no balance",
    402,
    {},
    { error: { message: "Insufficient Balance", type: "unknown_error", param: null, code: "invalid_request_error" } },
    { class: "Unauthorized" }
  ],
  [
    "nginx, a body that is too large",
    413,
    {},
    "<html><h1>413 Request Entity Too Large</h1></html>",
    { class: "ContextOverflow" }
  ],
  ["a login page", 302, { location: "http://127.0.0.1:9/" }, "", { class: "Unreachable" }],
  ["bytes that are no UTF-8", 500, {}, "\ud800 caf\u00e9", { class: "Overloaded" }],
  [
    "a body that lies about being JSON",
    400,
    { "content-type": "application/json" },
    '{"error":{"type":"overl',
    { class: "InvalidRequest" }
  ]
]

for (const [name, rows, layer] of [
  ["Anthropic", anthropic, Anthropic.layer],
  ["OpenAI", openAi, OpenAi.layer],
  ["a compatible server", compatible, OpenAi.layer]
] as const) {
  describe(`${name} refuses:`, () => {
    it.scopedLive.each(rows)("%s (%i)", ([, status, headers, body, expected]) =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        fake.script(Fake.status(status, body, headers))
        const error = yield* failure().pipe(Effect.provide(layer(fake)))
        expect(error.failure).toMatchObject({ reached: "request", ...expected })
        expect(error.partial).toBeUndefined()
        expect(fake.requests.length).toBeGreaterThanOrEqual(status === 302 ? 0 : 1)
        // Our sentences, not theirs.
        expect(error.failure.message).not.toMatch(/organization|Limit \d|please|llama9|429 Request/i)
      })
    )
  })
}

describe("how long to wait", () => {
  const now = Date.parse("2026-01-01T00:00:00Z")
  const wait = (headers: Readonly<Record<string, string>>, text = "") => RateHeaders.waitMs(headers, text, now)
  it.each([
    [{ "x-ratelimit-reset-requests": "1s" }, "", 1_000],
    [{ "x-ratelimit-reset-requests": "6m0s" }, "", 360_000],
    [{ "x-ratelimit-reset-tokens": "120ms" }, "", 120],
    [{ "x-ratelimit-reset-tokens": "1h2m3.5s" }, "", 3_723_500],
    [{ "ratelimit-reset": "30" }, "", 30_000],
    [{ "x-ratelimit-reset": "1767225660" }, "", 60_000],
    [{ "x-ratelimit-reset": "1767225660000" }, "", 60_000],
    [{ "anthropic-ratelimit-tokens-reset": "2026-01-01T00:00:07Z" }, "", 7_000],
    [{ "anthropic-ratelimit-tokens-reset": "2025-01-01T00:00:07Z" }, "", 0],
    // The one that is used up counts, not the one that is far away.
    [
      {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "2s",
        "x-ratelimit-remaining-tokens": "9",
        "x-ratelimit-reset-tokens": "9m"
      },
      "",
      2_000
    ],
    // Where none is used up, its words are nearer to the truth than the furthest of its resets.
    [{ "x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "9m" }, "try again in 3s.", 3_000],
    [{ "x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "9m" }, "", 540_000],
    [{ "retry-after": "4", "x-ratelimit-reset-requests": "9m" }, "", 4_000],
    [{}, "please try again in 20ms.", 20],
    [{}, "please try again in 1m30s. visit", 90_000],
    [{}, "retry after 1 minute", 60_000],
    [{}, "try again in a moment", undefined],
    [{ "retry-after": "99999999999999" }, "", 365 * 86_400_000],
    [{ "x-ratelimit-reset": "soon" }, "", undefined],
    [{ "x-ratelimit-reset-requests": "1x" }, "", undefined]
  ] as const)("%j %s: %s ms", (headers, text, expected) => {
    expect(wait(headers as Readonly<Record<string, string>>, text)).toBe(expected)
  })
})

describe("a connection that is lost", () => {
  const text = Anthropic.message([Anthropic.text("Half ", "an ", "answer.")])
  it.scopedLive("before the answer: it may have been read, and nothing came", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(Fake.reset)
      const error = yield* failure().pipe(Effect.provide(Anthropic.layer(fake)))
      expect(error.failure).toMatchObject({ class: "Unreachable", reached: "request" })
      expect(error.partial).toBeUndefined()
    })
  )
  it.scopedLive("in the middle: what came is there to go on from", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(Fake.cutAfter(5, text))
      const error = yield* failure().pipe(Effect.provide(Anthropic.layer(fake)))
      expect(error.failure.class).toBe("Interrupted")
      expect(error.partial).toEqual([{ type: "text", text: "Half an " }])
    })
  )
  it.scopedLive("after its end: the answer is whole, and nothing has failed", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(Fake.cutAfter(text.length, text))
      const error = yield* Effect.flip(failure()).pipe(Effect.provide(Anthropic.layer(fake)))
      expect(error.parts).toEqual([{ type: "text", text: "Half an answer." }])
    })
  )
  it.scopedLive("before it was made: nothing was sent", () =>
    Effect.gen(function* () {
      const url = yield* Effect.scoped(Effect.map(Fake.make, ({ url }) => url))
      const error = yield* failure().pipe(Effect.provide(Anthropic.layer({ url } as Fake.FakeProvider)))
      expect(error.failure).toMatchObject({ class: "Unreachable", reached: "nothing", code: "ECONNREFUSED" })
    })
  )
})
