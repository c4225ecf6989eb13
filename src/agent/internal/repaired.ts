/** The prompt of an attempt that is told what was wrong with the one before. Pure. */
import type { Message } from "../../domain/Message.ts"
import type { OpenStep } from "../../session/index.ts"

/** Not journaled as a message: it is about an answer that nobody has seen. */
const note = (problem: string): Message => ({
  role: "user",
  parts: [
    {
      type: "text",
      text: `Your last answer could not be used: ${problem}. Nobody has seen it. Answer again, in a way that avoids this; do not mention it.`
    }
  ]
})

/** The conversation, with a word about the failure where the next attempt is to be repaired. */
export const repaired = (step: OpenStep, messages: ReadonlyArray<Message>): ReadonlyArray<Message> =>
  step.nextInput === "repaired" && step.why !== undefined ? [...messages, note(step.why.failure.message)] : messages
