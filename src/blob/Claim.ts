/**
 * The claim-check: what is too long for a row is replaced by a short string that names a blob, and back.
 *
 *     outside ── check ──► journal, feed, other sessions ── resolve ──► outside
 *                             │ preview ──► models, people
 *
 * `resolve(check(x))` is `x` for every JSON value. `check` is for what comes from outside, once: a value that it has
 * gone through holds claims, and may be passed on and stored as it is.
 */
import { Effect } from "effect"
import * as Claim from "../domain/Claim.ts"
import { BlobMissing, type StoreUnavailable } from "../domain/Errors.ts"
import type { Namespace } from "../domain/Id.ts"
import type { Json, JsonObject } from "../domain/Json.ts"
import { Blobs } from "./Blobs.ts"
import * as Pieces from "./internal/Pieces.ts"
import * as Plan from "./internal/Plan.ts"
import * as Wtf8 from "./internal/Wtf8.ts"

export { isClaim, make, marker, parse, previewChars } from "../domain/Claim.ts"
export type { Claim } from "../domain/Claim.ts"

export interface CheckOptions {
  /** The size from which content is a blob, in bytes: 64 KiB unless told. */
  readonly threshold?: number | undefined
  /** Leaves arrays and objects as they are, for values of a fixed shape: only their texts are replaced. */
  readonly textsOnly?: boolean | undefined
}

/** The size above which content does not belong in a row, in bytes. */
export const defaultThreshold = 64 * 1024

/** The begin and the end of a text, cut at code points; together all of it where it is short. */
export const excerpt = (text: string): { readonly head: string; readonly tail: string } => {
  const begin = Wtf8.cut(text, Math.min(text.length, Claim.previewChars))
  let end = Math.max(begin, text.length - Claim.previewChars)
  if (Wtf8.cut(text, end) !== end) end++
  return { head: text.slice(0, begin), tail: text.slice(end) }
}

const claimText = Effect.fnUntraced(function* (namespace: Namespace, text: string) {
  const blobs = yield* Blobs
  const { bytes, hash } = yield* blobs.putText(namespace, text)
  return Claim.make({ hash, bytes, chars: text.length, form: "text", ...excerpt(text) })
})

const claimJson = Effect.fnUntraced(function* (namespace: Namespace, json: Json) {
  const blobs = yield* Blobs
  let chars = 0
  let head = ""
  let tail = ""
  const { bytes, hash } = yield* Effect.scoped(
    Effect.gen(function* () {
      const writer = yield* blobs.writer(namespace)
      for (const piece of Pieces.ofJson(json)) {
        chars += piece.length
        if (head.length < Claim.previewChars) head += piece.slice(0, Claim.previewChars - head.length)
        // Twice as much, so that the excerpt of head and tail can be cut as that of the whole would be.
        tail = (tail + piece.slice(-2 * Claim.previewChars)).slice(-2 * Claim.previewChars)
        yield* writer.write(Buffer.from(piece, "utf8"))
      }
      return yield* writer.end
    })
  )
  const shown = chars <= tail.length ? excerpt(tail) : { head: excerpt(head).head, tail: excerpt(tail).tail }
  return Claim.make({ hash, bytes, chars, form: "json", ...shown })
})

/**
 * Replaces each text longer than the threshold by a claim on a blob, then each array or object that is still longer,
 * the inner ones first. Texts that begin with the marker are replaced too, so that none can pass for a claim.
 *
 * Returns the same value where there is nothing to replace, having only walked it.
 */
export const check = (
  namespace: Namespace,
  json: Json,
  options?: CheckOptions
): Effect.Effect<Json, StoreUnavailable, Blobs> => {
  const limits = { threshold: options?.threshold ?? defaultThreshold, textsOnly: options?.textsOnly ?? false }
  if (!Plan.isNeeded(json, limits)) return Effect.succeed(json)
  return Plan.carryOut(Plan.make(json, limits), json, {
    text: (text) => claimText(namespace, text),
    json: (value) => claimJson(namespace, value)
  })
}

/** Applies `f` to every claim in a value; the same value where there is none. */
const mapClaims = <E, R>(
  json: Json,
  f: (claim: Claim.Claim) => Effect.Effect<Json, E, R>
): Effect.Effect<Json, E, R> => {
  if (typeof json === "string") {
    const claim = Claim.parse(json)
    return claim === null ? Effect.succeed(json) : f(claim)
  }
  if (typeof json !== "object" || json === null || !Plan.hasMarked(json)) return Effect.succeed(json)
  if (Array.isArray(json)) return Effect.forEach(json as ReadonlyArray<Json>, (item) => mapClaims(item, f))
  const entries = Object.entries(json as JsonObject)
  return Effect.map(
    Effect.forEach(entries, ([, value]) => mapClaims(value, f)),
    (values) => Object.fromEntries(entries.map(([key], i) => [key, values[i]!]))
  )
}

/** Puts the content back in the place of every claim: the inverse of {@link check}. */
export const resolve = (namespace: Namespace, json: Json): Effect.Effect<Json, BlobMissing | StoreUnavailable, Blobs> =>
  mapClaims(json, (claim) =>
    Effect.flatMap(Blobs, (blobs) =>
      Effect.flatMap(blobs.text(namespace, claim.hash), (text) => {
        if (claim.form === "text") return Effect.succeed<Json>(text)
        try {
          return Effect.succeed(JSON.parse(text) as Json)
        } catch {
          return new BlobMissing({ namespace, hash: claim.hash, reason: "its content is not JSON, as its claim says" })
        }
      })
    )
  )

/** Whether a value holds a claim, in a text of its own or inside. */
export const hasClaim = (json: Json): boolean => {
  if (typeof json === "string") return Claim.isClaim(json)
  if (typeof json !== "object" || json === null) return false
  return (Array.isArray(json) ? json : Object.values(json)).some(hasClaim)
}

const show = (claim: Claim.Claim, limits: { readonly head: number; readonly tail: number }): string => {
  const head = claim.head.slice(0, Wtf8.cut(claim.head, Math.min(claim.head.length, limits.head)))
  let from = Math.max(0, claim.tail.length - limits.tail)
  if (Wtf8.cut(claim.tail, from) !== from) from++
  const tail = claim.tail.slice(from)
  const hidden = claim.bytes - Wtf8.encode(head).length - Wtf8.encode(tail).length
  return hidden === 0 ? head + tail : `${head}\n[… ${hidden} bytes more; blob sha256:${claim.hash} …]\n${tail}`
}

/**
 * A value as a model or a person is shown it without reading its blobs: in the place of each claim the begin and the
 * end of the content, at most so many UTF-16 units of each, and the blob's name between them. The same value where
 * there is no claim.
 */
export const preview = (
  json: Json,
  limits: { readonly head: number; readonly tail: number } = { head: Claim.previewChars, tail: Claim.previewChars }
): Json => Effect.runSync(mapClaims(json, (claim) => Effect.succeed(show(claim, limits))))
