/**
 * The claim-check: a short string that stands for content too large for a row. The content is a blob.
 *
 * A claim is a string, so that a value keeps its type when a long text of it is replaced. Text from outside cannot
 * forge one: `blob/Claim.check` also replaces every text that begins with the marker, however short.
 */
import { Schema } from "effect"
import { Text } from "./Json.ts"

/** What a claim begins with. Beginning with NUL, it hardly ever occurs in text that anybody wrote. */
export const marker = "\u0000perdure:claim:"

/** How much of the content's begin and end a claim carries, in UTF-16 units each. */
export const previewChars = 4096

/**
 * What a claim says of its blob.
 *
 * - `form`: `text`: the content is the string, as UTF-8 (lone surrogates as in WTF-8). `json`: it is the JSON of an
 *   array or object, whole: it holds no further claims, so that an entry names all the blobs that it needs.
 * - `bytes`, `chars`: the size of the content in bytes and in UTF-16 units.
 * - `head`, `tail`: its begin and end, cut at code points; together all of it where it is short.
 */
export const Claim = Schema.Struct({
  /** Hex sha256 of the content. */
  hash: Schema.String.pipe(Schema.pattern(/^[0-9a-f]{64}$/)),
  bytes: Schema.NonNegativeInt,
  chars: Schema.NonNegativeInt,
  form: Schema.Literal("text", "json"),
  head: Text,
  tail: Text
})
export type Claim = typeof Claim.Type

const isClaimObject = Schema.is(Claim)

/** Writes a claim: the inverse of {@link parse}. */
export const make = (claim: Claim): string =>
  marker +
  JSON.stringify({
    hash: claim.hash,
    bytes: claim.bytes,
    chars: claim.chars,
    form: claim.form,
    head: claim.head,
    tail: claim.tail
  })

/** Whether the text is a claim, or looks so much like one that it must not be stored as it is. */
export const isMarked = (text: string): boolean => text.startsWith(marker)

/** Reads a claim; `null` for any other text. */
export const parse = (text: string): Claim | null => {
  if (!isMarked(text)) return null
  try {
    const claim: unknown = JSON.parse(text.slice(marker.length))
    return isClaimObject(claim) ? claim : null
  } catch {
    return null
  }
}

export const isClaim = (text: string): boolean => parse(text) !== null

/** The marker as `JSON.stringify` writes it at the begin of a string. */
const markerInJson = JSON.stringify(marker).slice(0, -1)

/** Where the string literal that begins at `start` ends: the index after its closing quote. */
const endOfLiteral = (json: string, start: number): number => {
  for (let i = start + 1; i < json.length; i++) {
    const code = json.charCodeAt(i)
    if (code === 0x5c) i++
    else if (code === 0x22) return i + 1
  }
  return json.length
}

/**
 * The hashes of the blobs that are claimed in a value, each once, found in the value's JSON as `JSON.stringify` writes
 * it, without parsing it: nearly free where there is none.
 */
export const hashesIn = (encodedJson: string): ReadonlyArray<string> => {
  let at = encodedJson.indexOf(markerInJson)
  if (at < 0) return []
  const hashes = new Set<string>()
  while (at >= 0) {
    // An escaped quote is inside a text that merely quotes a claim; no text begins there.
    if (at === 0 || encodedJson.charCodeAt(at - 1) !== 0x5c) {
      const end = endOfLiteral(encodedJson, at)
      // A colon follows a key: claims are values.
      const claim = encodedJson[end] === ":" ? null : parse(JSON.parse(encodedJson.slice(at, end)) as string)
      if (claim !== null) hashes.add(claim.hash)
      at = encodedJson.indexOf(markerInJson, end)
    } else {
      at = encodedJson.indexOf(markerInJson, at + 1)
    }
  }
  return [...hashes]
}
