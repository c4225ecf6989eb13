/** The JSON of a value in pieces: as `JSON.stringify` writes it, which could not hold it all in one string. */
import type { Json } from "../../domain/Json.ts"
import { estimate } from "./Plan.ts"
import * as Wtf8 from "./Wtf8.ts"

/** About how long a piece is, in UTF-16 units. */
const pieceChars = 64 * 1024

function* raw(json: Json): Generator<string> {
  if (typeof json === "string" && json.length > pieceChars) {
    yield '"'
    for (let at = 0; at < json.length; ) {
      const next = Wtf8.cut(json, Math.min(json.length, at + pieceChars))
      yield JSON.stringify(json.slice(at, next)).slice(1, -1)
      at = next
    }
    yield '"'
  } else if (typeof json !== "object" || json === null || estimate(json, pieceChars) <= pieceChars) {
    yield JSON.stringify(json)
  } else if (Array.isArray(json)) {
    yield "["
    for (let i = 0; i < json.length; i++) {
      if (i > 0) yield ","
      yield* raw(json[i] as Json)
    }
    yield "]"
  } else {
    let separator = "{"
    for (const [key, value] of Object.entries(json)) {
      yield `${separator}${JSON.stringify(key)}:`
      yield* raw(value as Json)
      separator = ","
    }
    yield separator === "{" ? "{}" : "}"
  }
}

export function* ofJson(json: Json): Generator<string> {
  let text = ""
  for (const piece of raw(json)) {
    text += piece
    if (text.length >= pieceChars) {
      yield text
      text = ""
    }
  }
  if (text.length > 0) yield text
}
