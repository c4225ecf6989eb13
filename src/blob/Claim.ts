/**
 * The claim-check: what is too long for a row is replaced by a short string that names a blob, and back.
 *
 *     outside ── check ──► journal, feed, other sessions ── resolve ──► outside
 *                             │ preview ──► models, people
 *
 * `resolve(check(x))` is `x` for every JSON value. `check` is for what comes from outside, once: a value that it has
 * gone through holds claims, and may be passed on and stored as it is.
 */
import { Effect, type Scope, Stream } from "effect"
import * as Claim from "../domain/Claim.ts"
import { BlobMissing, type StoreUnavailable } from "../domain/Errors.ts"
import type { Namespace } from "../domain/Id.ts"
import type { Json, JsonObject } from "../domain/Json.ts"
import { Blobs } from "./Blobs.ts"
import * as Collector from "./internal/Collector.ts"
import * as Excerpt from "./internal/Excerpt.ts"
import * as Pieces from "./internal/Pieces.ts"
import * as Plan from "./internal/Plan.ts"
import * as Wtf8 from "./internal/Wtf8.ts"

export { isClaim, make, marker, parse, previewChars } from "../domain/Claim.ts"
export type { Claim } from "../domain/Claim.ts"
export type { Collector } from "./internal/Collector.ts"

export interface CheckOptions {
  /** The size from which content is a blob, in bytes: 64 KiB unless told. */
  readonly threshold?: number | undefined
  /** Leaves arrays and objects as they are, for values of a fixed shape: only their texts are replaced. */
  readonly textsOnly?: boolean | undefined
  /**
   * Claims that the value holds already, from {@link write} or {@link collector}: they stay as they are. An array or
   * object that holds one is not replaced as a whole, so that the entry names every blob that it needs.
   */
  readonly own?: ReadonlySet<string> | undefined
}

const none: ReadonlySet<string> = new Set()

/** The size above which content does not belong in a row, in bytes. */
export const defaultThreshold = 64 * 1024

const claimText = Effect.fnUntraced(function* (namespace: Namespace, text: string) {
  const blobs = yield* Blobs
  const { bytes, hash } = yield* blobs.putText(namespace, text)
  return Claim.make({ hash, bytes, chars: text.length, form: "text", ...Excerpt.of(text) })
})

const claimJson = Effect.fnUntraced(function* (namespace: Namespace, json: Json) {
  const blobs = yield* Blobs
  const writer = yield* blobs.writer(namespace)
  const tracker = new Excerpt.Tracker()
  for (const piece of Pieces.ofJson(json)) {
    tracker.add(piece)
    yield* writer.write(Buffer.from(piece, "utf8"))
  }
  const { bytes, hash } = yield* writer.end
  return Claim.make({ hash, bytes, form: "json", ...tracker.done() })
}, Effect.scoped)

/**
 * Stores content of any size as it comes, and gives a claim on it. Bytes that are no text stay as they are in the blob
 * and read as U+FFFD through the claim.
 */
export const write = <E, R>(
  namespace: Namespace,
  content: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<string, E | StoreUnavailable, R | Blobs> =>
  Effect.flatMap(Blobs, (blobs) => {
    const decoder = new Wtf8.Decoder()
    const tracker = new Excerpt.Tracker()
    const tracked = Stream.tap(content, (bytes) => Effect.sync(() => tracker.add(decoder.write(bytes))))
    return Effect.map(blobs.put(namespace, tracked), ({ bytes, hash }) => {
      tracker.add(decoder.end())
      return Claim.make({ hash, bytes, form: "text", ...tracker.done() })
    })
  })

/**
 * Takes an output whose size nobody knows yet. Its end is a text, or a claim where it has more than `inlineBytes` (or
 * looks like a claim: what `isClaim` says of it is always true).
 */
export const collector: (
  namespace: Namespace,
  inlineBytes: number
) => Effect.Effect<Collector.Collector, never, Blobs | Scope.Scope> = Collector.make

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
  const limits = {
    threshold: options?.threshold ?? defaultThreshold,
    textsOnly: options?.textsOnly ?? false,
    own: options?.own ?? none
  }
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

/** The claims that a value holds, each as its text, in order. */
export const claimsIn = (json: Json): ReadonlyArray<string> => {
  if (typeof json === "string") return Claim.isClaim(json) ? [json] : []
  if (typeof json !== "object" || json === null) return []
  return (Array.isArray(json) ? json : Object.values(json)).flatMap(claimsIn)
}

/** Whether a value holds a claim, in a text of its own or inside. */
export const hasClaim = (json: Json): boolean => {
  if (typeof json === "string") return Claim.isClaim(json)
  if (typeof json !== "object" || json === null) return false
  return (Array.isArray(json) ? json : Object.values(json)).some(hasClaim)
}

/** How much of a claim's content is shown, in UTF-16 units, and how what is left out is told. */
export interface Preview {
  readonly head: number
  readonly tail: number
  /** `from`: the first byte that is not shown, `hidden`: how many are not. */
  readonly gap?: ((hash: string, from: number, hidden: number) => string) | undefined
}

const usualGap = (hash: string, _from: number, hidden: number): string =>
  `[… ${hidden} bytes more; blob sha256:${hash} …]`

const show = (claim: Claim.Claim, { gap = usualGap, ...limits }: Preview): string => {
  const head = Excerpt.first(claim.head, limits.head)
  const tail = Excerpt.last(claim.tail, limits.tail)
  const from = Wtf8.encode(head).length
  const hidden = claim.bytes - from - Wtf8.encode(tail).length
  return hidden === 0 ? head + tail : `${head}\n${gap(claim.hash, from, hidden)}\n${tail}`
}

/**
 * A value as a model or a person is shown it without reading its blobs: in the place of each claim the begin and the
 * end of the content, at most so many UTF-16 units of each, and the blob's name between them. The same value where
 * there is no claim.
 */
export const preview = (json: Json, limits: Preview = { head: Claim.previewChars, tail: Claim.previewChars }): Json =>
  Effect.runSync(mapClaims(json, (claim) => Effect.succeed(show(claim, limits))))
