/**
 * What to do after an attempt failed: a value, not a function. It can be printed, compared, encoded, and checked before
 * anything runs.
 *
 * ```
 * policy ─ rules: (class, how far it got) ─► plans, in order: retry │ fallback │ compact │ ask │ fail
 * ```
 *
 * {@link decide} is pure: it has neither clock nor chance of its own. It is asked once an attempt, and its decision is
 * journaled with the attempt, so that a recovery obeys it instead of asking again.
 */
import { decide } from "./internal/decide.ts"
import type { Attempted, Decision } from "./internal/decide.ts"
import type { Policy } from "./internal/plans.ts"

export { Delay, exponential, fibonacci, fixed, named, none, type Schedules, steps } from "./Delay.ts"
export { type Attempted, type Decision, decide, reachedOf, type Surroundings } from "./internal/decide.ts"
export { modelDefault, toolDefault } from "./internal/defaults.ts"
export { type For, type Problem, problems } from "./internal/problems.ts"
export { ask, compact, fail, fallback, make, Plan, Policy, Rule, retry, rule } from "./internal/plans.ts"

/** Decides with whatever it was made from: what a behaviour is asked. Pure and total. */
export type Judge = (attempted: Attempted) => Decision

/** The judge of one policy alone, without fallbacks and schedules of one's own. */
export const judge =
  (policy: Policy): Judge =>
  (attempted) =>
    decide(policy, attempted)
