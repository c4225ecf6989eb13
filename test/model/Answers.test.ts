import { AnthropicTool } from "@effect/ai-anthropic"
import { Toolkit } from "@effect/ai"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import { join, textOf } from "../../src/domain/Message.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as OpenAi from "../support/FakeOpenAi.ts"
import * as Fake from "../support/FakeProvider.ts"
import { assistant, call, failure, observe, result, user } from "../support/modelCall.ts"

describe("answers of Anthropic", () => {
  it.scopedLive("are streamed as deltas, in order, and returned whole", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(
        Fake.whole(
          Anthropic.message([
            Anthropic.thinking("sig", "hm", "…"),
            Anthropic.text("It ", "is ", "21°C 👩‍👩‍👧."),
            Anthropic.tool("toolu_1", "get_weather", '{"city":', '"Paris","days":"3"}')
          ])
        )
      )
      const { deltas, outcome } = yield* observe().pipe(Effect.provide(Anthropic.layer(fake)))
      const answer = Either.getOrThrow(outcome)
      expect(answer.parts).toEqual([
        { type: "reasoning", text: "hm…", metadata: { anthropic: { type: "thinking", signature: "sig" } } },
        { type: "text", text: "It is 21°C 👩‍👩‍👧." },
        // Encoded: "3" and not 3.
        { type: "tool-call", id: "toolu_1", name: "get_weather", params: { city: "Paris", days: "3" } }
      ])
      expect(answer).toMatchObject({ finish: "tool-calls", model: Anthropic.modelId, provider: "anthropic" })
      const of = (channel: string) => deltas.filter((delta) => delta.channel === channel).map(({ text }) => text)
      expect(of("text").join("")).toBe("It is 21°C 👩‍👩‍👧.")
      expect(of("reasoning").join("")).toBe("hm…")
      expect(of("params").join("")).toBe('{"city":"Paris","days":"3"}')
      expect(of("text").length).toBeGreaterThan(1)
    })
  )

  it.scopedLive("count cached tokens as input, and cost by the table", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const usage = {
        input_tokens: 1_000,
        output_tokens: 2_000,
        cache_read_input_tokens: 100_000,
        cache_creation_input_tokens: 10_000
      }
      fake.script(Fake.whole(Anthropic.message([Anthropic.text("hi")], { usage })))
      const answer = yield* call().pipe(Effect.provide(Anthropic.layer(fake)))
      expect(answer.usage).toEqual({
        inputTokens: 111_000,
        outputTokens: 2_000,
        reasoningTokens: 0,
        cacheReadTokens: 100_000,
        cacheWriteTokens: 10_000,
        usd: expect.closeTo(0.003 + 0.03 + 0.03 + 0.0375, 10)
      })
      expect(answer.estimated).toBe(false)
    })
  )

  it.scopedLive("keep all parts and the usage when a call's arguments do not fit", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(
        Fake.whole(
          Anthropic.message(
            [
              Anthropic.text("Both."),
              Anthropic.tool("toolu_1", "get_weather", '{"town":"Paris"}'),
              Anthropic.tool("toolu_2", "book", '{"id":"f1"}')
            ],
            { usage: { input_tokens: 7, output_tokens: 9 } }
          )
        )
      )
      const answer = yield* call().pipe(Effect.provide(Anthropic.layer(fake)))
      expect(answer.parts).toEqual([
        { type: "text", text: "Both." },
        {
          type: "tool-call",
          id: "toolu_1",
          name: "get_weather",
          params: { town: "Paris" },
          invalid: expect.stringContaining("city: is missing")
        },
        { type: "tool-call", id: "toolu_2", name: "book", params: { id: "f1" } }
      ])
      expect(answer.usage).toMatchObject({ inputTokens: 7, outputTokens: 9 })
      expect(answer.estimated).toBe(false)
    })
  )

  it.scopedLive("end at a call of a tool that does not exist: what came before stands, and the model is told", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(
        Fake.whole(
          Anthropic.message([
            Anthropic.thinking("sig", "hm"),
            Anthropic.tool("toolu_1", "book", '{"id":"f1"}'),
            Anthropic.tool("toolu_2", "functions.fly", '{"to":"Paris"}')
          ])
        ),
        Fake.whole(Anthropic.message([Anthropic.text("Sorry.")]))
      )
      const layer = Anthropic.layer(fake)
      const answer = yield* call().pipe(Effect.provide(layer))
      expect(answer.parts).toMatchObject([
        { type: "reasoning", metadata: { anthropic: { signature: "sig" } } },
        { id: "toolu_1", name: "book", params: { id: "f1" } },
        { id: "toolu_2", name: "functions.fly", params: { to: "Paris" } }
      ])
      expect(answer.parts[1]).not.toHaveProperty("invalid")
      expect(answer.parts[2]).toHaveProperty(
        "invalid",
        'There is no tool "functions.fly". The tools are: get_weather, book.'
      )
      expect(answer.finish).toBe("tool-calls")
      expect(answer.estimated).toBe(true)
      expect(answer.usage.outputTokens).toBeGreaterThan(0)
      // The next request can be sent: the made-up name is one that the provider takes.
      yield* call({
        messages: [
          user("Paris?"),
          assistant(...answer.parts),
          result("toolu_1", "book", "ok"),
          result("toolu_2", "functions.fly", "no")
        ]
      }).pipe(Effect.provide(layer))
      expect(fake.requests[1]!.body.messages[1].content[2]).toMatchObject({ type: "tool_use", name: "functions_fly" })
    })
  )

  it.scopedLive("end at a call whose arguments are no JSON, which goes back as an object", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(
        Fake.whole(
          Anthropic.message([Anthropic.text("I look."), Anthropic.tool("toolu_1", "book", '{"id":', '"f')], {
            stop: "max_tokens"
          })
        ),
        Fake.whole(Anthropic.message([Anthropic.text("Sorry.")]))
      )
      const layer = Anthropic.layer(fake)
      const answer = yield* call().pipe(Effect.provide(layer))
      expect(answer.parts).toEqual([
        { type: "text", text: "I look." },
        {
          type: "tool-call",
          id: "toolu_1",
          name: "book",
          params: '{"id":"f',
          invalid: expect.stringContaining("not complete, valid JSON")
        }
      ])
      yield* call({ messages: [user("?"), assistant(...answer.parts), result("toolu_1", "book", "no")] }).pipe(
        Effect.provide(layer)
      )
      expect(fake.requests[1]!.body.messages[1].content[1].input).toEqual({ unparsed: '{"id":"f' })
    })
  )

  it.scopedLive("give their thinking back with its signature, redacted or not, in the next request", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(
        Fake.whole(
          Anthropic.message([
            Anthropic.thinking("c2lnbmF0dXJl+/==", "I should look."),
            { type: "redacted", data: "b3BhcXVl" },
            Anthropic.text("Looking."),
            Anthropic.tool("toolu_1", "book", '{"id":"f1"}')
          ])
        ),
        Fake.whole(Anthropic.message([Anthropic.text("Done.")]))
      )
      const layer = Anthropic.layer(fake)
      const first = yield* call({ instructions: "Be brief." }).pipe(Effect.provide(layer))
      // As it would be read from a journal.
      const parts = JSON.parse(JSON.stringify(first.parts))
      yield* call({
        instructions: "Be brief.",
        messages: [user("Paris?"), assistant(...parts), result("toolu_1", "book", "booked")]
      }).pipe(Effect.provide(layer))
      const { body } = fake.requests[1]!
      expect(body.system).toMatchObject([{ type: "text", text: "Be brief." }])
      expect(body.messages[1].content).toEqual([
        { type: "thinking", thinking: "I should look.", signature: "c2lnbmF0dXJl+/==" },
        { type: "redacted_thinking", data: "b3BhcXVl" },
        { type: "text", text: "Looking." },
        { type: "tool_use", id: "toolu_1", name: "book", input: { id: "f1" } }
      ])
      expect(body.messages[2].content).toMatchObject([
        { type: "tool_result", tool_use_id: "toolu_1", content: '"booked"', is_error: false }
      ])
      // The schema that the model sees is the tool's own, although its calls are decoded leniently.
      expect(body.tools[0]).toMatchObject({
        name: "get_weather",
        description: "The weather of a city",
        input_schema: { type: "object", required: ["city"], properties: { city: { type: "string" } } }
      })
    })
  )

  it.scopedLive("pass through tools that the provider runs, under the names that its package takes back", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const content = [
        { type: "web_search_result", url: "https://a.example/", title: "A", encrypted_content: "xyz", page_age: null }
      ]
      const events = [...Anthropic.message([{ type: "search", id: "srvtoolu_1", query: "q" }, Anthropic.text("So.")])]
      const block = { type: "web_search_tool_result", tool_use_id: "srvtoolu_1", content }
      events.splice(
        5,
        0,
        Fake.sse({ type: "content_block_start", index: 7, content_block: block }),
        Fake.sse({ type: "content_block_stop", index: 7 })
      )
      fake.script(Fake.whole(events), Fake.whole(Anthropic.message([Anthropic.text("Done.")])))
      const layer = Anthropic.layer(fake)
      const tools = Toolkit.make(AnthropicTool.WebSearch_20250305({}))
      const answer = yield* call({ toolkit: tools }).pipe(Effect.provide(layer))
      expect(answer.parts).toMatchObject([
        { type: "tool-call", name: "AnthropicWebSearch", params: { query: "q" }, providerExecuted: true },
        { type: "opaque", part: { type: "tool-result", id: "srvtoolu_1", isFailure: false } },
        { type: "text", text: "So." }
      ])
      expect(answer.finish).toBe("stop")
      yield* call({ toolkit: tools, messages: [user("?"), assistant(...answer.parts), user("and?")] }).pipe(
        Effect.provide(layer)
      )
      expect(fake.requests[1]!.body.tools).toMatchObject([{ type: "web_search_20250305", name: "web_search" }])
      expect(fake.requests[1]!.body.messages[1].content).toMatchObject([
        { type: "server_tool_use", id: "srvtoolu_1", name: "web_search", input: { query: "q" } },
        { type: "web_search_tool_result", tool_use_id: "srvtoolu_1", content },
        { type: "text", text: "So." }
      ])
    })
  )

  it.scopedLive("that were cut are continued from their text, which is not sent back trimmed", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const layer = Anthropic.layer(fake)
      const events = Anthropic.message([Anthropic.thinking("sig", "hm"), Anthropic.text("The sky ", "is ", "blue.")])
      // message_start, ping, four of thinking, block start, two deltas
      fake.script(Fake.endAfter(9, events), Fake.whole(Anthropic.message([Anthropic.text(" blue", " today.")])))
      const cut = yield* failure().pipe(Effect.provide(layer))
      expect(cut.failure.class).toBe("Interrupted")
      expect(cut.partial).toEqual([{ type: "text", text: "The sky is " }])
      const prefix = cut.partial as Parameters<typeof join>[0]
      const { deltas, outcome } = yield* observe({ prefix }).pipe(Effect.provide(layer))
      const rest = Either.getOrThrow(outcome)
      expect(textOf(join(prefix, rest.parts))).toBe("The sky is blue today.")
      expect(deltas.map(({ text }) => text).join("")).toBe("blue today.")
      const { messages } = fake.requests[1]!.body
      expect(messages[1]).toMatchObject({ role: "assistant", content: [{ type: "text", text: "The sky is " }] })
      expect(messages[2].role).toBe("user")
    })
  )

  it.scopedLive("go back thinking first where an answer was joined from two halves", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(Fake.whole(Anthropic.message([Anthropic.text("ok")])))
      yield* call({
        messages: [
          user("?"),
          assistant(
            { type: "text", text: "I was cut" },
            { type: "reasoning", text: "hm", metadata: { anthropic: { type: "thinking", signature: "s" } } },
            { type: "tool-call", id: "toolu_1", name: "book", params: { id: "1" } }
          ),
          result("toolu_1", "book", "ok")
        ]
      }).pipe(Effect.provide(Anthropic.layer(fake)))
      const types = fake.requests[0]!.body.messages[1].content.map((block: { type: string }) => block.type)
      expect(types).toEqual(["thinking", "text", "tool_use"])
    })
  )

  it.scopedLive("survive letters that are split between two packets", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const beats = Anthropic.message([Anthropic.text("é👩‍👩‍👧")]).flatMap((beat) => {
        const bytes = new TextEncoder().encode(beat as string)
        return [...bytes]
          .map((byte) => Uint8Array.of(byte))
          .reduce<Array<Uint8Array>>((all, byte) => {
            // Pieces of one byte around every letter that has several.
            if (byte[0]! >= 0x80 || all.length === 0 || all.at(-1)!.at(-1)! >= 0x80) all.push(byte)
            else all[all.length - 1] = Uint8Array.of(...all.at(-1)!, ...byte)
            return all
          }, [])
      })
      fake.script(Fake.whole(beats))
      const answer = yield* call().pipe(Effect.provide(Anthropic.layer(fake)))
      expect(textOf(answer.parts)).toBe("é👩‍👩‍👧")
    })
  )
})

describe("answers of OpenAI", () => {
  it.scopedLive("keep reasoning items, their encrypted content and item ids for the next request", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(
        Fake.whole(
          OpenAi.answer(
            [
              OpenAi.reasoning("rs_1", "ZW5jcnlwdGVk", "First.", "Second."),
              OpenAi.text("msg_1", "Let me ", "look."),
              OpenAi.call("fc_1", "call_1", "get_weather", '{"city":"Paris"}')
            ],
            { usage: { input_tokens: 2_000, cached: 1_500, output_tokens: 300, reasoning: 200 } }
          )
        ),
        Fake.whole(OpenAi.answer([OpenAi.text("msg_2", "21")]))
      )
      const layer = OpenAi.layer(fake)
      const { deltas, outcome } = yield* observe().pipe(Effect.provide(layer))
      const answer = Either.getOrThrow(outcome)
      expect(textOf(answer.parts)).toBe("Let me look.")
      expect(
        deltas
          .filter(({ channel }) => channel === "reasoning")
          .map(({ text }) => text)
          .join("")
      ).toBe("First.Second.")
      expect(answer).toMatchObject({ finish: "tool-calls", model: OpenAi.modelId, provider: "openai" })
      expect(answer.usage).toEqual({
        inputTokens: 2_000,
        outputTokens: 300,
        reasoningTokens: 200,
        cacheReadTokens: 1_500,
        cacheWriteTokens: 0,
        usd: expect.closeTo((500 * 1.25 + 1_500 * 0.125 + 300 * 10) / 1e6, 12)
      })
      yield* call({
        messages: [
          user("Paris?"),
          assistant(...JSON.parse(JSON.stringify(answer.parts))),
          result("call_1", "get_weather", "21C")
        ]
      }).pipe(Effect.provide(layer))
      expect(fake.requests[1]!.body.input.slice(1)).toMatchObject([
        {
          type: "reasoning",
          id: "rs_1",
          encrypted_content: "ZW5jcnlwdGVk",
          summary: [
            { type: "summary_text", text: "First." },
            { type: "summary_text", text: "Second." }
          ]
        },
        { role: "assistant", id: "msg_1", content: [{ type: "output_text", text: "Let me look." }] },
        { type: "function_call", id: "fc_1", call_id: "call_1", name: "get_weather", arguments: '{"city":"Paris"}' },
        { type: "function_call_output", call_id: "call_1", output: '"21C"' }
      ])
    })
  )

  it.scopedLive("report calls that the package could not read, with what else there is", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const layer = OpenAi.layer(fake)
      fake.script(
        Fake.whole(OpenAi.answer([OpenAi.text("m", "x"), OpenAi.call("fc_1", "call_1", "book", '{"id')])),
        Fake.whole(OpenAi.answer([OpenAi.call("fc_1", "call_1", "fly", "{}")])),
        // An event that its package does not know is skipped by it: here the one that ends the call.
        Fake.whole(
          OpenAi.answer([OpenAi.call("fc_1", "call_1", "book", '{"id":"1"}')]).map((beat) =>
            String(beat).includes("output_item.done") ? Fake.sse({ type: "response.novelty" }) : beat
          )
        )
      )
      const invalid = call().pipe(
        Effect.map(({ parts }) => parts.flatMap((part) => (part.type === "tool-call" ? [part.invalid] : [part.type])))
      )
      expect(yield* Effect.provide(invalid, layer)).toEqual(["text", expect.stringContaining("valid JSON")])
      expect(yield* Effect.provide(invalid, layer)).toEqual([expect.stringContaining('There is no tool "fly"')])
      expect(yield* Effect.provide(invalid, layer)).toEqual([expect.stringContaining("not complete")])
    })
  )
})
