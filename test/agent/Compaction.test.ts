/** Compaction, pure: no call is parted from its results, the tail and what a person said last are kept as they are. */
import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { Compaction } from "../../src/agent/index.ts"
import type { Message } from "../../src/domain/Message.ts"

const user = (text: string, note?: string): Message => ({
  role: "user",
  parts: [{ type: "text", text }],
  ...(note === undefined ? {} : { note })
})

/** Turns with rounds of parallel calls, as a conversation has them just before the model is asked. */
const conversation: fc.Arbitrary<ReadonlyArray<Message>> = fc
  .array(
    fc.record({
      text: fc.string({ maxLength: 200 }),
      note: fc.boolean(),
      rounds: fc.array(fc.array(fc.string({ maxLength: 400 }), { minLength: 1, maxLength: 3 }), { maxLength: 6 }),
      answer: fc.string({ maxLength: 200 })
    }),
    { minLength: 1, maxLength: 6 }
  )
  .map((turns) =>
    turns.flatMap(
      ({ answer, note, rounds, text }, t): ReadonlyArray<Message> => [
        user(text),
        ...rounds.flatMap(
          (results, r): ReadonlyArray<Message> => [
            {
              role: "assistant",
              parts: results.map((_, c) => ({
                type: "tool-call" as const,
                id: `${t}.${r}.${c}`,
                name: "look",
                params: {}
              }))
            },
            ...results.map(
              (result, c): Message => ({ role: "tool", callId: `${t}.${r}.${c}`, name: "look", result, isError: false })
            )
          ]
        ),
        ...(note ? [user("conclude", "lastWords")] : []),
        ...(t === turns.length - 1
          ? []
          : [{ role: "assistant" as const, parts: [{ type: "text" as const, text: answer }] }])
      ]
    )
  )

const callsOf = (messages: ReadonlyArray<Message>) =>
  messages.flatMap((message) =>
    message.role === "assistant" ? message.parts.flatMap((part) => (part.type === "tool-call" ? [part.id] : [])) : []
  )
const resultsOf = (messages: ReadonlyArray<Message>) =>
  messages.flatMap((message) => (message.role === "tool" ? [message.callId] : []))

const numRuns = 500

describe("compaction", () => {
  it("keeps every call with its results, the tail word by word, and what a person said last", () => {
    let cuts = 0
    fc.assert(
      fc.property(conversation, fc.nat(800), fc.integer({ min: 1, max: 200 }), (messages, keep, worth) => {
        const at = Compaction.cut(messages, keep, worth)
        if (at === null) return
        cuts++
        const after = Compaction.compacted(messages, at, "in short")
        expect(callsOf(after).sort()).toEqual(resultsOf(after).sort())
        expect(callsOf(messages.slice(0, at)).sort()).toEqual(resultsOf(messages.slice(0, at)).sort())
        expect(after.slice(after.length - (messages.length - at))).toEqual(messages.slice(at))
        expect(messages.slice(at).length).toBeGreaterThan(0)
        expect(after.findLast(Compaction.isPersons)).toEqual(messages.findLast(Compaction.isPersons))
        expect(after[0]).toMatchObject({ role: "user", note: "summary" })
        const tail = messages.slice(at).reduce((sum, message) => sum + Compaction.tokensOf(message), 0)
        const lastGroup = messages.slice(messages.findLastIndex(({ role }) => role !== "tool"))
        const least = lastGroup.reduce((sum, message) => sum + Compaction.tokensOf(message), 0)
        expect(tail).toBeLessThanOrEqual(Math.max(keep, least))
      }),
      { numRuns }
    )
    expect(cuts).toBeGreaterThan(numRuns / 4)
  })

  it("cut again and again it comes to an end: what is left cannot be cut", () => {
    fc.assert(
      fc.property(conversation, (messages) => {
        let now = messages
        for (let n = 0; n < 50; n++) {
          const at = Compaction.cut(now, 0, 1)
          if (at === null) return
          now = Compaction.compacted(now, at, "")
        }
        expect.unreachable("it is cut for ever")
      }),
      { numRuns }
    )
  })

  it("can be told to cut earlier, where what is to be summarised does not fit either", () => {
    fc.assert(
      fc.property(conversation, fc.nat(40), (messages, most) => {
        const at = Compaction.cut(messages, 0, 1, most)
        if (at !== null) expect(at).toBeLessThanOrEqual(Math.max(most, 0))
      }),
      { numRuns }
    )
  })

  it("settings that cannot work are refused where they are written", () => {
    expect(() => Compaction.resolve("a", { at: 0 })).toThrow("compaction.at")
    expect(() => Compaction.resolve("a", { keep: 0.9 })).toThrow("compaction.keep")
    expect(() => Compaction.resolve("a", { window: 5 })).toThrow("compaction.window")
    expect(Compaction.resolve("a", undefined)).toMatchObject({ at: 0.8, keep: 0.2, window: null })
  })
})
