import { describe, expect, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, FastCheck as fc, Fiber, Layer, Stream, TestClock } from "effect"
import { createHash } from "node:crypto"
import { Blobs, BlobSettings, Claim } from "../../src/blob/index.ts"
import { StoreUnavailable } from "../../src/domain/Errors.ts"
import { Namespace } from "../../src/domain/Id.ts"
import { Journal } from "../../src/journal/index.ts"
import { Sqlite } from "../../src/store/index.ts"
import { Store } from "../../src/store/Store.ts"
import * as Arbitraries from "../../src/testing/Arbitraries.ts"
import { created, lease, namespace, noted, postgres, writer } from "../support/journal.ts"

/** Small chunks: a short content has many. */
const chunkBytes = 1024

const onStore = (wrap: (store: Store["Type"]) => Partial<Store["Type"]>) =>
  Layer.effect(
    Store,
    Effect.map(Store, (store) => Store.of({ ...store, ...wrap(store) }))
  ).pipe(Layer.provide(Sqlite.layerMemory))

const live =
  (store: Layer.Layer<Store, unknown> = Sqlite.layerMemory, retryMs = 30_000) =>
  <A, E>(effect: Effect.Effect<A, E, Blobs | Journal | Store>) =>
    effect.pipe(
      Effect.provide(Layer.merge(Blobs.layer, Journal.layer).pipe(Layer.provideMerge(store))),
      Effect.provide(BlobSettings.layer({ chunkBytes, retryMs })),
      Effect.orDie
    )

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

const content = (bytes: number) => Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 8)) % 251))

const readAll = (hash: string) =>
  Effect.flatMap(Blobs, (blobs) =>
    Effect.map(Stream.runCollect(blobs.stream(namespace, hash)), (chunks) => Buffer.concat(Chunk.toArray(chunks)))
  )

const pieces = (bytes: Uint8Array, size: number) =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))

describe("blobs", () => {
  it.effect("read what was put, whatever its size and however it was divided (I11)", () =>
    Effect.gen(function* () {
      const blobs = yield* Blobs
      for (const bytes of [0, 1, 1023, 1024, 1025, 2048, 3000, 5 * 1024]) {
        for (const size of [1, 7, 1000, 1024, 10_000]) {
          const given = content(bytes)
          const info = yield* blobs.put(namespace, Stream.fromIterable(pieces(given, size)))
          expect(info).toMatchObject({ hash: sha256(given), bytes })
          expect(info.chunks.length).toBe(Math.ceil(bytes / chunkBytes))
          expect((yield* readAll(info.hash)).equals(given)).toBe(true)
        }
      }
    }).pipe(live())
  )

  it.effect.prop(
    "give any slice of a content, also of one that was written with other chunks",
    [fc.nat(6000), fc.nat(6000), fc.nat(9000), fc.constantFrom(64, 1024, 4096)],
    ([offset, length, bytes, size]) =>
      Effect.gen(function* () {
        const given = content(bytes)
        const store = yield* Store
        const parts = pieces(given, size)
        for (const part of parts) yield* store.putChunk(namespace, sha256(part), part)
        const hash = sha256(given)
        yield* store.putBlob(namespace, { hash, bytes, chunks: parts.map(sha256) })
        const slice = yield* (yield* Blobs).slice(namespace, hash, offset, length)
        expect(Buffer.from(slice).equals(given.subarray(offset, offset + length))).toBe(true)
      }).pipe(live()),
    { fastCheck: { numRuns: 50 } }
  )

  it.effect("read only the chunks that a slice needs", () => {
    let reads = 0
    return Effect.gen(function* () {
      const blobs = yield* Blobs
      const { hash } = yield* blobs.put(namespace, Stream.make(content(20 * chunkBytes)))
      yield* blobs.slice(namespace, hash, 5 * chunkBytes + 10, chunkBytes)
      expect(reads).toBe(2)
    }).pipe(
      live(
        onStore((store) => ({
          getChunk: (...args) =>
            Effect.suspend(() => {
              reads++
              return store.getChunk(...args)
            })
        }))
      )
    )
  })

  it.effect.prop(
    "keep any text: NUL, halves of surrogate pairs, and characters that a chunk divides",
    [fc.array(fc.oneof(Arbitraries.text, fc.constant("é👩‍👩‍👧한".repeat(200))), { maxLength: 6 })],
    ([texts]) =>
      Effect.gen(function* () {
        const blobs = yield* Blobs
        const text = texts.join("")
        const { hash } = yield* blobs.putText(namespace, text)
        expect((yield* blobs.text(namespace, hash)) === text).toBe(true)
        expect(hash === sha256(Buffer.from(text)) || /\p{Cs}/u.test(text)).toBe(true)
      }).pipe(live()),
    { fastCheck: { numRuns: 50 } }
  )

  it.effect("are the same when their content is, and other namespaces do not see them", () =>
    Effect.gen(function* () {
      const blobs = yield* Blobs
      const one = yield* blobs.putText(namespace, "x".repeat(5000))
      const two = yield* blobs.put(namespace, Stream.make(Buffer.from("x".repeat(5000))))
      expect(two).toEqual(one)
      yield* TestClock.adjust("1 hour")
      const error = yield* Effect.flip(blobs.text(Namespace.make("others"), one.hash))
      expect(error).toMatchObject({ _tag: "BlobMissing", namespace: "others", hash: one.hash })
      expect(yield* blobs.collect("1 minute")).toBe(1)
    }).pipe(live())
  )

  it.effect("that are missing or damaged say so with a type, whoever asks", () => {
    let damage: "none" | "gone" | "changed" = "none"
    return Effect.gen(function* () {
      const blobs = yield* Blobs
      const none = "0".repeat(64)
      expect((yield* Effect.flip(readAll(none)))._tag).toBe("BlobMissing")
      expect((yield* Effect.flip(blobs.slice(namespace, none, 0, 1)))._tag).toBe("BlobMissing")
      expect((yield* Effect.flip(blobs.text(namespace, none)))._tag).toBe("BlobMissing")
      const { hash } = yield* blobs.put(namespace, Stream.make(content(3000)))
      damage = "gone"
      expect((yield* Effect.flip(readAll(hash))).message).toMatch(/chunk 0 is gone/)
      damage = "changed"
      expect((yield* Effect.flip(readAll(hash))).message).toMatch(/chunk 0 is damaged: restore/)
    }).pipe(
      live(
        onStore((store) => ({
          getChunk: (...args) =>
            Effect.map(store.getChunk(...args), (bytes) =>
              damage === "none" ? bytes : damage === "gone" ? null : Uint8Array.from(bytes!, (byte) => byte ^ 1)
            )
        }))
      )
    )
  })

  it.effect("that an entry names are not collected, until their session is forgotten", () =>
    Effect.gen(function* () {
      const blobs = yield* Blobs
      const store = yield* Store
      const [epoch] = yield* lease()
      const w = yield* writer("a", epoch!)
      const named = (yield* Claim.check(namespace, "n".repeat(100_000))) as string
      const fresh = yield* blobs.putText(namespace, "not named")
      yield* w.append(created, noted(named))
      yield* TestClock.adjust("1 hour")
      expect(yield* blobs.collect("2 hours")).toBe(0)
      // Put again: as young as a new one, whoever is about to name it.
      yield* blobs.putText(namespace, "not named")
      expect(yield* blobs.collect("1 minute")).toBe(0)
      yield* TestClock.adjust("1 hour")
      expect(yield* blobs.collect("1 minute")).toBe(1)
      expect((yield* Effect.flip(blobs.text(namespace, fresh.hash)))._tag).toBe("BlobMissing")
      expect(yield* Claim.resolve(namespace, named)).toBe("n".repeat(100_000))
      yield* store.forget(namespace, w.key.session)
      expect(yield* blobs.collect("1 minute")).toBe(1)
    }).pipe(live())
  )

  it.effect("are read no further ahead than they are taken, and written no slower than they come", () => {
    let reads = 0
    let given = 0
    let furthest = 0
    return Effect.gen(function* () {
      const blobs = yield* Blobs
      const source = Stream.fromIterable(Array.from({ length: 64 }, (_, i) => i)).pipe(
        Stream.rechunk(1),
        Stream.map((i) => {
          given++
          return content(chunkBytes).fill(i)
        })
      )
      const { hash } = yield* blobs.put(namespace, source)
      expect(furthest).toBeLessThanOrEqual(2)
      yield* blobs.stream(namespace, hash).pipe(Stream.take(3), Stream.runDrain)
      expect(reads).toBeLessThanOrEqual(4)
    }).pipe(
      live(
        onStore((store) => {
          let puts = 0
          return {
            getChunk: (...args) =>
              Effect.suspend(() => {
                reads++
                return store.getChunk(...args)
              }),
            putChunk: (...args) =>
              Effect.suspend(() => {
                furthest = Math.max(furthest, given - puts++)
                return store.putChunk(...args)
              })
          }
        })
      )
    )
  })

  it.live("hold back whoever writes while the store is busy", () => {
    const gate = Effect.runSync(Deferred.make<void>())
    return Effect.gen(function* () {
      const blobs = yield* Blobs
      const writer = yield* blobs.writer(namespace)
      yield* writer.write(content(chunkBytes - 1))
      const blocked = yield* Effect.fork(writer.write(content(2)))
      yield* Effect.yieldNow()
      expect(blocked.unsafePoll()).toBeNull()
      yield* Deferred.succeed(gate, void 0)
      yield* Fiber.join(blocked)
      const { bytes, hash } = yield* writer.end
      expect(bytes).toBe(chunkBytes + 1)
      expect(yield* writer.end).toMatchObject({ hash })
    }).pipe(
      Effect.scoped,
      live(
        onStore((store) => ({ putChunk: (...args) => Effect.zipRight(Deferred.await(gate), store.putChunk(...args)) }))
      )
    )
  })

  it.live("survive a store that stumbles, and say so when it stays down", () => {
    let failures = 3
    const stumbling = onStore((store) => ({
      putChunk: (...args) =>
        Effect.suspend(() =>
          failures-- > 0
            ? new StoreUnavailable({ operation: "putChunk", reason: "the test cut the connection" })
            : store.putChunk(...args)
        )
    }))
    return Effect.gen(function* () {
      const blobs = yield* Blobs
      const { hash } = yield* blobs.put(namespace, Stream.make(content(3000)))
      expect((yield* readAll(hash)).equals(content(3000))).toBe(true)
      failures = Number.POSITIVE_INFINITY
      const writer = yield* blobs.writer(namespace)
      expect((yield* Effect.flip(writer.write(content(3000))))._tag).toBe("StoreUnavailable")
      failures = 0
      expect((yield* Effect.flip(writer.end)).message).toMatch(/write it again from the beginning/)
    }).pipe(Effect.scoped, live(stumbling, 300))
  })

  it.live("are the same on Postgres: content, text, claims, references", () =>
    Effect.gen(function* () {
      const blobs = yield* Blobs
      const given = content(5000)
      const { hash } = yield* blobs.put(namespace, Stream.fromIterable(pieces(given, 999)))
      expect((yield* readAll(hash)).equals(given)).toBe(true)
      expect(Buffer.from(yield* blobs.slice(namespace, hash, 1000, 3000)).equals(given.subarray(1000, 4000))).toBe(true)
      const json = { text: "\u0000\ud800é".repeat(30_000), rows: Array.from({ length: 20_000 }, (_, i) => i) }
      const claimed = yield* Claim.check(namespace, json)
      const [epoch] = yield* lease()
      yield* (yield* writer("a", epoch!)).append(created, noted(JSON.stringify(claimed)), {
        _tag: "Noted",
        kind: "test",
        detail: claimed
      })
      expect(yield* blobs.collect(0)).toBe(1)
      expect(yield* Claim.resolve(namespace, claimed)).toEqual(json)
      expect((yield* Effect.flip(readAll(hash)))._tag).toBe("BlobMissing")
    }).pipe(live(postgres))
  )
})
