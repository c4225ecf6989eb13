import * as LanguageModel from "@effect/ai/LanguageModel"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Either, Fiber, Layer, Stream, TestClock } from "effect"
import type { FailureClass } from "../../src/domain/Failure.ts"
import { type AssistantPart, join, type Message, textOf } from "../../src/domain/Message.ts"
import { Model, Prices } from "../../src/model/index.ts"
import { type ScriptedAnswer, ScriptedModel, ScriptNotUsedUp } from "../../src/testing/index.ts"
import { assistant, call, failure, observe, result, toolkit, user } from "../support/modelCall.ts"

const said = (text: string): Message => assistant({ type: "text", text })

describe.each([
  ["decoded by LanguageModel", false],
  ["taken directly", true]
])("a scripted model, %s", (_, direct) => {
  const make = (script: Parameters<typeof ScriptedModel.make>[0], options = {}) =>
    ScriptedModel.make(script, { direct, ...options })

  it.effect("answers by the conversation: a second asking gets the same answer", () =>
    Effect.gen(function* () {
      const texts = Effect.forEach([[user("a")], [user("a"), said("one"), user("b")], [user("a")]], (messages) =>
        Effect.map(call({ messages }), ({ parts }) => textOf(parts))
      )
      expect(yield* texts).toEqual(["one", "two", "one"])
      const service = yield* ScriptedModel
      yield* service.usedUp
      expect((yield* service.asked).map(({ index }) => index)).toEqual([0, 1, 0])
    }).pipe(Effect.provide(make([ScriptedModel.text("one"), ScriptedModel.text("two")])))
  )

  it.effect("says text and calls in one answer, each call with an id of its own", () =>
    Effect.gen(function* () {
      const first = yield* call()
      expect(first).toMatchObject({ finish: "tool-calls", model: "scripted", estimated: false })
      expect(first.parts).toEqual([
        { type: "text", text: "Both:" },
        { type: "tool-call", id: "call_0_0", name: "book", params: { id: "f1" } },
        { type: "tool-call", id: "mine", name: "get_weather", params: { city: "Paris" } }
      ])
      const second = yield* call({
        messages: [user("?"), assistant(...first.parts), result("mine", "get_weather", "21")]
      })
      expect(second.parts).toMatchObject([
        { name: "book", invalid: expect.stringContaining("id: Expected string") },
        { name: "fly", invalid: expect.stringContaining("no tool") }
      ])
    }).pipe(
      Effect.provide(
        make([
          ScriptedModel.says(
            "Both:",
            ScriptedModel.calls("book", { id: "f1" }),
            ScriptedModel.calls("get_weather", { city: "Paris" }, { id: "mine" })
          ),
          ScriptedModel.parallel([ScriptedModel.calls("book", { id: 1 }), ScriptedModel.calls("fly", {})])
        ])
      )
    )
  )

  it.effect("that has run out fails with what to do, at once", () =>
    Effect.gen(function* () {
      const error = yield* failure({ messages: [user("a"), said("one"), user("b")] })
      expect(error.failure.class).toBe("InvalidRequest")
      expect(error.failure.message).toContain("the script has 1 answers and was asked for number 2")
    }).pipe(Effect.provide(make([ScriptedModel.text("one")])))
  )

  it.effect("tells which answers were never asked for", () =>
    Effect.gen(function* () {
      yield* call()
      const error = yield* Effect.flip((yield* ScriptedModel).usedUp)
      expect(error).toBeInstanceOf(ScriptNotUsedUp)
      expect(error.missing).toEqual([1, 2])
      expect(error.message).toContain("1, 2")
    }).pipe(Effect.provide(make([ScriptedModel.text("a"), ScriptedModel.text("b"), ScriptedModel.text("c")])))
  )

  it.effect("streams tokens with pauses of the test's clock", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(observe())
      yield* TestClock.adjust("29 millis")
      expect(fiber.unsafePoll()).toBeNull()
      yield* TestClock.adjust("1 millis")
      const { deltas } = yield* Fiber.join(fiber)
      expect(deltas).toEqual(["Hello", " there,", " world"].map((text) => ({ channel: "text", text })))
    }).pipe(Effect.provide(make([ScriptedModel.text("Hello there, world")], { tokenDelay: "10 millis" })))
  )

  it.effect("streams as many tokens as it is told, and uses what it is told", () =>
    Effect.gen(function* () {
      const { outcome } = yield* observe()
      const answer = Either.getOrThrow(outcome)
      expect(textOf(answer.parts)).toBe("0123456789")
      expect(answer.usage).toEqual({
        inputTokens: 1_000_000,
        outputTokens: 3,
        reasoningTokens: 0,
        cacheReadTokens: 0,
        cacheWriteTokens: 0,
        usd: expect.closeTo(3 + 45e-6, 10)
      })
    }).pipe(
      Effect.provide(
        make([ScriptedModel.text("0123456789", { tokens: 4, usage: { inputTokens: 1_000_000, outputTokens: 3 } })], {
          model: "claude-sonnet-4-5-20250929"
        })
      )
    )
  )

  it.effect("replies to what it is asked, alone for every answer", () =>
    Effect.gen(function* () {
      const texts = Effect.forEach([[user("a")], [user("a"), said("x"), user("b")]], (messages) =>
        Effect.map(call({ messages }), ({ parts }) => textOf(parts))
      )
      expect(yield* texts).toEqual(["1 messages", "3 messages"])
    }).pipe(
      Effect.provide(
        make(ScriptedModel.reply((prompt) => Effect.succeed(ScriptedModel.text(`${prompt.content.length} messages`))))
      )
    )
  )

  const fails = (it: ScriptedAnswer.ModelFailure, after?: string) =>
    make([ScriptedModel.fails(it, after === undefined ? {} : { after }, ScriptedModel.text("Half an answer."))])

  const classes = [
    "RateLimited",
    "Overloaded",
    "Unreachable",
    "Interrupted",
    "ContextOverflow",
    "Refused",
    "InvalidRequest",
    "Unauthorized",
    "TimedOut",
    "Defect"
  ] as const satisfies ReadonlyArray<FailureClass>

  it.effect.each(classes)("fails once with %s, then answers", (it) =>
    Effect.gen(function* () {
      const error = yield* failure()
      expect(error.failure.class).toBe(it)
      expect(error.partial).toBeUndefined()
      expect(textOf((yield* call()).parts)).toBe("Half an answer.")
    }).pipe(Effect.provide(fails(it)))
  )

  it.effect.each(classes)("fails with %s in the middle, and is continued from there", (it) =>
    Effect.gen(function* () {
      const error = yield* failure()
      // A connection lost in the middle is a cut answer.
      expect(error.failure.class).toBe(it === "Unreachable" ? "Interrupted" : it)
      expect(error.partial).toEqual([{ type: "text", text: "Half an " }])
      const prefix = error.partial as ReadonlyArray<AssistantPart>
      const rest = yield* call({ prefix })
      expect(textOf(rest.parts)).toBe("answer.")
      expect(textOf(join(prefix, rest.parts))).toBe("Half an answer.")
      expect((yield* (yield* ScriptedModel).asked).map(({ index }) => index)).toEqual([0, 0])
    }).pipe(Effect.provide(fails(it, "Half an ")))
  )

  it.effect("fails once for each conversation that shares the script", () =>
    Effect.gen(function* () {
      const outcomes = yield* Effect.forEach(["a", "b", "a", "b"], (text) =>
        Effect.map(Effect.either(call({ messages: [user(text)] })), Either.isRight)
      )
      expect(outcomes).toEqual([false, false, true, true])
    }).pipe(Effect.provide(fails("Overloaded")))
  )

  it.effect("fails as often as it is told to", () =>
    Effect.gen(function* () {
      const seen = yield* Effect.replicateEffect(
        Effect.map(
          Effect.either(call()),
          Either.match({ onLeft: (it) => it.failure, onRight: ({ finish }) => finish })
        ),
        3
      )
      expect(seen).toMatchObject([{ class: "RateLimited", retryAfterMs: 7_000 }, { class: "Overloaded" }, "stop"])
    }).pipe(
      Effect.provide(
        make([
          ScriptedModel.fails(
            "RateLimited",
            { retryAfter: "7 seconds" },
            ScriptedModel.fails("Overloaded", {}, ScriptedModel.text("ok"))
          )
        ])
      )
    )
  )

  it.effect("makes a malformed call that the agent's model is told about", () =>
    Effect.gen(function* () {
      const { parts } = yield* call()
      expect(parts).toMatchObject([{ type: "tool-call", invalid: expect.any(String) }])
    }).pipe(Effect.provide(fails("MalformedToolCall")))
  )

  it.effect("hangs until the deadline of silence, then answers", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(failure({ silence: "10 seconds" }))
      yield* TestClock.adjust("10 seconds")
      const error = yield* Fiber.join(fiber)
      expect(error).toMatchObject({ failure: { class: "TimedOut" }, partial: [{ text: "Half" }] })
      expect(textOf((yield* call()).parts)).toBe("Half an answer.")
    }).pipe(Effect.provide(make([ScriptedModel.hangs({ after: "Half" }, ScriptedModel.text("Half an answer."))])))
  )
})

it.effect("is an ordinary LanguageModel for everybody else", () =>
  Effect.gen(function* () {
    const response = yield* LanguageModel.generateText({ prompt: "hi" })
    expect(response.text).toBe("Hello.")
    const parts = yield* Stream.runCollect(LanguageModel.streamText({ prompt: "hi" }))
    expect([...parts].map(({ type }) => type)).toEqual([
      "response-metadata",
      "text-start",
      "text-delta",
      "text-end",
      "finish"
    ])
  }).pipe(Effect.provide(ScriptedModel.make([ScriptedModel.text("Hello.")])))
)

it.effect("a table of one's own prices a model, and an unknown model has no price", () =>
  Effect.gen(function* () {
    const usd = Effect.map(
      Model.call({ messages: [user("a")], toolkit, silence: Duration.infinity, onDelta: () => Effect.void }),
      ({ usage }) => usage.usd
    )
    expect(yield* usd).toBeNull()
    const table = { ...Prices.table, mine: { input: 2, output: 0, cacheRead: 0.5, cacheWrite: 1 } }
    expect(yield* Effect.provide(usd, Layer.succeed(Prices.Prices, table))).toBeCloseTo((600 * 2 + 400 * 0.5) / 1e6, 12)
  }).pipe(
    Effect.provide(
      ScriptedModel.make([ScriptedModel.text("a", { usage: { inputTokens: 1_000, cachedInputTokens: 400 } })], {
        model: "mine"
      })
    )
  )
)

describe("prices", () => {
  it.each([
    ["claude-sonnet-4-5-20250929", 3],
    ["claude-sonnet-4-5", 3],
    ["claude-opus-4-0", 15],
    ["claude-3-5-haiku-latest", 0.8],
    ["claude-haiku-4-5@20251001", 1],
    ["gpt-5-mini", 0.25],
    ["gpt-5-mini-2025-08-07", 0.25],
    ["gpt-5-turbo", undefined],
    ["toString", undefined]
  ])("%s costs %s dollars a million input tokens", (model, input) => {
    expect(Prices.find(Prices.table, model)?.input).toBe(input)
  })
})
