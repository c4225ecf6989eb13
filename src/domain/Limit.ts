/** The words of budgets (I8): which limits there are, and so much of each. */
import { Schema } from "effect"

/** Which limit was hit (I8). `wall` is time in which a turn was running and not paused. */
export const Limit = Schema.Literal("steps", "modelCalls", "toolCalls", "tokens", "usd", "wall")
export type Limit = typeof Limit.Type

const Amount = Schema.optional(Schema.NonNegative.pipe(Schema.finite()))

/** So much of each limit, time in milliseconds, money in US dollars. What is left out is not spoken of. */
export const Amounts = Schema.Struct({
  steps: Amount,
  modelCalls: Amount,
  toolCalls: Amount,
  tokens: Amount,
  usd: Amount,
  wallMs: Amount
})
export type Amounts = typeof Amounts.Type

/** Whose limit it was: the turn's, the session's, or what a parent has given to its child. */
export const LimitScope = Schema.Literal("turn", "session", "parent")
export type LimitScope = typeof LimitScope.Type
