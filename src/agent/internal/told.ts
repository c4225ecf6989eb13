/** What the model is told of calls that did not simply succeed. Pure. */
import { Claim } from "../../blob/index.ts"
import type { DoubtSettled } from "../../domain/Entry.ts"
import type { Failure } from "../../domain/Failure.ts"
import type { Json } from "../../domain/Json.ts"

export const ofFailure = (failure: Failure): string => {
  switch (failure.class) {
    case "Stopped":
      return "The call was stopped before it was done. It may have had an effect."
    case "ToolFailed":
      return failure.message
    case "TimedOut":
      return `The call took too long and was stopped: ${failure.message}`
    default:
      return `The call failed: ${failure.message}`
  }
}

export const inDoubt =
  "The outcome of this call is unknown: the process that ran it died. It may or may not have had its effect, and it was not repeated. Find out what happened before you call it again."

/** How much of a call's arguments names it. */
const mostChars = 300

/** A call in a word: several of one tool may be in doubt. */
export const label = (name: string, params: Json): string =>
  `${name}(${JSON.stringify(Claim.preview(params)).slice(0, mostChars)})`

/** What became of a call that was in doubt, now that somebody knows. */
export const ofSettled = (call: string, { result, verdict }: DoubtSettled): string => {
  const what =
    verdict === "did not happen"
      ? "It did not happen, and had no effect."
      : `It happened. Its result: ${JSON.stringify(Claim.preview(result ?? null))}`
  return `[Note from the runtime] It is known now what became of the call ${call}, whose outcome was unknown. ${what}`
}

/** What the model is told near the end of its budget, and before its last answer. */
export const conclude =
  "[Note from the runtime] The budget of this turn is nearly used up. Conclude now: answer with what you have, and say what is missing. Call further tools only if you cannot answer without them."
export const final =
  "[Note from the runtime] The budget of this turn is used up but for this one answer, which is your last. Call no tools. Answer with what you have, and say what is missing."
