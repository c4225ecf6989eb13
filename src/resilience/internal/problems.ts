/** What cannot work in a policy, found before anything runs. Pure. */
import type { Repeatable, StepKind } from "../../domain/Entry.ts"
import type { FailureClass } from "../../domain/Failure.ts"
import { after, print, type Schedules } from "../Delay.ts"
import type { Plan, Policy, Rule } from "./plans.ts"

/** What is wrong, and what to do about it. */
export interface Problem {
  readonly what: string
  readonly remedy: string
}

/** What a policy is for. */
export interface For {
  readonly kind: StepKind
  /** Of a tool; `never` has to be told apart where a policy is for one tool alone. */
  readonly repeatable?: Repeatable | undefined
  readonly schedules?: Schedules | undefined
  readonly fallbacks?: ReadonlyArray<string> | undefined
}

/** More attempts than this without any wait are a loop that nobody meant. */
const mostAtOnce = 10

type Say = (what: string, remedy: string) => Problem

const delays = (
  plan: Extract<Plan, { _tag: "Retry" }>,
  rule: Rule,
  attempts: number,
  given: Schedules | undefined
): ReadonlyArray<number | null> => {
  const failure = { class: rule.on[0], message: "a check when the runner starts" }
  return Array.from({ length: attempts }, (_, i) => after(plan.delay, i + 1, failure, 0.5, given))
}

const ofRetry = (plan: Extract<Plan, { _tag: "Retry" }>, rule: Rule, it: For, say: Say): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  if (plan.attempts < 2 || !Number.isInteger(plan.attempts) || plan.attempts > 1_000) {
    problems.push(say(`retries with attempts: ${plan.attempts}`, "give it 2 to 1000: the first attempt counts"))
  }
  if (plan.input === "repaired" && it.kind === "tool") {
    problems.push(say("gives a tool a repaired input", "only a model can be told what was wrong: use original"))
  }
  if (it.kind === "tool" && it.repeatable === "never" && !(rule.reached?.every((one) => one === "nothing") ?? false)) {
    problems.push(
      say(
        "retries a tool that may not be repeated",
        'annotate it with Tool.Idempotent or Tool.Readonly, or let the rule hold where reached is "nothing"'
      )
    )
  }
  if (!(plan.jitter >= 0 && plan.jitter <= 1)) {
    problems.push(say(`has a jitter of ${plan.jitter}`, "give it a part between 0 and 1"))
  }
  if (plan.delay._tag === "Named" && !Object.hasOwn(it.schedules ?? {}, plan.delay.name)) {
    const name = JSON.stringify(plan.delay.name)
    return [...problems, say(`waits by a schedule ${name} that is not given`, `give it as schedules: { ${name}: … }`)]
  }
  const [first] = delays(plan, rule, 1, it.schedules)
  if (first === null) {
    problems.push(
      say(
        `has a delay that cannot be computed (${print(plan.delay)})`,
        "use numbers that are not negative, and a schedule that neither sleeps, nor fails, nor ends at once"
      )
    )
  } else if (plan.attempts > mostAtOnce) {
    const waits = delays(plan, rule, mostAtOnce, it.schedules)
    if (waits.every((ms) => ms !== null && ms * (1 - plan.jitter / 2) < 1)) {
      problems.push(say(`retries ${plan.attempts} times without any wait`, "give it a delay, or at most 10 attempts"))
    }
  }
  return problems
}

const ofFallback = (plan: Extract<Plan, { _tag: "Fallback" }>, it: For, say: Say): ReadonlyArray<Problem> => {
  if (it.kind === "tool") return [say("falls back to a model for a tool", "use retry, ask or fail")]
  const known = it.fallbacks ?? []
  return plan.model === undefined || known.includes(plan.model)
    ? []
    : [
        say(
          `falls back to the model ${JSON.stringify(plan.model)}, which is not in the agent's chain`,
          `name it in fallbacks, which has ${known.length === 0 ? "none" : known.join(", ")}`
        )
      ]
}

const endsHere = (plan: Plan): boolean => plan._tag === "Fail" || plan._tag === "Ask" || plan._tag === "Compact"

const ofRule = (rule: Rule, it: For, say: Say): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  if (rule.on.length === 0) problems.push(say("is for no class", "name at least one"))
  if (rule.plans.length === 0) problems.push(say("has no plan", "give it one: fail, if nothing is to be done"))
  if (rule.on.includes("Stopped")) {
    problems.push(say("is for what was stopped", "leave Stopped out: what somebody stopped is not tried again"))
  }
  const end = rule.plans.findIndex(endsHere)
  if (end >= 0 && end < rule.plans.length - 1) {
    problems.push(
      say(`has a plan after ${rule.plans[end]!._tag.toLowerCase()}, which always applies`, "put that one last")
    )
  }
  for (const plan of rule.plans) {
    if (plan._tag === "Retry") problems.push(...ofRetry(plan, rule, it, say))
    if (plan._tag === "Fallback") problems.push(...ofFallback(plan, it, say))
    if (plan._tag === "Compact" && it.kind === "tool") {
      problems.push(say("compacts a conversation for a tool", "use it for the model"))
    }
  }
  return problems
}

/** Everything that is wrong with a policy, as its user sees it. */
export const problems = (policy: Policy, it: For): ReadonlyArray<Problem> => {
  const found: Array<Problem> = []
  const decided = new Set<FailureClass>()
  const names = new Set<string>()
  for (const rule of policy.rules) {
    const say: Say = (what, remedy) => ({
      what: `policy ${JSON.stringify(policy.name)}, rule ${JSON.stringify(rule.name)} ${what}`,
      remedy
    })
    found.push(...ofRule(rule, it, say))
    if (rule.on.length > 0 && rule.on.every((one) => decided.has(one))) {
      found.push(say("never decides: rules before it have all of its classes", "put it before them, or leave it out"))
    }
    if (names.has(rule.name)) {
      found.push(say("has the name of another one", "give each a name of its own: the journal has only that"))
    }
    names.add(rule.name)
    if (rule.reached === undefined) for (const one of rule.on) decided.add(one)
  }
  return found
}
