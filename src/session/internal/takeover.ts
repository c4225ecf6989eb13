/** What a runner that takes a session over does with what it finds open (I5). Pure. */
import type { Entry } from "../../domain/Entry.ts"
import type { Failure } from "../../domain/Failure.ts"
import type { Policy } from "../../resilience/index.ts"
import type { OpenStep, SessionState } from "../State.ts"
import { doubted, inTime, isAsked, type Knows } from "./doubted.ts"
import { judged } from "./judged.ts"

/**
 * What a runner that takes over finds open: attempts that were running when the last one died (I5). The policy bounds how
 * often: a step that kills its runner each time must not do so for ever. A step that waits for its next attempt keeps
 * waiting until then, under a new number where it may be repeated: no two attempts are the same one.
 */
export const recover = (
  state: SessionState,
  now: number,
  policy: Policy.Judge,
  knows: Knows = {}
): ReadonlyArray<Entry> =>
  Object.values(state.open).flatMap((step): ReadonlyArray<Entry> => {
    // Whoever decides has not: it runs nowhere.
    if (step.held === true) return []
    // The child is asked for again, by whoever takes it over: to be stopped, where it is.
    if (step.reserved !== undefined) return [again(step, now)]
    // The clock of whoever wrote last may have been ahead of ours: what was due by that one may have begun.
    const isWaiting = step.attempt > 1 && step.begun !== true && step.dueAt > Math.max(now, state.updatedAt)
    if (isWaiting) return renumbered(step, now)
    return [interrupted(step, state.turn?.stopping != null, now, policy, knows)]
  })

/** By the clock of a runner that was ahead of ours it may have begun all the same. One that may not be repeated had said so. */
const renumbered = (step: OpenStep, now: number): ReadonlyArray<Entry> =>
  step.repeatable === "never" && !isAsked(step)
    ? []
    : [
        {
          _tag: "AttemptFailed",
          step: step.step,
          attempt: step.attempt,
          startedAt: now,
          failure: { class: "RunnerLost", message: "the runner was lost while this attempt waited for its time" },
          retryAt: step.dueAt,
          nextInput: step.nextInput
        }
      ]

const again = (step: OpenStep, now: number): Entry => ({
  _tag: "AttemptFailed",
  step: step.step,
  attempt: step.attempt,
  startedAt: step.dueAt,
  failure: lost,
  retryAt: now,
  nextInput: "original"
})

const lost: Failure = { class: "RunnerLost", message: "the runner died while this attempt was running" }

const interrupted = (step: OpenStep, stopping: boolean, now: number, policy: Policy.Judge, knows: Knows): Entry => {
  if (step.repeatable === "never") return doubted(knows, step, lost, step.dueAt, stopping, now)
  const failed = { failure: lost, partial: step.partial, usage: undefined, random: 0, startedAt: step.dueAt }
  return inTime(knows, step, judged(policy, step, failed, stopping, now))
}
