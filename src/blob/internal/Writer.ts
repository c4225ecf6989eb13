/** Content that comes in pieces, cut into chunks of one size, each hashed and stored as soon as it is full. */
import { Effect, Exit } from "effect"
import { StoreUnavailable } from "../../domain/Errors.ts"
import { OneAtATime } from "../../domain/OneAtATime.ts"
import type { BlobInfo } from "../../store/Store.ts"
import * as Sha256 from "./Sha256.ts"

/** Takes the content of one blob. Holds one chunk of it in memory. */
export interface BlobWriter {
  /**
   * Takes the next bytes; returns when what is full is stored (back-pressure). Calls are served one after the other.
   * After a failure or an interruption the blob cannot be completed: all that follows fails too.
   */
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, StoreUnavailable>
  /** Stores the rest and the manifest: from now on the blob can be read. */
  readonly end: Effect.Effect<BlobInfo, StoreUnavailable>
}

export interface Sink {
  readonly putChunk: (hash: string, content: Uint8Array) => Effect.Effect<void, StoreUnavailable>
  readonly putBlob: (blob: BlobInfo) => Effect.Effect<void, StoreUnavailable>
}

const broken = new StoreUnavailable({
  operation: "write a blob",
  reason: "an earlier part of it was not stored, or its writer was closed: write it again from the beginning"
})

export interface ClosableWriter extends BlobWriter {
  readonly close: Effect.Effect<void>
}

export const make = (sink: Sink, chunkBytes: number): ClosableWriter => {
  const whole = Sha256.incremental()
  const chunks: Array<string> = []
  const oneAtATime = new OneAtATime()
  let chunk: Uint8Array | null = null
  let filled = 0
  let bytes = 0
  let ended: BlobInfo | null = null
  let isBroken = false

  const store = (content: Uint8Array) =>
    Effect.suspend(() => {
      whole.update(content)
      const hash = Sha256.hexOf(content)
      chunks.push(hash)
      bytes += content.length
      return sink.putChunk(hash, content)
    })

  const write = Effect.fnUntraced(function* (piece: Uint8Array) {
    let taken = 0
    while (taken < piece.length) {
      // Not reused: whoever the chunk was handed to may hold it for longer than the call.
      chunk ??= Buffer.allocUnsafeSlow(chunkBytes)
      const some = Math.min(piece.length - taken, chunkBytes - filled)
      chunk.set(piece.subarray(taken, taken + some), filled)
      taken += some
      filled += some
      if (filled < chunkBytes) break
      const full = chunk
      chunk = null
      filled = 0
      yield* store(full)
    }
  })

  const end = Effect.gen(function* () {
    if (ended !== null) return ended
    if (chunk !== null && filled > 0) yield* store(chunk.subarray(0, filled))
    chunk = null
    const blob: BlobInfo = { hash: whole.digest("hex"), bytes, chunks }
    yield* sink.putBlob(blob)
    ended = blob
    return blob
  })

  const guarded = <A>(effect: Effect.Effect<A, StoreUnavailable>) =>
    oneAtATime.run(
      Effect.suspend(() =>
        isBroken
          ? broken
          : Effect.onExit(effect, (exit) =>
              Effect.sync(() => {
                if (Exit.isFailure(exit)) isBroken = true
              })
            )
      )
    )

  return {
    write: (piece) => guarded(ended === null ? write(piece) : Effect.dieMessage("a write after the end of a blob")),
    end: guarded(end),
    close: Effect.sync(() => {
      isBroken = true
      chunk = null
    })
  }
}
