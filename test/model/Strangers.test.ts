/** What answers at a wrong URL: a web site, a login page. It is named as what it is, and asked once. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Classify } from "../../src/model/index.ts"
import { Policy } from "../../src/resilience/index.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as OpenAi from "../support/FakeOpenAi.ts"
import * as Fake from "../support/FakeProvider.ts"
import { failure } from "../support/modelCall.ts"

const page = "<!doctype html><title>Sign in, my-secret</title>"

describe.each([
  ["Anthropic", Anthropic],
  ["OpenAI", OpenAi]
] as const)("at a URL for %s's API", (_, provider) => {
  it.scopedLive(
    "a page that is well is a wrong request, with its status and its content type, and none of its words",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        fake.script(Fake.status(200, page, { "content-type": "text/html; charset=utf-8" }))
        const { failure: found, partial } = yield* Effect.provide(failure(), provider.layer(fake))
        expect(found).toMatchObject({ class: "InvalidRequest", status: 200, reached: "request" })
        expect(found.message).toContain("status 200 with the content type text/html")
        expect(found.message).toContain("look at the API's URL")
        expect(JSON.stringify(found)).not.toContain("my-secret")
        expect(partial).toBeUndefined()
        const decided = Policy.judge(Policy.modelDefault)({
          kind: "model",
          name: "model",
          repeatable: "readonly",
          failure: found,
          attempt: 1,
          hasPartial: false,
          random: 0
        })
        expect(decided._tag).toBe("Fail")
      })
  )

  it.scopedLive(
    "an event stream that ends before its first event is a cut answer still, and so is one without a type",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        fake.script(Fake.endAfter(0, []), Fake.status(200, "", { "content-type": "" }))
        const layer = provider.layer(fake)
        expect((yield* Effect.provide(failure(), layer)).failure.class).toBe("Interrupted")
        expect((yield* Effect.provide(failure(), layer)).failure.class).toBe("Interrupted")
      })
  )
})

describe("an answer's content type", () => {
  it("may be any in which APIs answer", () => {
    for (const type of [
      undefined,
      "",
      "text/event-stream; charset=utf-8",
      "application/json",
      "application/problem+json",
      "application/x-ndjson",
      "application/vnd.amazon.eventstream"
    ]) {
      expect(Classify.fromStranger(200, type)).toBeNull()
    }
  })

  it("is told only where it is one", () => {
    expect(Classify.fromStranger(200, "Text/Plain")?.message).toContain("the content type text/plain")
    const odd = Classify.fromStranger(200, "my secret/is this")
    expect(odd?.message).toContain("one that makes no sense")
    expect(odd?.message).not.toContain("secret")
  })
})
