/** A policy's decision: pure and total. */
import type { NextInput, Repeatable, StepKind } from "../../domain/Entry.ts"
import type { Failure, Reached } from "../../domain/Failure.ts"
import type { Json } from "../../domain/Json.ts"
import { after, type Schedules } from "../Delay.ts"
import type { Plan, Policy, Rule } from "./plans.ts"

/** What is known of a failed attempt. */
export interface Attempted {
  readonly kind: StepKind
  /** The step's name: a tool's, or a model step's. */
  readonly name: string
  /** What the step was given, as it is in the journal. */
  readonly input?: Json | undefined
  readonly repeatable: Repeatable
  readonly failure: Failure
  /** Which attempt it was that failed: 1 is the first. */
  readonly attempt: number
  /** How many attempts there were since the model was changed, this one included; `attempt` unless told. */
  readonly tried?: number | undefined
  /** The model that was asked, by name; the first of the agent's chain unless told. */
  readonly model?: string | undefined
  /** Whether there is something to go on from. */
  readonly hasPartial: boolean
  /** In [0, 1): spreads retries out, so that those who failed together do not come back together. */
  readonly random: number
}

/** What a policy's data refers to. */
export interface Surroundings {
  /** Schedules of one's own, by name. */
  readonly schedules?: Schedules | undefined
  /** The models to fall back to, in order. */
  readonly fallbacks?: ReadonlyArray<string> | undefined
  /** Decide in order where no rule of the policy fits: whoever writes a rule for one class has not thought of all others. */
  readonly otherwise?: ReadonlyArray<Policy> | undefined
}

/** What happens next, and who says so. */
export type Decision = {
  /** The policy's name. */
  readonly policy: string
  /** The rule's name; `none` where no rule fits. */
  readonly rule: string
} & (
  | { readonly _tag: "Retry"; readonly delayMs: number; readonly nextInput: NextInput }
  | { readonly _tag: "Fallback"; readonly model: string; readonly delayMs: number; readonly nextInput: NextInput }
  | { readonly _tag: "Compact" }
  | { readonly _tag: "Ask"; readonly question: string | undefined; readonly nextInput: NextInput }
  /** `threw`: what the policy threw instead of deciding. */
  | { readonly _tag: "Fail"; readonly threw?: string | undefined }
)

type Outcome = Decision extends infer D ? (D extends unknown ? Omit<D, "policy" | "rule"> : never) : never

/** How far the attempt got. */
export const reachedOf = ({
  failure,
  hasPartial,
  kind
}: Pick<Attempted, "failure" | "hasPartial" | "kind">): Reached =>
  // What a tool has saved may be another attempt's: it says nothing of this one.
  kind === "model" && hasPartial
    ? "partial"
    : (failure.reached ?? (failure.class === "Unreachable" && kind === "model" ? "nothing" : "request"))

const fits = (rule: Rule, attempted: Attempted): boolean =>
  rule.on.includes(attempted.failure.class) &&
  (rule.reached === undefined || rule.reached.includes(reachedOf(attempted)))

/** Whether another attempt can do harm (I5). */
const mayRepeat = (attempted: Attempted): boolean =>
  attempted.repeatable !== "never" || attempted.failure.reached === "nothing"

const retrying = (
  plan: Extract<Plan, { _tag: "Retry" }>,
  attempted: Attempted,
  { schedules }: Surroundings
): Outcome | null => {
  const { failure, hasPartial, random } = attempted
  const tried = attempted.tried ?? attempted.attempt
  if (tried >= plan.attempts || !mayRepeat(attempted)) return null
  const scheduled = after(plan.delay, tried, failure, random, schedules)
  if (scheduled === null) return null
  const own = scheduled * (1 - plan.jitter * (1 - random))
  const asked = plan.retryAfter === "ignore" ? undefined : failure.retryAfterMs
  // The provider's word is a lower bound: whatever is drawn is added to it.
  const spread = asked === undefined ? 0 : asked + Math.max(250, asked / 10) * random
  const delayMs = Math.ceil(asked === undefined ? own : plan.retryAfter === "instead" ? spread : Math.max(spread, own))
  if (plan.longestMs !== undefined && delayMs > plan.longestMs) return null
  return { _tag: "Retry", delayMs, nextInput: plan.input === "continue" && !hasPartial ? "original" : plan.input }
}

/** Forward in the chain only: whoever falls back comes to an end. */
const fallingBack = (
  plan: Extract<Plan, { _tag: "Fallback" }>,
  { hasPartial, kind, model }: Attempted,
  { fallbacks = [] }: Surroundings
): Outcome | null => {
  if (kind !== "model") return null
  const now = model === undefined ? -1 : fallbacks.indexOf(model)
  const next = plan.model === undefined ? now + 1 : fallbacks.indexOf(plan.model)
  const chosen = fallbacks[next]
  if (chosen === undefined || next <= now) return null
  return {
    _tag: "Fallback",
    model: chosen,
    delayMs: 0,
    nextInput: plan.input === "continue" && hasPartial ? "continue" : "original"
  }
}

const outcome = (plan: Plan, attempted: Attempted, surroundings: Surroundings): Outcome | null => {
  switch (plan._tag) {
    case "Retry":
      return retrying(plan, attempted, surroundings)
    case "Fallback":
      return fallingBack(plan, attempted, surroundings)
    case "Compact":
      return attempted.kind === "model" ? { _tag: "Compact" } : null
    case "Ask":
      return mayRepeat(attempted)
        ? { _tag: "Ask", question: plan.question, nextInput: attempted.hasPartial ? "continue" : "original" }
        : null
    case "Fail":
      return { _tag: "Fail" }
  }
}

/** What follows a failed attempt. The first rule that fits decides, by the first of its plans that applies. */
export const decide = (policy: Policy, attempted: Attempted, surroundings: Surroundings = {}): Decision => {
  const rule = policy.rules.find((rule) => fits(rule, attempted))
  const [next, ...others] = surroundings.otherwise ?? []
  if (rule === undefined && next !== undefined) return decide(next, attempted, { ...surroundings, otherwise: others })
  const by = { policy: policy.name, rule: rule?.name ?? "none" }
  for (const plan of rule?.plans ?? []) {
    const found = outcome(plan, attempted, surroundings)
    if (found !== null) return { ...by, ...found } as Decision
  }
  return { ...by, _tag: "Fail" }
}
