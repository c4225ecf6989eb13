/** JSON values: what is journaled is JSON and nothing else, so that an entry written today can be read in ten years. */
import { type Arbitrary, Schema } from "effect"

export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

export type JsonObject = { readonly [key: string]: Json }

const isJsonInternal = (u: unknown, depth: number): boolean => {
  switch (typeof u) {
    case "string":
    case "boolean":
      return true
    case "number":
      return Number.isFinite(u)
    case "object": {
      if (u === null) return true
      if (depth > maxDepth) return false
      if (Array.isArray(u)) return u.every((item) => isJsonInternal(item, depth + 1))
      const proto = Object.getPrototypeOf(u)
      if (proto !== Object.prototype && proto !== null) return false
      return Object.values(u).every((item) => isJsonInternal(item, depth + 1))
    }
    default:
      return false
  }
}

/** How deep a value may be nested. Deeper input is refused: it would overflow the stack of every reader. */
export const maxDepth = 256

/** Whether `u` survives `JSON.parse(JSON.stringify(u))` unchanged and is nested no deeper than {@link maxDepth}. */
export const isJson = (u: unknown): u is Json => isJsonInternal(u, 0)

/**
 * Text as hostile as the world's: NUL, lone surrogates, combining marks. `Schema.String`'s own arbitrary draws none of
 * them.
 */
export const textArbitrary: Arbitrary.LazyArbitrary<string> = (fc) =>
  fc.oneof(
    { weight: 4, arbitrary: fc.string({ unit: "grapheme" }) },
    { weight: 2, arbitrary: fc.string({ unit: "binary" }) },
    { weight: 2, arbitrary: fc.constantFrom("\u0000", "a\u0000b", "\ud800", "\udc00x", "\ud83d", "👩‍👩‍👧", "\u2028") }
  )

export const Text: Schema.Schema<string> = Schema.String.annotations({ arbitrary: () => textArbitrary })

export const Json: Schema.Schema<Json> = Schema.declare(isJson, {
  identifier: "Json",
  description: "a JSON value",
  arbitrary: () => (fc) =>
    fc.letrec<{ value: Json }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 3, withCrossShrink: true },
        fc.constant(null),
        fc.boolean(),
        fc.integer(),
        fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (Object.is(n, -0) ? 0 : n)),
        textArbitrary(fc),
        fc.array(tie("value"), { maxLength: 4 }),
        fc
          .dictionary(
            fc.string().filter((key) => key !== "__proto__"),
            tie("value"),
            { maxKeys: 4 }
          )
          .map((record) => ({ ...record }))
      )
    })).value
})

/** Makes a foreign value JSON: what JSON cannot say (functions, cycles, bigint) becomes its text. Never throws. */
export const fromUnknown = (u: unknown): Json => {
  if (isJson(u)) return u
  try {
    const text = JSON.stringify(u, (_key, value) => (typeof value === "bigint" ? value.toString() : value))
    return text === undefined ? null : (JSON.parse(text) as Json)
  } catch {
    return String(u)
  }
}
