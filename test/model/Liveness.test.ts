import { describe, expect, it } from "@effect/vitest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Deferred, Duration, Effect, Either, Fiber, TestClock } from "effect"
import { ScriptedModel } from "../../src/testing/index.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as OpenAi from "../support/FakeOpenAi.ts"
import * as Fake from "../support/FakeProvider.ts"
import { call, failure, observe } from "../support/modelCall.ts"

const text = Anthropic.message([Anthropic.text("Half ", "an ", "answer.")])

describe("interrupting a call", () => {
  it.scopedLive.each([
    ["before the first byte, over fetch", Fake.hangAfter(0, text), undefined],
    ["in the middle, over fetch", Fake.hangAfter(5, text), undefined],
    ["in the middle, over undici", Fake.hangAfter(5, text), NodeHttpClient.layerUndici],
    ["in the middle, over node:http", Fake.hangAfter(5, text), NodeHttpClient.layer]
  ] as const)("aborts the request: the server sees the connection close, %s", ([, behaviour, http]) =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(behaviour)
      const fiber = yield* Effect.fork(
        call().pipe(Effect.provide(Anthropic.layer(fake, http === undefined ? {} : { http })))
      )
      yield* fake.sent
      yield* Fiber.interrupt(fiber)
      yield* fake.hungUp
      expect(fake.requests.length).toBe(1)
    })
  )

  it.scopedLive("aborts it with OpenAI, too", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(Fake.hangAfter(4, OpenAi.answer([OpenAi.text("m", "Half", "way")])))
      const fiber = yield* Effect.fork(call().pipe(Effect.provide(OpenAi.layer(fake))))
      yield* fake.sent
      yield* Fiber.interrupt(fiber)
      yield* fake.hungUp
    })
  )
})

describe("an answer without end", () => {
  it.scopedLive("is not read on, is paid, and is not asked for again", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const much = "word ".repeat(1_000_001)
      fake.script(Fake.hangAfter(7, Anthropic.message([Anthropic.text(much, much, much, much, "never read")])))
      const error = yield* failure().pipe(Effect.provide(Anthropic.layer(fake)))
      expect(error.failure).toMatchObject({ class: "InvalidRequest", code: "answer_too_long" })
      expect(error.failure.message).toContain("longer than 20,000,000 characters")
      expect(error.usage!.outputTokens).toBeGreaterThan(5_000_000)
      yield* fake.hungUp
    })
  )
})

describe("silence (B2)", () => {
  it.scopedLive.each([
    ["before the first part", 0, undefined],
    ["between two parts", 5, [{ type: "text", text: "Half an " }]]
  ] as const)("of the provider ends the call and the request: %s", ([, beats, partial]) =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(Fake.hangAfter(beats, text))
      const error = yield* failure({ silence: "300 millis" }).pipe(Effect.provide(Anthropic.layer(fake)))
      expect(error.failure).toEqual({ class: "TimedOut", message: "the provider has said nothing for 0.3 seconds" })
      expect(error.partial).toEqual(partial)
      yield* fake.hungUp
    })
  )

  const words = Array.from({ length: 50 }, (_, n) => `word${n} `)
  const slow = ScriptedModel.make([ScriptedModel.text(words.join(""), { tokens: words, delay: "9 seconds" })])

  it.scoped("is all that counts: an answer that takes minutes in total is not cut", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(observe({ silence: "10 seconds" }).pipe(Effect.provide(slow)))
      yield* TestClock.adjust("450 seconds")
      const { deltas, outcome } = yield* Fiber.join(fiber)
      expect(Either.getOrThrow(outcome).parts).toEqual([{ type: "text", text: words.join("") }])
      expect(deltas.map((delta) => delta.text)).toEqual(words)
    })
  )

  it.scoped("is measured from the last part, not from the start", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(observe({ silence: "8 seconds" }).pipe(Effect.provide(slow)))
      yield* TestClock.adjust("8 seconds")
      const { outcome } = yield* Fiber.join(fiber)
      expect(Either.flip(outcome).pipe(Either.getOrThrow).failure.class).toBe("TimedOut")
    })
  )

  it.scoped("of the feed, which takes its time, is none of the provider's", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        call({
          silence: "1 second",
          onDelta: () => Effect.zipRight(Deferred.succeed(begun, undefined), Effect.sleep("1 minute"))
        }).pipe(Effect.provide(ScriptedModel.make([ScriptedModel.text("slow reader", { tokens: 2 })])))
      )
      yield* Deferred.await(begun)
      yield* TestClock.adjust("1 minute")
      yield* TestClock.adjust("1 minute")
      expect((yield* Fiber.join(fiber)).finish).toBe("stop")
    })
  )

  it.scoped("may be allowed for ever", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(call({ silence: Duration.infinity }).pipe(Effect.provide(slow)))
      yield* TestClock.adjust("450 seconds")
      expect((yield* Fiber.join(fiber)).finish).toBe("stop")
    })
  )
})

it.effect("a defect of the feed is the caller's own, not the provider's", () =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(
      call({ onDelta: () => Effect.dieMessage("feed") }).pipe(
        Effect.provide(ScriptedModel.make([ScriptedModel.text("hi")]))
      )
    )
    expect(String(exit)).toContain("feed")
    expect(exit).toMatchObject({ _tag: "Failure", cause: { _tag: "Die" } })
  })
)
