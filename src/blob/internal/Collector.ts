/** Output of unknown size as a text: itself while it is short, a claim when it turns out to be long. */
import { Effect, Scope } from "effect"
import * as Claim from "../../domain/Claim.ts"
import type { StoreUnavailable } from "../../domain/Errors.ts"
import type { Namespace } from "../../domain/Id.ts"
import { Blobs, type BlobWriter } from "../Blobs.ts"
import * as Excerpt from "./Excerpt.ts"
import * as Wtf8 from "./Wtf8.ts"

export interface Collector {
  /** Takes the next bytes of the output; returns when there is room for more. */
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, StoreUnavailable>
  /** The output as a text, or a claim on it. A text that looks like a claim is claimed, too. */
  readonly end: Effect.Effect<string, StoreUnavailable>
}

export const make = Effect.fnUntraced(function* (
  namespace: Namespace,
  inlineBytes: number
): Effect.fn.Return<Collector, never, Blobs | Scope.Scope> {
  const blobs = yield* Blobs
  const scope = yield* Effect.scope
  const decoder = new Wtf8.Decoder()
  const tracker = new Excerpt.Tracker()
  let inline: Array<Uint8Array> = []
  let bytes = 0
  let writer: BlobWriter | null = null

  const open = Effect.fnUntraced(function* () {
    const opened = yield* Scope.extend(blobs.writer(namespace), scope)
    const held = inline
    inline = []
    writer = opened
    for (const piece of held) yield* opened.write(piece)
    return opened
  })

  const write = Effect.fnUntraced(function* (piece: Uint8Array) {
    if (piece.length === 0) return
    bytes += piece.length
    tracker.add(decoder.write(piece))
    if (writer !== null) return yield* writer.write(piece)
    // A copy: the giver may use its buffer again.
    inline.push(Uint8Array.prototype.slice.call(piece))
    if (bytes > inlineBytes) yield* open()
  })

  const end = Effect.gen(function* () {
    tracker.add(decoder.end())
    if (writer === null) {
      const text = Wtf8.decode(Buffer.concat(inline))
      if (!Claim.isMarked(text)) return text
    }
    const blob = yield* (writer ?? (yield* open())).end
    return Claim.make({ hash: blob.hash, bytes: blob.bytes, form: "text", ...tracker.done() })
  })

  return { write, end }
})
