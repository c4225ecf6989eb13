import { describe, expect, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import type { StepFailure } from "../../src/domain/Failure.ts"
import { RateHeaders } from "../../src/model/index.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as OpenAi from "../support/FakeOpenAi.ts"
import * as Fake from "../support/FakeProvider.ts"
import { call, failure, observe } from "../support/modelCall.ts"

const { errorBody } = Anthropic

describe("a refused request of Anthropic", () => {
  it.scopedLive.each([
    [429, errorBody("rate_limit_error", "slow"), { class: "RateLimited", code: "rate_limit_error" }],
    [529, errorBody("overloaded_error", "Overloaded"), { class: "Overloaded", code: "overloaded_error" }],
    [500, errorBody("api_error", "oops"), { class: "Overloaded", code: "api_error" }],
    [502, "<html>Bad gateway</html>", { class: "Overloaded" }],
    [503, "", { class: "Overloaded" }],
    [504, errorBody("timeout_error", "too long"), { class: "TimedOut" }],
    [408, "", { class: "TimedOut" }],
    [401, errorBody("authentication_error", "invalid x-api-key"), { class: "Unauthorized" }],
    [403, errorBody("permission_error", "no"), { class: "Unauthorized" }],
    [400, errorBody("invalid_request_error", "Your credit balance is too low to access"), { class: "Unauthorized" }],
    [404, errorBody("not_found_error", "model: claude-nope"), { class: "InvalidRequest" }],
    [413, errorBody("request_too_large", "Request exceeds"), { class: "ContextOverflow" }],
    [
      400,
      errorBody("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
      { class: "ContextOverflow" }
    ],
    [
      400,
      errorBody("invalid_request_error", "input length and `max_tokens` exceed context limit: 190000 + 20000"),
      { class: "ContextOverflow" }
    ],
    [
      400,
      errorBody("invalid_request_error", "messages.3.content.0.text: must be a string, not my-secret"),
      {
        class: "InvalidRequest",
        message: "the provider did not accept the request (it names `messages.3.content.0.text`)"
      }
    ],
    [400, errorBody("invalid_request_error", "Output blocked by content filtering policy"), { class: "Refused" }],
    [422, { detail: [] }, { class: "InvalidRequest" }],
    [418, "{ not json", { class: "InvalidRequest" }]
  ] as const)("%i %j → %j", ([status, body, expected]) =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(Fake.status(status, body))
      const { failure: actual, partial } = yield* failure().pipe(Effect.provide(Anthropic.layer(fake)))
      expect(actual).toMatchObject({ status, ...expected })
      expect(partial).toBeUndefined()
      // One attempt is one request: retries are a policy's, and journaled.
      expect(fake.requests.length).toBe(1)
    })
  )
})

describe("a refused request of OpenAI", () => {
  it.scopedLive.each([
    [429, OpenAi.errorBody("rate_limit_exceeded", "slow", "requests"), { class: "RateLimited" }],
    [429, OpenAi.errorBody("insufficient_quota", "You exceeded your current quota"), { class: "Unauthorized" }],
    [401, OpenAi.errorBody("invalid_api_key", "Incorrect API key provided: sk-1234"), { class: "Unauthorized" }],
    [
      400,
      OpenAi.errorBody("context_length_exceeded", "Your input exceeds the context window of this model."),
      { class: "ContextOverflow", code: "context_length_exceeded" }
    ],
    [404, OpenAi.errorBody("model_not_found", "The model does not exist"), { class: "InvalidRequest" }],
    [
      400,
      OpenAi.errorBody("unsupported_value", "Unsupported value", "invalid_request_error", "input[3].content"),
      { class: "InvalidRequest", message: "the provider did not accept the request (it names `input[3].content`)" }
    ],
    [500, OpenAi.errorBody(null, "The server had an error", "server_error"), { class: "Overloaded" }]
  ] as const)("%i %j → %j", ([status, body, expected]) =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(Fake.status(status, body))
      const { failure: actual } = yield* failure().pipe(Effect.provide(OpenAi.layer(fake)))
      expect(actual).toMatchObject({ status, ...expected })
    })
  )
})

describe("retry-after", () => {
  const now = Date.parse("2026-01-01T00:00:00Z")
  it.each([
    [{ "retry-after": "7" }, 7_000],
    [{ "retry-after": "0.25" }, 250],
    [{ "retry-after": "0" }, 0],
    [{ "retry-after": "Thu, 01 Jan 2026 00:01:30 GMT" }, 90_000],
    [{ "retry-after": "Wed, 31 Dec 2025 23:00:00 GMT" }, 0],
    [{ "retry-after": "7", "retry-after-ms": "1500" }, 1_500],
    [{ "retry-after": "soon" }, undefined],
    [{ "retry-after": "-5" }, undefined],
    [{}, undefined]
  ])("%j is %s ms", (headers, expected) => {
    expect(RateHeaders.retryAfterMs(headers as Record<string, string>, now)).toBe(expected)
  })

  it.scopedLive("reaches the failure from the response's headers", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(Fake.status(429, errorBody("rate_limit_error", "slow"), { "retry-after": "12" }))
      const error = yield* failure().pipe(Effect.provide(Anthropic.layer(fake)))
      expect(error.failure.retryAfterMs).toBe(12_000)
    })
  )
})

const text = Anthropic.message([Anthropic.text("Half ", "an ", "answer.")])
const openAiText = OpenAi.answer([OpenAi.text("msg_1", "Half ", "an ", "answer.")])

describe("an answer that does not come to its end", () => {
  const expectFailure = (error: StepFailure, expected: object, partial: string | undefined) => {
    expect(error.failure).toMatchObject(expected)
    expect(error.partial).toEqual(partial === undefined ? undefined : [{ type: "text", text: partial }])
  }

  it.scopedLive.each([
    ["cut with the connection", Fake.cutAfter(5, text), "Interrupted", "Half an "],
    ["ended too early, as if it were complete", Fake.endAfter(5, text), "Interrupted", "Half an "],
    ["ended before it said anything", Fake.endAfter(2, text), "Interrupted", undefined],
    ["ended before any event", Fake.endAfter(0, text), "Interrupted", undefined],
    ["ended after all its text, but without message_stop", Fake.endAfter(8, text), "Interrupted", "Half an answer."],
    [
      "an overload in the middle",
      Fake.whole([...text.slice(0, 4), Anthropic.errorEvent("overloaded_error")]),
      "Overloaded",
      "Half "
    ],
    [
      "a failing server in the middle",
      Fake.whole([...text.slice(0, 4), Anthropic.errorEvent("api_error")]),
      "Overloaded",
      "Half "
    ],
    [
      "an error that its package does not know",
      Fake.whole([...text.slice(0, 4), Anthropic.errorEvent("timeout_error")]),
      "TimedOut",
      "Half "
    ],
    ["an event that is no JSON", Fake.whole([...text.slice(0, 4), "data: {oops\n\n"]), "Interrupted", "Half "],
    [
      "an event that its package does not know",
      Fake.whole([...text.slice(0, 4), Fake.sse({ type: "novelty" })]),
      "Interrupted",
      "Half "
    ],
    ["a refusal", Fake.whole(Anthropic.message([Anthropic.text("No")], { stop: "refusal" })), "Refused", "No"],
    ["nothing at all", Fake.whole(Anthropic.message([])), "Interrupted", undefined],
    ["an empty text", Fake.whole(Anthropic.message([Anthropic.text()])), "Interrupted", undefined],
    ["no room to answer", Fake.whole(Anthropic.message([], { stop: "max_tokens" })), "InvalidRequest", undefined]
  ] as const)("Anthropic, %s", ([, behaviour, expected, partial]) =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(behaviour)
      const error = yield* failure().pipe(Effect.provide(Anthropic.layer(fake)))
      expectFailure(error, { class: expected }, partial)
    })
  )

  it.scopedLive.each([
    ["cut with the connection", Fake.cutAfter(4, openAiText), "Interrupted", "Half an "],
    ["ended too early", Fake.endAfter(4, openAiText), "Interrupted", "Half an "],
    [
      "an error event",
      Fake.whole([...openAiText.slice(0, 3), OpenAi.errorEvent("rate_limit_exceeded")]),
      "RateLimited",
      "Half "
    ],
    [
      "an error event without a code",
      Fake.whole([...openAiText.slice(0, 3), OpenAi.errorEvent(null)]),
      "Overloaded",
      "Half "
    ],
    ["response.failed", Fake.whole(OpenAi.answer([OpenAi.text("m", "Half")], { end: "failed" })), "Overloaded", "Half"],
    ["its filter", Fake.whole(OpenAi.answer([OpenAi.text("m", "Half")], { end: "content_filter" })), "Refused", "Half"],
    [
      "a refusal, of which its package says nothing",
      Fake.whole(OpenAi.answer([{ type: "message", id: "m", pieces: [], refusal: "I cannot" }])),
      "Refused",
      undefined
    ],
    [
      "an event that is no JSON, at the end",
      Fake.whole([...openAiText.slice(0, 4), "data: {oops\n\n"]),
      "Interrupted",
      "Half an "
    ]
  ] as const)("OpenAI, %s", ([, behaviour, expected, partial]) =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(behaviour)
      const error = yield* failure().pipe(Effect.provide(OpenAi.layer(fake)))
      expectFailure(error, { class: expected }, partial)
    })
  )

  it.scopedLive("bytes that are no UTF-8 are text with replacement characters, not a defect", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const [before, after] = Anthropic.message([Anthropic.text("a#b")])
        .map(String)
        .join("")
        .split("#")
      fake.script(Fake.whole([before!, Uint8Array.of(0xff, 0xc3, 0x28), after!]))
      const { outcome } = yield* observe().pipe(Effect.provide(Anthropic.layer(fake)))
      expect(Either.getOrThrow(outcome).parts).toEqual([{ type: "text", text: "a\ufffd\ufffd(b" }])
    })
  )

  it.scopedLive("an event larger than the package takes is no defect", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const huge = `data: {"type":"${"x".repeat(11 * 1024 * 1024)}`
      fake.script(Fake.whole([...text.slice(0, 4), huge]))
      const error = yield* failure().pipe(Effect.provide(Anthropic.layer(fake)))
      expectFailure(error, { class: "Interrupted" }, "Half ")
    })
  )

  it.scopedLive("a provider that cannot be reached", () =>
    Effect.gen(function* () {
      const url = yield* Effect.scoped(Effect.map(Fake.make, ({ url }) => url))
      const layer = Anthropic.layer({ url } as Fake.FakeProvider)
      const error = yield* failure().pipe(Effect.provide(layer))
      expectFailure(error, { class: "Unreachable", code: "ECONNREFUSED" }, undefined)
    })
  )

  it.scopedLive("a file that the provider does not take fails before anything is sent", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const messages = [{ role: "user", parts: [{ type: "file", mediaType: "audio/wav", data: "AAAA" }] }] as const
      const error = yield* Effect.flip(call({ messages })).pipe(Effect.provide(Anthropic.layer(fake)))
      expect(error.failure.class).toBe("InvalidRequest")
      expect(error.failure.message).toContain("audio/wav")
      expect(fake.requests).toEqual([])
    })
  )
})
