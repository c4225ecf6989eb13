/** What of a value becomes a claim: decided by walking it, before anything is stored. Pure. */
import { Effect } from "effect"
import * as Claim from "../../domain/Claim.ts"
import type { Json, JsonObject } from "../../domain/Json.ts"

export interface Limits {
  /** Bytes. */
  readonly threshold: number
  readonly textsOnly: boolean
  /** Texts that are claims already. */
  readonly own: ReadonlySet<string>
}

/** About how many bytes of JSON a text takes: exact enough for a threshold, and nearly free for short ones. */
const textBytes = (text: string): number => (text.length < 256 ? text.length : Buffer.byteLength(text)) + 2

const isArray = (json: Json): json is ReadonlyArray<Json> => Array.isArray(json)

/** About how many bytes of JSON a value takes, or any number above `limit` as soon as it is passed. */
export const estimate = (json: Json, limit: number): number => {
  if (typeof json === "string") return json.length > limit ? json.length : textBytes(json)
  if (typeof json !== "object" || json === null) return 8
  let bytes = 2
  if (isArray(json)) {
    for (let i = 0; i < json.length && bytes <= limit; i++) bytes += estimate(json[i]!, limit - bytes) + 1
    return bytes
  }
  for (const key of Object.keys(json)) {
    bytes += textBytes(key) + 2 + estimate(json[key]!, limit - bytes)
    if (bytes > limit) break
  }
  return bytes
}

/** Whether any text of the value begins with the marker. */
export const hasMarked = (json: Json): boolean => {
  if (typeof json === "string") return Claim.isMarked(json)
  if (typeof json !== "object" || json === null) return false
  if (isArray(json)) return json.some(hasMarked)
  for (const key of Object.keys(json)) if (hasMarked(json[key]!)) return true
  return false
}

/** Whether anything of the value has to be replaced. */
export const isNeeded = (json: Json, limits: Limits): boolean =>
  estimate(json, limits.threshold) > limits.threshold || hasMarked(json)

/** About how much a claim takes, with its excerpts. */
const claimBytes = (chars: number): number => 256 + Math.min(chars, 2 * Claim.previewChars)

export type Plan =
  /** `pinned`: it holds a claim that must stay where the journal can see it. */
  | { readonly _tag: "Keep"; readonly bytes: number; readonly pinned: boolean }
  | { readonly _tag: "Claim"; readonly bytes: number }
  | { readonly _tag: "Inside"; readonly bytes: number; readonly pinned: boolean; readonly parts: ReadonlyArray<Plan> }

export const make = (json: Json, limits: Limits): Plan => {
  if (typeof json === "string") {
    const bytes = textBytes(json)
    if (limits.own.has(json)) return { _tag: "Keep", bytes, pinned: true }
    return bytes - 2 > limits.threshold || Claim.isMarked(json)
      ? { _tag: "Claim", bytes: claimBytes(json.length) }
      : { _tag: "Keep", bytes, pinned: false }
  }
  if (typeof json !== "object" || json === null) return { _tag: "Keep", bytes: 8, pinned: false }
  let bytes = 2
  let parts: ReadonlyArray<Plan>
  if (isArray(json)) {
    parts = json.map((item) => make(item, limits))
  } else {
    const keys = Object.keys(json)
    for (const key of keys) bytes += textBytes(key) + 1
    parts = keys.map((key) => make(json[key]!, limits))
  }
  for (const part of parts) bytes += part.bytes + 1
  const pinned = parts.some((part) => part._tag !== "Claim" && part.pinned)
  if (bytes > limits.threshold && !limits.textsOnly && !pinned) return { _tag: "Claim", bytes: claimBytes(bytes) }
  return parts.every((part) => part._tag === "Keep")
    ? { _tag: "Keep", bytes, pinned }
    : { _tag: "Inside", bytes, pinned, parts }
}

export interface Claims<E, R> {
  readonly text: (text: string) => Effect.Effect<string, E, R>
  readonly json: (json: Json) => Effect.Effect<string, E, R>
}

/** The value with its claims, one blob stored after the other. Parts that are kept are the same objects. */
export const carryOut = <E, R>(plan: Plan, json: Json, claims: Claims<E, R>): Effect.Effect<Json, E, R> => {
  if (plan._tag === "Keep") return Effect.succeed(json)
  if (plan._tag === "Claim") return typeof json === "string" ? claims.text(json) : claims.json(json)
  if (isArray(json)) return Effect.forEach(json, (item, i) => carryOut(plan.parts[i]!, item, claims))
  const entries = Object.entries(json as JsonObject)
  return Effect.map(
    Effect.forEach(entries, ([, value], i) => carryOut(plan.parts[i]!, value, claims)),
    (values) => Object.fromEntries(entries.map(([key], i) => [key, values[i]!]))
  )
}
