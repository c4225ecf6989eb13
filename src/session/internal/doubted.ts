/**
 * A step that may have had its effect, and nobody knows (I5). Pure.
 *
 * ```
 * in doubt ─► reconcile ─► happened ─► its outcome
 *     │           ├──────► did not happen ─► it is run again, with the same key
 *     │           └──────► unknown ─┐
 *     └─────────────────────────────┴─► whoever plans the turn is told, and it can be settled by a command
 * ```
 */
import type { AttemptFailed, Entry, Reconciled } from "../../domain/Entry.ts"
import type { Failure } from "../../domain/Failure.ts"
import type { Behaviour } from "../Behaviour.ts"
import * as Pause from "../Pause.ts"
import type { OpenStep } from "../State.ts"

/** What a behaviour says about doubt, and about time. */
export type Knows = Pick<Behaviour, "reconciles" | "totalMs" | "holdsDoubt">

/** How many attempts a step has before it is not asked any more what became of it: asking may be what kills its runner. */
const attemptsMost = 20

export const isAsked = (step: OpenStep): boolean => step.nextInput === "reconcile"

/** Whether an earlier attempt of the step may have had its effect, and it waits for somebody or something that knows. */
export const isUncertain = (step: OpenStep): boolean =>
  isAsked(step) || (step.held === true && step.why?.decided?.policy === Pause.doubt)

/** Whether it can be found out what became of the step. */
export const canAsk = (knows: Knows, step: OpenStep): boolean =>
  step.attempt < attemptsMost && knows.reconciles?.(step.kind, step.name) === true

export const inDoubt = ({ attempt, step }: OpenStep, reconciled?: Reconciled): Entry => ({
  _tag: "StepInDoubt",
  step,
  attempt,
  ...(reconciled === undefined ? {} : { reconciled })
})

/** What follows where the outcome of an attempt is unknown. */
export const doubted = (
  knows: Knows,
  step: OpenStep,
  failure: Failure,
  startedAt: number,
  stopping: boolean,
  now: number
): Entry => {
  if (stopping) return inDoubt(step)
  const next = {
    _tag: "AttemptFailed",
    step: step.step,
    attempt: step.attempt,
    startedAt,
    failure,
    retryAt: now
  } as const
  return canAsk(knows, step) ? { ...next, nextInput: "reconcile" } : unknown(knows, step, next)
}

const question = "Its runner died while it ran. Has it happened? Settle it: happened, did not happen, or retry."

/** Nobody knows: whoever plans the turn is told; or somebody is asked first. */
const unknown = (
  knows: Knows,
  step: OpenStep,
  next: Omit<AttemptFailed, "nextInput">,
  reconciled?: Reconciled
): Entry =>
  knows.holdsDoubt?.(step.kind, step.name) === true
    ? {
        ...next,
        nextInput: "original",
        decided: { plan: "ask", policy: Pause.doubt, rule: "in doubt", question },
        ...(reconciled === undefined ? {} : { reconciled })
      }
    : inDoubt(step, reconciled)

/** Nobody knows, and nobody could be asked. */
export const unanswered = (
  knows: Knows,
  step: OpenStep,
  failure: Failure,
  startedAt: number,
  stopping: boolean,
  now: number
): Entry =>
  stopping
    ? inDoubt(step)
    : unknown(knows, step, {
        _tag: "AttemptFailed",
        step: step.step,
        attempt: step.attempt,
        startedAt,
        failure,
        retryAt: now
      })

const notHappened: Failure = { class: "RunnerLost", message: "it had not happened: it is run again" }
const nobodyKnows: Failure = {
  class: "RunnerLost",
  message: "its runner died, and nobody could tell what became of it"
}
const notRunAgain: Failure = { class: "Stopped", message: "it had not happened, and was not run again" }

/** What follows when it was found out, other than that it happened. */
export const found = (
  knows: Knows,
  step: OpenStep,
  reconciled: Exclude<Reconciled, "happened">,
  startedAt: number,
  stopping: boolean,
  now: number
): Entry => {
  const at = { step: step.step, attempt: step.attempt, startedAt } as const
  if (reconciled === "unknown") {
    const next = { _tag: "AttemptFailed", ...at, failure: nobodyKnows, retryAt: now } as const
    return stopping ? inDoubt(step, reconciled) : unknown(knows, step, next, reconciled)
  }
  return stopping
    ? { _tag: "StepFailed", ...at, failure: notRunAgain }
    : { _tag: "AttemptFailed", ...at, failure: notHappened, retryAt: now, nextInput: "original", reconciled }
}

/** The same, unless another attempt would come after the time that the step has: it has failed then. */
export const inTime = (knows: Knows, step: OpenStep, entry: Entry): Entry => {
  if (entry._tag !== "AttemptFailed" || isAsked(step) || entry.nextInput === "reconcile") return entry
  const totalMs = knows.totalMs?.(step.kind, step.name) ?? Number.POSITIVE_INFINITY
  if (entry.retryAt < (step.since ?? entry.retryAt) + totalMs) return entry
  const { attempt, decided, failure, startedAt, usage } = entry
  return {
    _tag: "StepFailed",
    step: step.step,
    attempt,
    startedAt,
    failure: {
      class: "TimedOut",
      code: "total",
      message: `"${step.name}" has used up its ${totalMs} ms, all attempts together; the last one failed: ${failure.message}`
    },
    ...(usage === undefined ? {} : { usage }),
    ...(decided === undefined ? {} : { decided })
  }
}
