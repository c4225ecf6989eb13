import { describe, expect, it } from "@effect/vitest"
import { Arbitrary, Effect, FastCheck } from "effect"
import { Message } from "../../src/domain/Message.ts"
import { ScriptedModel } from "../../src/testing/index.ts"
import { assistant, call, failure, user } from "../support/modelCall.ts"

/** What a provider is asked for this conversation. */
const prompt = (messages: ReadonlyArray<Message>, instructions?: string) =>
  Effect.gen(function* () {
    yield* call({ messages, instructions })
    return (yield* (yield* ScriptedModel).asked).at(-1)!.prompt.content
  })

/** The same values in objects that no cache has seen. */
const fresh = (messages: ReadonlyArray<Message>): ReadonlyArray<Message> => JSON.parse(JSON.stringify(messages))

const model = ScriptedModel.make(ScriptedModel.reply(() => ScriptedModel.text("ok")))

describe("the prompt of a conversation", () => {
  it.effect("is the same however it came to be: grown, pushed to, forked, cut short or compacted", () =>
    Effect.gen(function* () {
      const a = user("a")
      const [b, c, d] = [assistant({ type: "text", text: "b" }), user("c"), user("d")]
      const empty = assistant({ type: "text", text: "" })
      const pushed = [a]
      for (const messages of [
        [a],
        [a, b],
        [a, b, c],
        [a, b, d],
        [a],
        [a, empty, c],
        [a, empty, c, d],
        [c, d],
        [],
        [a, c, b]
      ]) {
        expect(yield* prompt(messages, "system")).toEqual(yield* prompt(fresh(messages), "system"))
        pushed.push(c)
        expect(yield* prompt(pushed)).toEqual(yield* prompt(fresh(pushed)))
      }
    }).pipe(Effect.provide(model))
  )

  it.effect("leaves out answers of which nothing can be sent", () =>
    Effect.gen(function* () {
      const source = { type: "source", sourceType: "url", id: "1", url: "https://a.example/", title: "A" }
      const content = yield* prompt([user("a"), assistant({ type: "opaque", part: source }), user("b")])
      expect(content.map(({ role }) => role)).toEqual(["user", "user"])
    }).pipe(Effect.provide(model))
  )

  it.effect.each(["https:", "http://[", "data:text/plain,%zz"])(
    "with a file at %s is refused, not a defect (I13)",
    (data) =>
      Effect.gen(function* () {
        const error = yield* failure({
          messages: [{ role: "user", parts: [{ type: "file", mediaType: "text/plain", data }] }]
        })
        expect(error.failure).toMatchObject({ class: "InvalidRequest", message: expect.stringContaining("address") })
      }).pipe(Effect.provide(model))
  )

  it.effect.each([
    ["text/plain", "aMOp", "hé"],
    ["text/plain", "data:text/plain;base64,aMOp", "hé"],
    ["text/plain", "data:text/plain,h%C3%A9", "hé"],
    ["image/png", "AQI=", Uint8Array.of(1, 2)],
    ["image/png", "data:image/png;base64,AQI=", Uint8Array.of(1, 2)],
    ["image/png", "https://a.example/b.png", new URL("https://a.example/b.png")]
  ] as const)("has a %s file of %s in the form that providers' packages want", ([mediaType, data, expected]) =>
    Effect.gen(function* () {
      const [message] = yield* prompt([{ role: "user", parts: [{ type: "file", mediaType, data }] }])
      expect(message).toMatchObject({ role: "user", content: [{ type: "file", mediaType, data: expected }] })
    }).pipe(Effect.provide(model))
  )

  it.effect("can be made of every conversation that can be journaled, and twice is once", () =>
    Effect.gen(function* () {
      const conversations = FastCheck.sample(FastCheck.array(Arbitrary.make(Message), { maxLength: 6 }), 100)
      for (const messages of conversations) {
        expect(yield* prompt(messages)).toEqual(yield* prompt(fresh(messages)))
      }
    }).pipe(Effect.provide(model))
  )
})
