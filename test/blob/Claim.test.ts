import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Layer, Stream } from "effect"
import { Blobs, BlobSettings, Claim } from "../../src/blob/index.ts"
import { hashesIn } from "../../src/domain/Claim.ts"
import type { Json } from "../../src/domain/Json.ts"
import { Sqlite } from "../../src/store/index.ts"
import * as Arbitraries from "../../src/testing/Arbitraries.ts"
import { namespace } from "../support/journal.ts"

const live = <A, E>(effect: Effect.Effect<A, E, Blobs>) =>
  effect.pipe(
    Effect.provide(Blobs.layer.pipe(Layer.provide(Sqlite.layerMemory))),
    Effect.provide(BlobSettings.layer({ chunkBytes: 1024 })),
    Effect.orDie
  )

const check = (json: Json, options?: Claim.CheckOptions) => Claim.check(namespace, json, options)
const resolve = (json: Json) => Claim.resolve(namespace, json)
const parsed = (json: Json) => Claim.parse(json as string)!
const forged = Claim.make({ hash: "0".repeat(64), bytes: 1, chars: 1, form: "text", head: "x", tail: "" })

describe("the claim-check", () => {
  it.effect.prop(
    "gives back any JSON as it was, at any threshold",
    [fc.oneof(Arbitraries.json, fc.array(Arbitraries.json)), fc.constantFrom(0, 10, 100, 65_536)],
    ([json, threshold]) =>
      Effect.gen(function* () {
        const claimed = yield* check(json, { threshold })
        expect(yield* resolve(claimed)).toEqual(json)
        expect(JSON.stringify(yield* resolve(claimed))).toBe(JSON.stringify(json))
        const textsOnly = yield* check(json, { threshold, textsOnly: true })
        expect(JSON.stringify(yield* resolve(textsOnly))).toBe(JSON.stringify(json))
      }).pipe(live)
  )

  it.effect.prop("names in the encoded value every blob that it needs", [Arbitraries.json], ([json]) =>
    Effect.gen(function* () {
      const claimed = yield* check(json, { threshold: 50 })
      const claims: Array<string> = []
      JSON.stringify(claimed, (_, value: unknown) => {
        if (typeof value === "string") claims.push(...[Claim.parse(value)?.hash ?? []].flat())
        return value
      })
      expect(new Set(hashesIn(JSON.stringify({ v: 1, claimed })))).toEqual(new Set(claims))
    }).pipe(live)
  )

  it.effect("gives the very same value where nothing is large", () =>
    Effect.gen(function* () {
      const small = { a: ["x".repeat(1000)], __proto__: null, b: { c: null } }
      expect(yield* check(small)).toBe(small)
      expect(yield* resolve(small)).toBe(small)
      expect(Claim.preview(small)).toBe(small)
    }).pipe(live)
  )

  it.effect("replaces long texts where they are, and keeps the rest as it is", () =>
    Effect.gen(function* () {
      const kept = { small: true }
      const json = { text: "x".repeat(70_000), list: ["y".repeat(65_537), "z"], kept }
      const claimed = (yield* check(json)) as typeof json
      expect(Object.keys(claimed)).toEqual(["text", "list", "kept"])
      expect(parsed(claimed.text)).toMatchObject({ bytes: 70_000, chars: 70_000, form: "text" })
      expect(claimed.list[1]).toBe("z")
      expect(claimed.kept).toBe(kept)
    }).pipe(live)
  )

  it.effect("replaces the innermost array or object that is too long for its many small parts", () =>
    Effect.gen(function* () {
      const json = { a: { rows: Array.from({ length: 20_000 }, (_, i) => ({ i })) }, b: 1 }
      const claimed = (yield* check(json)) as { a: { rows: string }; b: number }
      expect(parsed(claimed.a.rows).form).toBe("json")
      expect(claimed.b).toBe(1)
      const text = JSON.stringify(json.a.rows)
      expect(parsed(claimed.a.rows)).toMatchObject({
        chars: text.length,
        head: text.slice(0, 4096),
        tail: text.slice(-4096)
      })
      expect(yield* resolve(claimed)).toEqual(json)
      expect(yield* check(json, { textsOnly: true })).toEqual(json)
    }).pipe(live)
  )

  it.effect("does not take for a claim what somebody wrote to look like one (I13)", () =>
    Effect.gen(function* () {
      const json = { text: forged, nested: [[forged]], broken: `${Claim.marker}{`, [forged]: "key" }
      const claimed = (yield* check(json)) as typeof json
      expect(parsed(claimed.text).hash).not.toBe("0".repeat(64))
      expect(yield* resolve(claimed)).toEqual(json)
      expect(hashesIn(JSON.stringify(claimed))).not.toContain("0".repeat(64))
      expect(
        hashesIn(JSON.stringify({ quoted: `a "${forged}" in a text`, open: `a "${forged}`, [forged]: 1 }))
      ).toEqual([])
    }).pipe(live)
  )

  it.effect("leaves the claims alone that the value's maker made, and keeps them in sight", () =>
    Effect.gen(function* () {
      const own = yield* Claim.write(namespace, Stream.make(Buffer.from("o".repeat(10_000))))
      const json = { own, many: [own, ...Array.from({ length: 20_000 }, (_, i) => i)], fake: forged }
      const claimed = (yield* check(json, { own: new Set([own]) })) as typeof json
      expect(claimed.own).toBe(own)
      expect(hashesIn(JSON.stringify(claimed))).toContain(parsed(own).hash)
      expect(yield* resolve(claimed)).toEqual({
        own: "o".repeat(10_000),
        many: ["o".repeat(10_000), ...json.many.slice(1)],
        fake: forged
      })
    }).pipe(live)
  )

  it.effect("of a blob that is gone says so with a type", () =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(resolve({ a: [forged] }))).toMatchObject({ _tag: "BlobMissing", hash: "0".repeat(64) })
    }).pipe(live)
  )
})

describe("a preview", () => {
  it.effect("shows the begin, the end, how much is hidden, and where it is", () =>
    Effect.gen(function* () {
      const text = `begin${"x".repeat(100_000)}end`
      const claimed = yield* check({ out: text, n: 1 })
      const { out } = Claim.preview(claimed) as { out: string }
      const hash = parsed((claimed as { out: string }).out).hash
      expect(out.startsWith("beginxxx") && out.endsWith("xxxend")).toBe(true)
      expect(out).toContain(`[… ${text.length - 8192} bytes more; blob sha256:${hash} …]`)
      const short = Claim.preview(claimed, { head: 5, tail: 3 })
      expect(short).toEqual({ out: `begin\n[… 100000 bytes more; blob sha256:${hash} …]\nend`, n: 1 })
    }).pipe(live)
  )

  it.effect.prop(
    "shows a short content whole, and divides no character of a long one",
    [Arbitraries.text, fc.nat(9000)],
    ([text, repeat]) =>
      Effect.gen(function* () {
        const long = "a".repeat(repeat % 3) + text + "👩‍👩‍👧é".repeat(repeat)
        const claimed = yield* check(long, { threshold: -1 })
        const { chars, head, tail } = parsed(claimed)
        expect(chars).toBe(long.length)
        expect(long.startsWith(head) && long.endsWith(tail)).toBe(true)
        expect(head.length <= 4096 && tail.length <= 4096).toBe(true)
        if (long.length <= 8000) expect(Claim.preview(claimed)).toBe(long)
        // What is well-formed as a whole is so in its parts.
        if (!/\p{Cs}/u.test(long)) expect(/\p{Cs}/u.test(head) || /\p{Cs}/u.test(tail)).toBe(false)
        // However it came, its claim is the same.
        const bytes = yield* Effect.flatMap(Blobs, (blobs) =>
          Stream.runCollect(blobs.stream(namespace, parsed(claimed).hash))
        )
        expect(yield* Claim.write(namespace, Stream.fromChunk(bytes).pipe(Stream.rechunk(1)))).toBe(claimed)
      }).pipe(live),
    { fastCheck: { numRuns: 30 } }
  )
})

describe("a collector", () => {
  it.effect("ends in the text itself while it is short, and in a claim when it is long", () =>
    Effect.gen(function* () {
      const collect = (...parts: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          const collector = yield* Claim.collector(namespace, 10)
          for (const part of parts) yield* collector.write(Buffer.from(part))
          return yield* collector.end
        }).pipe(Effect.scoped)
      expect(yield* collect()).toBe("")
      expect(yield* collect("12345", "67890")).toBe("1234567890")
      const long = yield* collect("12345", "67890", "é", "x".repeat(5000))
      expect(parsed(long)).toMatchObject({ bytes: 5012, chars: 5011, form: "text" })
      expect(yield* resolve(long)).toBe(`1234567890é${"x".repeat(5000)}`)
    }).pipe(live)
  )

  it.effect("does not end in a claim that its source wrote", () =>
    Effect.gen(function* () {
      const collector = yield* Claim.collector(namespace, 100_000)
      yield* collector.write(Buffer.from(forged))
      const end = yield* collector.end
      expect(Claim.isClaim(end)).toBe(true)
      expect(yield* resolve(end)).toBe(forged)
    }).pipe(Effect.scoped, live)
  )
})
