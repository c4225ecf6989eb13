/** What follows a failed attempt, as an entry: the policy is asked, and what it says is written down. Pure. */
import { createHash } from "node:crypto"
import type { AttemptFailed, Decided, NextInput, StepFailed } from "../../domain/Entry.ts"
import type { Drawn, Failure } from "../../domain/Failure.ts"
import type { Json } from "../../domain/Json.ts"
import type { Usage } from "../../domain/Usage.ts"
import type { Policy } from "../../resilience/index.ts"
import type { OpenStep } from "../State.ts"

/** A failed attempt. */
export interface Failed {
  readonly failure: Failure
  /** What it produced, claims for what is large. */
  readonly partial: Json | undefined
  readonly usage: Usage | undefined
  readonly drawn?: Drawn | undefined
  /** In [0, 1). */
  readonly random: number
  readonly startedAt: number
}

/** A time that a clock can show, whatever a policy of somebody's own says. */
const longestMs = 365 * 24 * 60 * 60 * 1000

/** Of what the next attempt is given; what it refers to (the conversation so far) is in the journal's own chain. */
const hashOf = (step: OpenStep, nextInput: NextInput, model: string | undefined, failed: Failed): string =>
  createHash("sha256")
    .update(
      JSON.stringify([
        step.kind,
        step.name,
        step.input,
        nextInput,
        model ?? null,
        nextInput === "continue" ? (failed.partial ?? step.partial ?? null) : null,
        nextInput === "repaired" ? failed.failure.message : null
      ])
    )
    .digest("hex")

const decidedOf = (decision: Policy.Decision, step: OpenStep, failed: Failed): Decided => {
  const by = { policy: decision.policy, rule: decision.rule }
  const hash = (nextInput: NextInput, model = step.model) => ({ inputHash: hashOf(step, nextInput, model, failed) })
  switch (decision._tag) {
    case "Retry":
      return { plan: "retry", ...by, delayMs: decision.delayMs, ...hash(decision.nextInput) }
    case "Fallback": {
      const { delayMs, model, nextInput } = decision
      return { plan: "fallback", ...by, delayMs, model, ...hash(nextInput, model) }
    }
    case "Ask": {
      const question = decision.question === undefined ? {} : { question: decision.question }
      return { plan: "ask", ...by, ...question, ...hash(decision.nextInput) }
    }
    case "Compact":
      return { plan: "compact", ...by }
    case "Fail":
      return decision.threw === undefined ? { plan: "fail", ...by } : { plan: "fail", ...by, threw: decision.threw }
  }
}

/** Its message and no more: what else an error holds may be anything (I12). */
const saidBy = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 300)

/** Asks the policy; one that throws is as good as none: the step fails, and says so. */
const ask = (judge: Policy.Judge, step: OpenStep, failed: Failed): Policy.Decision => {
  try {
    return judge({
      kind: step.kind,
      name: step.name,
      input: step.input,
      repeatable: step.repeatable,
      failure: failed.failure,
      attempt: step.attempt,
      tried: (step.failures ?? step.attempt - 1) + 1,
      model: step.model,
      hasPartial: failed.partial !== undefined,
      random: failed.random
    })
  } catch (error) {
    return { _tag: "Fail", policy: "broken", rule: "it threw", threw: saidBy(error) }
  }
}

/**
 * The entry that a failed attempt becomes.
 *
 * @param stopping the step is being stopped: nobody is asked, there is no next attempt
 */
export const judged = (
  judge: Policy.Judge,
  step: OpenStep,
  failed: Failed,
  stopping: boolean,
  now: number
): AttemptFailed | StepFailed => {
  const { drawn, failure, partial, startedAt, usage } = failed
  const at = {
    step: step.step,
    attempt: step.attempt,
    startedAt,
    failure,
    ...(usage === undefined ? {} : { usage })
  } as const
  const ended = drawn === undefined ? at : { ...at, drawn }
  if (stopping || failure.class === "Stopped") return { _tag: "StepFailed", ...ended }
  const decision = ask(judge, step, failed)
  const decided = decidedOf(decision, step, failed)
  if (decision._tag === "Fail" || decision._tag === "Compact") return { _tag: "StepFailed", ...ended, decided }
  const delayMs = decision._tag === "Ask" ? 0 : Math.min(longestMs, Math.max(0, Math.round(decision.delayMs)))
  return {
    _tag: "AttemptFailed",
    ...at,
    retryAt: now + delayMs,
    nextInput: decision.nextInput,
    ...(partial === undefined ? {} : { partial }),
    decided
  }
}
