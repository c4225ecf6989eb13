/**
 * What a response's headers say of the provider's limits, and for how long it asks to wait.
 *
 * | who | headers |
 * |---|---|
 * | all | `retry-after` (seconds or an HTTP date), `retry-after-ms` |
 * | Anthropic | `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, reset as RFC 3339 |
 * | OpenAI and compatible | `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, reset as `6m0s`, `120ms` or seconds |
 * | others | `x-ratelimit-{limit,remaining,reset}`, `ratelimit-…`, reset in seconds or as a time since the epoch |
 */

type Headers = Readonly<Record<string, string>>

/** One limit. What the provider does not say is `null`. */
export interface Limit {
  readonly of: "requests" | "tokens" | "input-tokens" | "output-tokens"
  readonly limit: number | null
  readonly remaining: number | null
  /** Milliseconds until it is whole again. */
  readonly resetMs: number | null
}

/** A longer wait than a year is a provider's mistake, and a time that no clock can show is ours. */
const longest = 365 * 24 * 60 * 60 * 1000

const bounded = (ms: number): number => Math.min(longest, Math.max(0, Math.ceil(ms)))

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `1h2m3.5s`, `120ms`; `undefined` for anything else. Not with a single pattern: what it is given is a stranger's. */
const ofUnits = (text: string): number | undefined => {
  let ms = 0
  let rest = text.slice(0, 64)
  while (rest !== "") {
    const part = /^(\d{1,12}(?:\.\d{1,9})?)(ms|s|m|h|d)/.exec(rest)
    if (part === null) return undefined
    ms += Number(part[1]) * units[part[2]!]!
    rest = rest.slice(part[0].length)
  }
  return text === "" ? undefined : ms
}

/** `Date.parse` makes a date of almost anything: an HTTP date begins with its day, the other form with its year. */
const ofDate = (text: string, now: number): number | undefined => {
  const date = /^([A-Z][a-z]{2}|\d{4}-\d\d-\d\dT)/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(date) ? undefined : date - now
}

const isNumber = (text: string): boolean => /^\d{1,15}(\.\d{1,9})?$/.test(text)

/** A reset in any of its forms. */
const reset = (value: string | undefined, now: number): number | null => {
  const text = value?.trim()
  if (text === undefined || text === "") return null
  if (isNumber(text)) {
    const number = Number(text)
    // Seconds, unless that were more than thirty years: then it is a time.
    return bounded(number > 1e12 ? number - now : number > 1e9 ? number * 1_000 - now : number * 1_000)
  }
  const ms = ofUnits(text) ?? ofDate(text, now)
  return ms === undefined ? null : bounded(ms)
}

const count = (value: string | undefined): number | null => {
  const text = value?.trim() ?? ""
  return isNumber(text) ? Number(text) : null
}

const kinds = ["requests", "tokens", "input-tokens", "output-tokens"] as const

/** The limits that a response tells of, `now` in milliseconds since the epoch. */
export const limits = (headers: Headers, now: number): ReadonlyArray<Limit> => {
  const found: Array<Limit> = []
  const add = (of: Limit["of"], limit: string, remaining: string, until: string) => {
    const one = {
      of,
      limit: count(headers[limit]),
      remaining: count(headers[remaining]),
      resetMs: reset(headers[until], now)
    }
    if (one.limit !== null || one.remaining !== null || one.resetMs !== null) found.push(one)
  }
  for (const kind of kinds) {
    const anthropic = `anthropic-ratelimit-${kind}`
    add(kind, `${anthropic}-limit`, `${anthropic}-remaining`, `${anthropic}-reset`)
    add(kind, `x-ratelimit-limit-${kind}`, `x-ratelimit-remaining-${kind}`, `x-ratelimit-reset-${kind}`)
  }
  for (const prefix of ["x-ratelimit", "ratelimit"]) {
    add("requests", `${prefix}-limit`, `${prefix}-remaining`, `${prefix}-reset`)
  }
  return found
}

/** For how long the response asks to wait, in milliseconds, by the headers that are made for that. */
export const retryAfterMs = (headers: Headers, now: number): number | undefined => {
  const millis = headers["retry-after-ms"]?.trim() ?? ""
  if (isNumber(millis)) return bounded(Number(millis))
  const value = headers["retry-after"]?.trim() ?? ""
  if (isNumber(value)) return bounded(Number(value) * 1_000)
  const date = ofDate(value, now)
  return date === undefined ? undefined : bounded(date)
}

/** `please try again in 6.5s`, `retry after 20 seconds`: what some say in words only. Lower case. */
const inWords = (text: string): number | undefined => {
  const said =
    /(?:try again|retry) (?:in|after) (\d{1,9}(?:\.\d{1,9})?) ?(milliseconds?|ms|seconds?|minutes?|hours?|s|m|h)\b/.exec(
      text
    )
  if (said !== null) {
    const unit = said[2]!
    return bounded(Number(said[1]) * (unit.startsWith("mil") ? 1 : units[unit === "ms" ? "ms" : unit[0]!]!))
  }
  const mixed = /try again in ((?:\d{1,9}(?:\.\d{1,9})?(?:ms|s|m|h)){2,4})/.exec(text)
  const ms = mixed === null ? undefined : ofUnits(mixed[1]!)
  return ms === undefined ? undefined : bounded(ms)
}

/**
 * How long a refused request is to wait: what the response asks for, else until the limits that are used up are whole
 * again, else what its text says. `undefined` where it says nothing.
 *
 * @param text the response's message, lower case
 */
export const waitMs = (headers: Headers, text: string, now: number): number | undefined => {
  const asked = retryAfterMs(headers, now)
  if (asked !== undefined) return asked
  const told = limits(headers, now).filter((one): one is Limit & { resetMs: number } => one.resetMs !== null)
  const usedUp = told.filter(({ remaining }) => remaining === 0)
  // Where none is used up, the request was larger than what was left of one: which, it does not say.
  const counts = usedUp.length > 0 ? usedUp : told.filter(({ remaining }) => remaining === null)
  const words = inWords(text)
  if (counts.length > 0 && !(usedUp.length === 0 && words !== undefined)) {
    return Math.max(...counts.map(({ resetMs }) => resetMs))
  }
  return words ?? (told.length > 0 ? Math.max(...told.map(({ resetMs }) => resetMs)) : undefined)
}
