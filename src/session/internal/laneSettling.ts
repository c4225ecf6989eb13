/**
 * A host of a lane that is new knows nothing: before it lets anything through, those are to say what they know who have been
 * there before it. Plain data.
 */
import type { Limiter } from "../../resilience/index.ts"
import { addressOf } from "./errandProtocol.ts"
import { aheadMost } from "./laneAhead.ts"
import type { Copy } from "./laneProtocol.ts"

/** How long it waits for them, in milliseconds. */
const settleMs = 2_000

/** What still counts of what another host knew some time ago, and what its runner may have been granted since. */
export const left = (copy: Copy, agoMs: number, { perMs, requests }: Limiter.Rates): ReadonlyArray<Limiter.Spent> => {
  const spent = copy.spent
    // What was under way then may have been sent since.
    .map((one) => ({ ...one, leftMs: one.leftMs >= perMs ? perMs : one.leftMs - agoMs }))
    .filter(({ leftMs }) => leftMs > 0)
  const unknown = aheadMost(requests ?? copy.requests ?? undefined)
  return Number.isFinite(unknown)
    ? [...spent, { leftMs: perMs, requests: unknown, tokens: unknown * copy.meanTokens }]
    : spent
}

/** Whether a copy knows more than another of the same host. */
export const isFresher = (copy: Copy, than: Copy): boolean => copy.host === than.host && copy.number > than.number

/** What was spent between a copy and a fresher one: all of it as if it had been just then, so that it is enough. */
export const since = (
  before: Copy,
  copy: Copy,
  agoMs: number,
  { perMs }: Limiter.Rates
): ReadonlyArray<Limiter.Spent> => {
  const requests = copy.number - before.number
  return agoMs < perMs ? [{ leftMs: perMs - agoMs, requests, tokens: requests * copy.meanTokens }] : []
}

/** That all is spent, evenly: what is to be taken where nobody is left who knows. */
export const evenly = ({ perMs, requests = 0, tokens = 0 }: Limiter.Rates): ReadonlyArray<Limiter.Spent> => {
  const pieces = Math.min(64, Math.ceil(requests))
  return Array.from({ length: pieces }, (_, n) => ({
    leftMs: ((n + 1) * perMs) / pieces,
    requests: requests / pieces,
    tokens: tokens / pieces
  }))
}

/**
 * Those that have not spoken.
 *
 * @param heard the names of those who have
 * @param all the addresses of those who are there
 */
export const unheardOf = (heard: Iterable<string>, all: ReadonlyArray<string>): ReadonlyArray<string> => {
  const from = new Set([...heard].map(addressOf))
  return all.filter((address) => !from.has(address))
}

export class Settling {
  private until: number | null

  constructor(now: number) {
    this.until = now + settleMs
  }

  /** Until when those that have not spoken are to be waited for; `null` where there are none, or they had the time to. */
  waitsUntil(now: number, unheard: () => ReadonlyArray<string>): number | null {
    if (this.until !== null && (now >= this.until || unheard().length === 0)) this.until = null
    return this.until
  }
}
