/**
 * What an agent is given, looked at where it is written: in a program without types it may be anything, and what cannot work
 * would fail much later, far from its cause. Each gives what is wrong, or `null`.
 */
import { Duration, Inspectable, Option } from "effect"

/** As it would stand in the program. */
export const said = (value: unknown): string =>
  typeof value === "string" ? JSON.stringify(value) : Inspectable.toStringUnknown(value, 0)

/** A time that is longer than nothing. */
export const flawOfTime = (name: string, value: unknown): string | null =>
  value === undefined || Option.exists(Duration.decodeUnknown(value), (time) => Duration.toMillis(time) > 0)
    ? null
    : `${name} must be positive, a time such as "2 minutes", not ${said(value)}`

/** One of these words. */
export const flawOfWord = (name: string, value: unknown, words: ReadonlyArray<string>): string | null =>
  value === undefined || words.some((word) => word === value)
    ? null
    : `${name} must be ${words.map(said).join(" or ")}, not ${said(value)}`

/** An object of these keys. */
export const flawOfKeys = (name: string, value: unknown, keys: ReadonlyArray<string>): string | null => {
  if (value === undefined) return null
  if (typeof value !== "object" || value === null) {
    return `${name} must be an object of ${keys.join(", ")}, not ${said(value)}`
  }
  const unknown = Object.keys(value).find((key) => !keys.includes(key))
  return unknown === undefined ? null : `${name} has no "${unknown}": it may have ${keys.join(", ")}`
}

/** Names by tool. */
export const flawOfNames = (name: string, value: object, tools: ReadonlyArray<string>): string | null => {
  for (const [tool, given] of Object.entries(value)) {
    if (!tools.includes(tool)) {
      const known = tools.join(", ")
      return `${name} says something about the tool "${tool}", which its toolkit does not have: name one of ${known || "none"}`
    }
    if (given !== undefined && (typeof given !== "string" || given === "")) {
      return `${name}.${tool} must be a name, not ${said(given)}`
    }
  }
  return null
}

/** @throws with the first of them that is one */
export const refuse = (agent: string, flaws: Iterable<string | null>): void => {
  for (const flaw of flaws) if (flaw !== null) throw new Error(`agent "${agent}": ${flaw}`)
}
