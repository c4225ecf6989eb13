/** What a policy is made of: rules, and the plans that they choose from. */
import { Duration, Schema } from "effect"
import { FailureClass, Reached } from "../../domain/Failure.ts"
import { Text } from "../../domain/Json.ts"
import { Delay, none } from "../Delay.ts"

const Millis = Schema.NonNegative.pipe(Schema.finite())

/** Try again. */
export const Retry = Schema.TaggedStruct("Retry", {
  delay: Delay,
  /** While fewer attempts than this were made with the model at hand (or of the tool), the first included. */
  attempts: Schema.Int.pipe(Schema.between(2, 1_000)),
  /**
   * What the next attempt is given. `continue`: what it had produced so far, to go on from; the original where that is
   * nothing. `repaired`: the original, and a sentence that says what was wrong with the last answer.
   */
  input: Schema.Literal("original", "continue", "repaired"),
  /** The part of the delay that is drawn at random, in [0, 1]: 0.5 waits between half of it and the whole. */
  jitter: Schema.Finite.pipe(Schema.between(0, 1)),
  /**
   * What a provider's `retry-after` does to the delay: it takes its place (a tenth of it, at least a quarter second, is
   * added at random), is the least that is waited, or is not looked at.
   */
  retryAfter: Schema.Literal("instead", "atLeast", "ignore"),
  /** A delay that is longer, in milliseconds, is not waited for: the next plan is looked at. */
  longestMs: Schema.optional(Millis)
})

/** Ask another model: the next in the agent's chain, or the one that is named. Passed over where there is none. */
export const Fallback = Schema.TaggedStruct("Fallback", {
  model: Schema.optional(Text),
  /** `continue`: it goes on from what the other one had said. */
  input: Schema.Literal("original", "continue")
})

/** Make the conversation shorter, and ask again. */
export const Compact = Schema.TaggedStruct("Compact", {})

/** Wait for a human's decision. */
export const Ask = Schema.TaggedStruct("Ask", { question: Schema.optional(Text) })

/** The step fails. */
export const Fail = Schema.TaggedStruct("Fail", {})

export const Plan = Schema.Union(Retry, Fallback, Compact, Ask, Fail)
export type Plan = typeof Plan.Type

export const Rule = Schema.Struct({
  /** What the journal calls it. */
  name: Text,
  /** The classes that it decides on. */
  on: Schema.NonEmptyArray(FailureClass),
  /** Only where the failed attempt got this far. */
  reached: Schema.optional(Schema.NonEmptyArray(Reached)),
  /** Looked at in order: the first that applies is followed. Where none does, the step fails. */
  plans: Schema.NonEmptyArray(Plan)
})
export type Rule = typeof Rule.Type

/** The first rule that fits a failure decides. A failure that none fits fails its step. */
export const Policy = Schema.Struct({ name: Text, rules: Schema.Array(Rule) })
export type Policy = typeof Policy.Type

// --- Constructors ---

/** Try again. One attempt after another, at most `attempts` with the first. */
export const retry = (options: {
  readonly attempts: number
  /** At once unless told. */
  readonly delay?: Delay | undefined
  /** `continue` unless told. */
  readonly input?: "original" | "continue" | "repaired" | undefined
  /** 0.5 unless told: those who failed together do not come back together. */
  readonly jitter?: number | undefined
  /** `atLeast` unless told. */
  readonly retryAfter?: "instead" | "atLeast" | "ignore" | undefined
  readonly longest?: Duration.DurationInput | undefined
}): Plan => ({
  _tag: "Retry",
  delay: options.delay ?? none,
  attempts: options.attempts,
  input: options.input ?? "continue",
  jitter: options.jitter ?? 0.5,
  retryAfter: options.retryAfter ?? "atLeast",
  ...(options.longest === undefined ? {} : { longestMs: Duration.toMillis(options.longest) })
})

/** Ask the next model of the agent's chain, or the one that is named. From the start, unless it is told to go on. */
export const fallback = (
  options: { readonly model?: string | undefined; readonly input?: "original" | "continue" | undefined } = {}
): Plan => ({
  _tag: "Fallback",
  ...(options.model === undefined ? {} : { model: options.model }),
  input: options.input ?? "original"
})

/** Make the conversation shorter, and ask again. */
export const compact: Plan = { _tag: "Compact" }

/** Wait for a human's decision. */
export const ask = (question?: string): Plan => ({ _tag: "Ask", ...(question === undefined ? {} : { question }) })

/** The step fails. */
export const fail: Plan = { _tag: "Fail" }

type On =
  | FailureClass
  | ReadonlyArray<FailureClass>
  | {
      /** Its classes, joined, unless told. */
      readonly name?: string | undefined
      readonly on: FailureClass | ReadonlyArray<FailureClass>
      /** Only where the failed attempt got this far. */
      readonly reached?: Reached | ReadonlyArray<Reached> | undefined
    }

const list = <A>(one: A | ReadonlyArray<A>): [A, ...Array<A>] => [one].flat() as [A, ...Array<A>]

/** What follows failures of these classes: the first of the plans that applies. */
export const rule = (on: On, first: Plan, ...rest: ReadonlyArray<Plan>): Rule => {
  const it = typeof on === "object" && "on" in on ? on : { on }
  const classes = list<FailureClass>(it.on)
  return {
    name: it.name ?? classes.join("|"),
    on: classes,
    ...(it.reached === undefined ? {} : { reached: list<Reached>(it.reached) }),
    plans: [first, ...rest]
  }
}

/** What is left of the rules of another policy, beside these. */
const inherited = (policy: Policy, rules: ReadonlyArray<Rule>): ReadonlyArray<Rule> => {
  const decided = new Set(rules.flatMap((rule) => (rule.reached === undefined ? rule.on : [])))
  return policy.rules.flatMap((rule) => {
    const on = rule.on.filter((one) => !decided.has(one))
    return on.length === 0 ? [] : [{ ...rule, name: `${policy.name}/${rule.name}`, on: list<FailureClass>(on) }]
  })
}

/**
 * A policy of one's own. What its rules do not decide, `otherwise` does, where one is given; else it fails.
 *
 * ```ts
 * Policy.make("patient", [Policy.rule("RateLimited", Policy.retry({ attempts: 50, delay: Policy.fixed("1 minute") }))],
 *   { otherwise: Policy.modelDefault })
 * ```
 */
export const make = (
  name: string,
  rules: ReadonlyArray<Rule>,
  options: { readonly otherwise?: Policy | undefined } = {}
): Policy => ({
  name,
  rules: options.otherwise === undefined ? rules : [...rules, ...inherited(options.otherwise, rules)]
})
