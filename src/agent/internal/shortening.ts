/** How a conversation that does not fit its model becomes shorter, step by step. Pure. */
import type { StepFailed } from "../../domain/Entry.ts"
import type { StepId } from "../../domain/Id.ts"
import type { Message } from "../../domain/Message.ts"
import * as Compaction from "../Compaction.ts"
import type { CompactOutput, Conversation } from "../Conversation.ts"
import * as Pages from "./pages.ts"

/** How the conversation is being made shorter. */
export interface Compacting {
  /** The step that does it. */
  readonly step: StepId | null
  /** Before which message it cuts. */
  readonly at: number
  /** The conversation did not fit, and is not shorter yet. */
  readonly due: boolean
  /** How often it did not fit since the model answered last. */
  readonly overflows: number
  /** How often what was to be summarised did not fit. */
  readonly shrunk: number
}

export const notCompacting: Compacting = { step: null, at: 0, due: false, overflows: 0, shrunk: 0 }

/** How often a conversation is made shorter because it did not fit, and how often less of it is summarised at a time. */
export const mostTries = 3

/** A model step has failed: what did not fit is made shorter, or less of it at a time. */
export const failed = (state: Conversation, { decided, failure, step }: StepFailed): Conversation => {
  const { compaction } = state
  const isOverflow = failure.class === "ContextOverflow" && (decided === undefined || decided.plan === "compact")
  if (step === compaction.step) {
    return isOverflow && compaction.shrunk < mostTries
      ? { ...state, compaction: { ...compaction, step: null, due: true, shrunk: compaction.shrunk + 1 } }
      : { ...state, failure, compaction: { ...compaction, step: null, due: false } }
  }
  return isOverflow
    ? { ...state, failure, compaction: { ...compaction, due: true, overflows: compaction.overflows + 1 } }
    : { ...state, failure }
}

/** The conversation with a summary of its first part. */
export const shortened = (state: Conversation, { summary }: CompactOutput): Conversation => {
  const before = Pages.toArray(state.messages)
  const after = Compaction.compacted(before, state.compaction.at, summary)
  const sum = (messages: ReadonlyArray<Message>) =>
    messages.reduce((sum, message) => sum + Compaction.tokensOf(message), 0)
  return {
    ...state,
    messages: Pages.from(after),
    // What is no message (instructions, tools) stays as large as it was.
    size: sum(after) + Math.max(0, state.size - sum(before)),
    compaction: { ...state.compaction, step: null, due: false, shrunk: 0 }
  }
}
