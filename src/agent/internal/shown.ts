/** A conversation as the model is shown it. */
import { Effect } from "effect"
import { Claim } from "../../blob/index.ts"
import type { Namespace } from "../../domain/Id.ts"
import type { Json } from "../../domain/Json.ts"
import type { Message } from "../../domain/Message.ts"
import type { Conversation } from "../Conversation.ts"
import * as Pages from "./pages.ts"

/** How much of a result that is not shown whole is shown, by tool. */
type ShownOf = (tool: string) => Claim.Preview

/**
 * A conversation as the model sees it: claimed text in full, a tool's large output as its head and tail. It grows at its
 * end, so that each call only looks at what is new, however long the conversation is.
 */
interface Shown {
  readonly messages: Array<Message>
  /** Which of them stand for content in the store: read anew for each call, never kept in memory. */
  readonly claimed: Array<number>
  /** How far it goes, and the message there: another one means another conversation. */
  last: Message | undefined
}

/** Of a shorter conversation nothing is kept: thousands of sessions may be at rest. */
const worthKeeping = 32

/** By first message: the one thing of a conversation that stays the same object while it grows. */
const shownByFirst = new WeakMap<Message, Shown>()

const show = (messages: Conversation["messages"], shownOf: ShownOf): Shown => {
  const first = Pages.at(messages, 0)
  let shown = first === undefined ? undefined : shownByFirst.get(first)
  if (
    shown === undefined ||
    (shown.messages.length > 0 && Pages.at(messages, shown.messages.length - 1) !== shown.last)
  ) {
    shown = { messages: [], claimed: [], last: undefined }
    if (first !== undefined && Pages.length(messages) >= worthKeeping) shownByFirst.set(first, shown)
  }
  for (let i = shown.messages.length; i < Pages.length(messages); i++) {
    const message = Pages.at(messages, i)!
    if (message.role === "tool") {
      const result = Claim.preview(message.result, shownOf(message.name))
      shown.messages.push(result === message.result ? message : { ...message, result })
    } else {
      if (Claim.hasClaim(message as unknown as Json)) shown.claimed.push(i)
      shown.messages.push(message)
    }
    shown.last = message
  }
  return shown
}

/**
 * Content that is gone is shown by what its claim kept of it, and says how much is missing: a conversation that could
 * never be asked about again would be a dead session (I13).
 */
const readable = (namespace: Namespace, message: Json) =>
  Claim.resolve(namespace, message).pipe(
    Effect.catchTag("BlobMissing", (error) =>
      Effect.as(Effect.logWarning(`a message is shown to the model in part: ${error.message}`), Claim.preview(message))
    )
  )

/** All of it, claims of what people and models said in full. */
export const resolve = (namespace: Namespace, messages: Conversation["messages"], shownOf: ShownOf) =>
  Effect.suspend(() => {
    const shown = show(messages, shownOf)
    if (shown.claimed.length === 0) return Effect.succeed<ReadonlyArray<Message>>(shown.messages)
    const whole = [...shown.messages]
    return Effect.forEach(
      shown.claimed,
      (i) =>
        Effect.map(readable(namespace, whole[i] as unknown as Json), (message) => {
          whole[i] = message as unknown as Message
        }),
      { discard: true }
    ).pipe(Effect.as<ReadonlyArray<Message>>(whole))
  })
