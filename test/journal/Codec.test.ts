import { describe, expect, it } from "@effect/vitest"
import { Either, Schema } from "effect"
import * as Entry from "../../src/domain/Entry.ts"
import { Codec } from "../../src/journal/index.ts"
import * as Arbitraries from "../../src/testing/Arbitraries.ts"

const bytes = (text: string) => Buffer.from(text, "utf8")
const right = (payload: Uint8Array) => Either.getOrThrow(Codec.decode(payload))
const left = (payload: Uint8Array) => Either.getOrThrow(Either.flip(Codec.decode(payload)))

describe("the codec of entries", () => {
  it.prop("reads back what it wrote, whatever the texts", [Arbitraries.entry], ([entry]) => {
    expect(right(Codec.encode(entry))).toEqual(entry)
  })

  it.prop("keeps any JSON, lone surrogates and __proto__ included", [Arbitraries.json], ([detail]) => {
    const entry: Entry.Entry = { _tag: "Noted", kind: "test", detail }
    expect(right(Codec.encode(entry))).toEqual(entry)
  })

  it.prop("writes what the schema would: no field is transformed", [Arbitraries.entry], ([entry]) => {
    const encoded = Schema.encodeSync(Entry.Entry)(entry)
    expect(JSON.parse(Buffer.from(Codec.encode(entry)).toString())).toEqual({
      v: 1,
      entry: JSON.parse(JSON.stringify(encoded))
    })
  })

  it("survives NUL and halves of surrogate pairs, byte for byte", () => {
    const detail = "a\u0000b\ud800c\udc00 \ude00\ud83d 👩‍👩‍👧"
    const entry: Entry.Entry = { _tag: "Noted", kind: "\u0000", detail: { [detail]: [detail] } }
    expect(right(Codec.encode(entry))).toEqual(entry)
  })

  // Rows as they are on disks. They are never changed here: a new version adds its own below.
  const golden: ReadonlyArray<readonly [string, string]> = [
    [
      "SessionCreated",
      `{"v":1,"entry":{"_tag":"SessionCreated","agent":"a","agentVersion":"1","attributes":{"k":"v"}}}`
    ],
    [
      "CommandAccepted",
      `{"v":1,"entry":{"_tag":"CommandAccepted","id":"c-1","command":{"_tag":"Send","parts":[{"type":"text","text":"hi"}],"whenBusy":"enqueue"}}}`
    ],
    ["TurnStarted", `{"v":1,"entry":{"_tag":"TurnStarted","turn":1,"command":"c-1"}}`],
    [
      "StepIntended",
      `{"v":1,"entry":{"_tag":"StepIntended","step":"1/1","turn":1,"kind":"tool","name":"book","input":{"a":[1,null]},"repeatable":"never"}}`
    ],
    ["StepProgress", `{"v":1,"entry":{"_tag":"StepProgress","step":"1/1","attempt":1,"partial":"half"}}`],
    [
      "AttemptFailed",
      `{"v":1,"entry":{"_tag":"AttemptFailed","step":"1/1","attempt":1,"startedAt":1,"failure":{"class":"Overloaded","message":"m"},"retryAt":2,"nextInput":"original"}}`
    ],
    [
      "StepSucceeded",
      `{"v":1,"entry":{"_tag":"StepSucceeded","step":"1/1","attempt":2,"startedAt":1,"output":{"ok":true}}}`
    ],
    [
      "StepFailed",
      `{"v":1,"entry":{"_tag":"StepFailed","step":"1/1","attempt":1,"startedAt":1,"failure":{"class":"Defect","message":"m","status":500}}}`
    ],
    ["StepInDoubt", `{"v":1,"entry":{"_tag":"StepInDoubt","step":"1/1","attempt":1}}`],
    ["StepInDoubt", `{"v":1,"entry":{"_tag":"StepInDoubt","step":"1/1","attempt":2,"reconciled":"unknown"}}`],
    [
      "DoubtSettled",
      `{"v":1,"entry":{"_tag":"DoubtSettled","step":"1/1","verdict":"happened","result":"b-1","command":"c-2"}}`
    ],
    [
      "CommandAccepted",
      `{"v":1,"entry":{"_tag":"CommandAccepted","id":"c-2","command":{"_tag":"Settle","step":"1/1","verdict":"did not happen"}}}`
    ],
    [
      "AttemptFailed",
      `{"v":1,"entry":{"_tag":"AttemptFailed","step":"1/1","attempt":1,"startedAt":1,"failure":{"class":"RunnerLost","message":"m"},"retryAt":2,"nextInput":"reconcile"}}`
    ],
    [
      "AttemptFailed",
      `{"v":1,"entry":{"_tag":"AttemptFailed","step":"1/1","attempt":1,"startedAt":1,"failure":{"class":"Unreachable","message":"m","reached":"nothing"},"retryAt":2,"nextInput":"repaired","decided":{"plan":"fallback","policy":"p","rule":"r","delayMs":1.5,"model":"gpt","inputHash":"00ff"}}}`
    ],
    [
      "StepFailed",
      `{"v":1,"entry":{"_tag":"StepFailed","step":"1/1","attempt":1,"startedAt":1,"failure":{"class":"Refused","message":"m"},"decided":{"plan":"ask","policy":"p","rule":"r","question":"q"}}}`
    ],
    [
      "CommandAccepted",
      `{"v":1,"entry":{"_tag":"CommandAccepted","id":"c-3","command":{"_tag":"Send","parts":[],"whenBusy":"enqueue","policy":"hasty"}}}`
    ],
    ["TimerSet", `{"v":1,"entry":{"_tag":"TimerSet","timer":"t","due":5}}`],
    ["TimerFired", `{"v":1,"entry":{"_tag":"TimerFired","timer":"t"}}`],
    ["TimerCleared", `{"v":1,"entry":{"_tag":"TimerCleared","timer":"t"}}`],
    ["Noted", `{"v":1,"entry":{"_tag":"Noted","kind":"k","detail":null}}`],
    ["TurnEnded", `{"v":1,"entry":{"_tag":"TurnEnded","turn":1,"outcome":{"_tag":"Completed","output":"o"}}}`],
    [
      "TurnEnded",
      `{"v":1,"entry":{"_tag":"TurnEnded","turn":1,"outcome":{"_tag":"Completed","output":"o","cut":"length"}}}`
    ],
    ["SessionEnded", `{"v":1,"entry":{"_tag":"SessionEnded","outcome":{"_tag":"Cancelled"}}}`]
  ]
  it.each(golden)("reads a %s of version 1", (tag, row) => {
    const entry = right(bytes(row))
    expect(entry._tag).toBe(tag)
    expect(JSON.stringify(entry)).toBe(JSON.stringify(JSON.parse(row).entry))
  })

  it("has a row of version 1 of every kind", () => {
    expect(new Set(golden.map(([tag]) => tag)).size).toBe(16)
  })

  it("keeps a field that a later release of the same version added", () => {
    const entry = right(bytes(`{"v":1,"entry":{"_tag":"TimerFired","timer":"t","lateMs":5}}`))
    expect(entry).toEqual({ _tag: "TimerFired", timer: "t", lateMs: 5 })
  })

  it("says of a newer entry that it is newer", () => {
    expect(left(bytes(`{"v":2,"entry":{"_tag":"Later"}}`))).toMatch(/version 2 .* reads up to 1: run the version/)
    expect(left(bytes(`{"v":1,"entry":{"_tag":"Later"}}`))).toMatch(/kind is not one/)
  })

  it("says of a redacted entry that it was redacted", () => {
    expect(left(new Uint8Array(0))).toMatch(/redacted/)
  })

  it("names what does not fit in a damaged entry, and never its content (I12)", () => {
    const reason = left(bytes(`{"v":1,"entry":{"_tag":"TurnStarted","turn":"sk-secret","command":"c"}}`))
    expect(reason).toMatch(/turn of TurnStarted/)
    expect(reason).not.toMatch(/secret/)
    for (const broken of [
      "",
      "{",
      "null",
      "[]",
      '"x"',
      "{}",
      `{"v":0,"entry":{}}`,
      `{"v":1}`,
      `{"v":1,"entry":null}`
    ]) {
      expect(left(bytes(broken))).toBeTypeOf("string")
    }
  })

  it.prop("refuses any other bytes without throwing", [Arbitraries.text], ([text]) => {
    expect(Either.isLeft(Codec.decode(bytes(text)))).toBe(true)
  })
})
