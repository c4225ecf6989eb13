/** Whether a failed attempt may be followed by another: not where it has used up the budget (I8). Pure. */
import type { Entry } from "../../domain/Entry.ts"
import type { Behaviour } from "../Behaviour.ts"
import * as Budget from "../Budget.ts"
import { evolve, type SessionState } from "../State.ts"

const none = { steps: 0, modelCalls: 0, toolCalls: 0 }

/** The entry of an attempt's end; the end of its step, where there is nothing left for another attempt. */
export const afford = (behaviour: Behaviour, state: SessionState, now: number, entry: Entry): Entry => {
  if (entry._tag !== "AttemptFailed" || entry.usage === undefined || state.turn === null) return entry
  const after = evolve(behaviour, state, now, entry)
  const accounts = Budget.accounts(after, after.turn!, behaviour.limits, behaviour.bounds, now)
  const over = Budget.met(accounts, none)
  // That time is up is the timer's to say.
  if (over === null || over.limit === "wall") return entry
  const { attempt, failure, startedAt, step, usage } = entry
  return {
    _tag: "StepFailed",
    step,
    attempt,
    startedAt,
    failure: {
      class: "Stopped",
      message: `not tried again: the budget of ${over.limit} is used up. It had failed: ${failure.class}: ${failure.message}`
    },
    usage
  }
}
