/** The policies that hold where nobody says otherwise. Every one of them gives up. */
import { exponential, none, steps } from "../Delay.ts"
import { ask, compact, fail, fallback, make, type Policy, type Rule, retry, rule } from "./plans.ts"

/**
 * A runner that died: at once, because another has taken over; but not for ever, because it may be the step that kills:
 * it is parked then, and harms nobody until a human has looked.
 */
const lost: Rule = rule(
  "RunnerLost",
  retry({ attempts: 10, delay: none }),
  ask("Its runner died each time that it ran, which may be its fault. Revive it, or discard it?")
)

/** A rate limit that does not say for how long: seconds to a minute, about six minutes in all. */
const limited = exponential("2 seconds", { max: "1 minute" })

/** Overload and lost connections: half a second to half a minute, about three minutes in all. */
const trouble = exponential("500 millis", { max: "30 seconds" })

/** A cut answer: at once, then soon, because whoever cuts each time is not to be called in a loop. */
const soon = steps(0, "500 millis", "1 second", "2 seconds", "4 seconds", "8 seconds", "15 seconds")

/**
 * Models: a call changes nothing, so whatever may pass is tried again, from the text that had come where there is any;
 * soon with the next model of the chain, where there is one. What cannot pass (a wrong request) fails at once.
 */
export const modelDefault: Policy = make("modelDefault", [
  rule(
    "RateLimited",
    retry({ attempts: 4, delay: limited, retryAfter: "instead", longest: "30 seconds" }),
    fallback({ input: "continue" }),
    retry({ attempts: 12, delay: limited, retryAfter: "instead", longest: "1 hour" })
  ),
  rule(
    ["Overloaded", "Unreachable", "TimedOut"],
    retry({ attempts: 4, delay: trouble, longest: "30 seconds" }),
    fallback({ input: "continue" }),
    retry({ attempts: 10, delay: trouble, longest: "1 hour" })
  ),
  rule("Interrupted", retry({ attempts: 8, delay: soon }), fallback({ input: "continue" })),
  lost,
  rule("ContextOverflow", compact),
  // A cut or an empty answer is another class: this one is whole and cannot be used, and the model can be told so.
  rule("MalformedToolCall", retry({ attempts: 3, input: "repaired" }), fail),
  // Neither a filter's mind nor a bill changes by waiting, but another provider has its own.
  rule(["Refused", "Unauthorized"], fallback(), fail)
])

/**
 * Tools: few attempts, because a tool's own failure is an answer that the model can act on; and only those declared
 * read-only or idempotent, or that are known not to have been reached (I5).
 */
export const toolDefault: Policy = make("toolDefault", [
  lost,
  rule(
    ["Unreachable", "TimedOut", "RateLimited", "Overloaded", "Interrupted"],
    retry({ attempts: 4, delay: exponential("500 millis", { max: "10 seconds" }), longest: "1 minute" })
  )
])
