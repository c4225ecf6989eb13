/**
 * Content too large for a row, by the hash of what it is.
 *
 * - I11: no content is held whole in memory: it goes in and out in chunks, at the pace of the slower side.
 * - The same content is stored once in a namespace, and can be put again at any time.
 * - What is read is what was written: each chunk is verified by its hash.
 * - The journal counts the references: a blob that an entry names is not collected.
 */
import { Context, Duration, Effect, Layer, Schedule, type Scope, Stream } from "effect"
import { BlobMissing, type StoreUnavailable } from "../domain/Errors.ts"
import type { Namespace } from "../domain/Id.ts"
import { type BlobInfo, Store } from "../store/Store.ts"
import * as Layout from "./internal/Layout.ts"
import * as Sha256 from "./internal/Sha256.ts"
import * as Writer from "./internal/Writer.ts"
import * as Wtf8 from "./internal/Wtf8.ts"
import { BlobSettings } from "./Settings.ts"

export type { BlobInfo } from "../store/Store.ts"
export type { BlobWriter } from "./internal/Writer.ts"

/** How much text is encoded at a time, in UTF-16 units. */
const textPiece = 64 * 1024

const make = Effect.gen(function* () {
  const store = yield* Store
  const settings = yield* BlobSettings
  const patience = Schedule.exponential(10).pipe(
    Schedule.union(Schedule.spaced(1000)),
    Schedule.jittered,
    Schedule.upTo(settings.retryMs)
  )
  // Everything here may be done twice: content is addressed by its hash.
  const patiently = <A>(effect: Effect.Effect<A, StoreUnavailable>) => Effect.retry(effect, patience)

  const openWriter = (namespace: Namespace) =>
    Writer.make(
      {
        putChunk: (hash, content) => patiently(store.putChunk(namespace, hash, content)),
        putBlob: (blob) => patiently(store.putBlob(namespace, blob))
      },
      settings.chunkBytes
    )

  const writer = (namespace: Namespace) =>
    Effect.acquireRelease(
      Effect.sync(() => openWriter(namespace)),
      (writer) => writer.close
    )

  const put = <E, R>(namespace: Namespace, content: Stream.Stream<Uint8Array, E, R>) =>
    Effect.suspend(() => {
      const writer = openWriter(namespace)
      return Effect.zipRight(Stream.runForEach(content, writer.write), writer.end)
    })

  const putText = Effect.fnUntraced(function* (namespace: Namespace, text: string) {
    const writer = openWriter(namespace)
    for (let at = 0; at < text.length; ) {
      const next = Wtf8.cut(text, Math.min(text.length, at + textPiece))
      yield* writer.write(Wtf8.encode(text.slice(at, next)))
      at = next
    }
    return yield* writer.end
  })

  const find = (namespace: Namespace, hash: string) =>
    Effect.flatMap(patiently(store.getBlob(namespace, hash)), (blob) =>
      blob === null ? new BlobMissing({ namespace, hash }) : Effect.succeed(blob)
    )

  const chunkOf = (namespace: Namespace, blob: BlobInfo, index: number) =>
    Effect.flatMap(patiently(store.getChunk(namespace, blob.chunks[index]!)), (content) => {
      if (content === null) return new BlobMissing({ namespace, hash: blob.hash, reason: `its chunk ${index} is gone` })
      return Sha256.hexOf(content) === blob.chunks[index]
        ? Effect.succeed(content)
        : new BlobMissing({
            namespace,
            hash: blob.hash,
            reason: `its chunk ${index} is damaged: restore the store from a backup`
          })
    })

  const stream = (namespace: Namespace, hash: string) =>
    Stream.unwrap(
      Effect.map(find(namespace, hash), (blob) =>
        Stream.mapEffect(Stream.range(0, blob.chunks.length - 1, 1), (index) => chunkOf(namespace, blob, index))
      )
    )

  const slice = Effect.fnUntraced(function* (namespace: Namespace, hash: string, offset: number, length: number) {
    const blob = yield* find(namespace, hash)
    const found: Array<Uint8Array> = []
    for (const { begin, end, index } of Layout.pieces(blob, offset, length)) {
      found.push((yield* chunkOf(namespace, blob, index)).subarray(begin, end))
    }
    return found.length === 1 ? found[0]! : new Uint8Array(Buffer.concat(found))
  })

  const text = (namespace: Namespace, hash: string) =>
    Effect.suspend(() => {
      const decoder = new Wtf8.Decoder()
      const pieces: Array<string> = []
      return Effect.map(
        Stream.runForEach(stream(namespace, hash), (bytes) =>
          Effect.sync(() => {
            pieces.push(decoder.write(bytes))
          })
        ),
        () => {
          pieces.push(decoder.end())
          return pieces.join("")
        }
      )
    })

  const collect = (olderThan: Duration.DurationInput) => store.collect(Duration.toMillis(olderThan))

  return { put, putText, writer, stream, slice, text, collect }
})

export class Blobs extends Context.Tag("perdure/Blobs")<
  Blobs,
  {
    /** Stores a stream. It can be read when this returns; failing leaves nothing but chunks that are collected. */
    readonly put: <E, R>(
      namespace: Namespace,
      content: Stream.Stream<Uint8Array, E, R>
    ) => Effect.Effect<BlobInfo, E | StoreUnavailable, R>
    /** Stores a text as UTF-8, lone surrogates as in WTF-8, piece by piece: a long string is not copied whole. */
    readonly putText: (namespace: Namespace, text: string) => Effect.Effect<BlobInfo, StoreUnavailable>
    /** Stores what somebody else hands on, e.g. a tee of an output. */
    readonly writer: (namespace: Namespace) => Effect.Effect<Writer.BlobWriter, never, Scope.Scope>
    /** Reads a blob, a chunk at a time, each verified. */
    readonly stream: (namespace: Namespace, hash: string) => Stream.Stream<Uint8Array, BlobMissing | StoreUnavailable>
    /** Reads some bytes, from those chunks alone that hold them. Shorter where the blob ends. */
    readonly slice: (
      namespace: Namespace,
      hash: string,
      offset: number,
      length: number
    ) => Effect.Effect<Uint8Array, BlobMissing | StoreUnavailable>
    /** Reads what `putText` wrote, whole. What is no text becomes U+FFFD. */
    readonly text: (namespace: Namespace, hash: string) => Effect.Effect<string, BlobMissing | StoreUnavailable>
    /**
     * Deletes what no entry names. `olderThan` must be longer than anybody takes from putting a blob to appending the
     * entry that names it. Returns how many blobs were deleted.
     */
    readonly collect: (olderThan: Duration.DurationInput) => Effect.Effect<number, StoreUnavailable>
  }
>() {
  static readonly layer: Layer.Layer<Blobs, never, Store> = Layer.effect(Blobs, make)
}
