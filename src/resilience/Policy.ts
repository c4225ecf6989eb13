/**
 * What to do after an attempt failed: a pure function of what is known of it, without a clock or a random of its own.
 *
 * A policy is asked once an attempt; its decision is journaled with the attempt, so that a recovery obeys it instead of
 * asking again.
 */
import type { NextInput, Repeatable, StepKind } from "../domain/Entry.ts"
import type { Failure } from "../domain/Failure.ts"

/** Try again after a delay, with the input named; or let the step fail. */
export type Decision =
  | { readonly _tag: "Retry"; readonly delayMs: number; readonly nextInput: NextInput }
  | { readonly _tag: "Fail" }

export interface Attempted {
  readonly kind: StepKind
  readonly repeatable: Repeatable
  readonly failure: Failure
  /** Which attempt it was that failed: 1 is the first. */
  readonly attempt: number
  /** Whether it left something to go on from. */
  readonly hasPartial: boolean
  /** In [0, 1): spreads retries out, so that those who failed together do not come back together. */
  readonly random: number
}

export type Policy = (attempted: Attempted) => Decision

export const fail: Decision = { _tag: "Fail" }

const retry = (delayMs: number, nextInput: NextInput): Decision => ({
  _tag: "Retry",
  delayMs: Math.ceil(delayMs),
  nextInput
})

/** An exponential backoff: `baseMs` after the first failure, then doubled, up to `maxMs`. */
export interface Backoff {
  readonly baseMs: number
  readonly maxMs: number
  /** How many attempts a step has, the first included. */
  readonly attempts: number
}

/** The delay after attempt `attempt`: between half of the full delay and the whole of it. */
export const backoffMs = ({ baseMs, maxMs }: Backoff, attempt: number, random: number): number => {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30))
  return full / 2 + (full / 2) * random
}

/** Overload and lost connections: half a second to half a minute, about three minutes in all. */
export const trouble: Backoff = { baseMs: 500, maxMs: 30_000, attempts: 10 }

/** A rate limit that does not say for how long: seconds to a minute, about six minutes in all. */
export const limited: Backoff = { baseMs: 2_000, maxMs: 60_000, attempts: 12 }

/** A cut answer: at once, then soon, because whoever cuts each time is not to be called in a loop. */
export const cut: Backoff = { baseMs: 500, maxMs: 15_000, attempts: 8 }

/** A runner that died: at once, because another has taken over; but not for ever, because it may be the step that kills. */
export const lost = { attempts: 10 } as const

/**
 * Models: a call changes nothing, so whatever may pass is tried again, from the text that had come where there is any.
 * What cannot pass (a wrong request, a key, a refusal, a conversation too long) fails at once.
 */
export const modelDefault: Policy = ({ attempt, failure, hasPartial, random }) => {
  const nextInput: NextInput = hasPartial ? "continue" : "original"
  switch (failure.class) {
    case "RateLimited": {
      if (attempt >= limited.attempts) return fail
      const { retryAfterMs } = failure
      // The provider's word is a lower bound: up to a tenth more (at least a quarter second) keeps sessions apart.
      return retryAfterMs === undefined
        ? retry(backoffMs(limited, attempt, random), nextInput)
        : retry(retryAfterMs + Math.max(250, retryAfterMs / 10) * random, nextInput)
    }
    case "Overloaded":
    case "Unreachable":
    case "TimedOut": {
      if (attempt >= trouble.attempts) return fail
      return retry(Math.max(failure.retryAfterMs ?? 0, backoffMs(trouble, attempt, random)), nextInput)
    }
    case "Interrupted":
      if (attempt >= cut.attempts) return fail
      return retry(attempt === 1 ? 0 : backoffMs(cut, attempt - 1, random), nextInput)
    case "RunnerLost":
      return attempt >= lost.attempts ? fail : retry(0, nextInput)
    default:
      return fail
  }
}

/** Tools: few attempts, because a tool's own failure is an answer that the model can act on. */
export const toolTrouble: Backoff = { baseMs: 500, maxMs: 10_000, attempts: 4 }

/**
 * Tools: only those declared read-only or idempotent, and only when it was not their handler that failed. All others
 * fail, and the model or a person decides (I5).
 */
export const toolDefault: Policy = ({ attempt, failure, hasPartial, random, repeatable }) => {
  if (repeatable === "never") return fail
  switch (failure.class) {
    case "RunnerLost":
      return attempt >= lost.attempts ? fail : retry(0, hasPartial ? "continue" : "original")
    case "Unreachable":
    case "TimedOut":
      if (attempt >= toolTrouble.attempts) return fail
      return retry(backoffMs(toolTrouble, attempt, random), "original")
    default:
      return fail
  }
}
