/**
 * Which part of a conversation is summarised when it becomes too long for its model. Pure.
 *
 * ```
 * before:  m1 m2 m3 … mi │ mi+1 … mn        a model step summarises m1 … mi
 * after:   summary, the latest message of a person, mi+1 … mn
 * ```
 *
 * What was said stays in the journal. The system prompt stays as it is, the recent tail is kept word by word, and a call is
 * never parted from its results.
 */
import type { Json } from "../domain/Json.ts"
import type { Message } from "../domain/Message.ts"
import { parse } from "../domain/Claim.ts"
import { flawOfKeys, refuse } from "./internal/given.ts"

/** What an agent says of compaction. */
export interface Options {
  /** How much the model can be given, in tokens; known of well-known models. */
  readonly window?: number | undefined
  /** From which part of the window on, in (0, 1]. 0.8 unless told. */
  readonly at?: number | undefined
  /** The part of the window that the tail may have which is kept word by word, in [0, 1). 0.2 unless told. */
  readonly keep?: number | undefined
  /** The model that summarises, by its name in `Models.layer`; the agent's own unless told. */
  readonly model?: string | undefined
}

export interface Settings {
  readonly window: number | null
  readonly at: number
  readonly keep: number
  readonly model: string | undefined
}

/** @throws where a number cannot work: a definition fails where it is written */
export const resolve = (agent: string, options: Options | false | undefined): Settings | null => {
  if (options === false) return null
  refuse(agent, [flawOfKeys("compaction", options, ["window", "at", "keep", "model"])])
  const { at = 0.8, keep = 0.2, model, window = null } = options ?? {}
  const wrong = (what: string) => new Error(`agent "${agent}": compaction.${what}`)
  if (!(at > 0 && at <= 1)) throw wrong(`at must be above 0 and at most 1, not ${at}`)
  if (!(keep >= 0 && keep < at)) throw wrong(`keep must be from 0 to less than \`at\`, not ${keep}`)
  if (window !== null && !(window >= 100)) throw wrong(`window must be a number of tokens from 100 on, not ${window}`)
  return { window, at, keep, model }
}

/** Of a claim the model sees its head and tail. */
const shownOf = (value: Json): number => {
  if (typeof value === "string") return Math.min(value.length, parse(value) === null ? value.length : 8_192)
  if (typeof value !== "object" || value === null) return 5
  if (Array.isArray(value)) return (value as ReadonlyArray<Json>).reduce<number>((sum, one) => sum + shownOf(one), 2)
  return Object.entries(value).reduce((sum, [key, one]) => sum + key.length + 4 + shownOf(one as Json), 2)
}

/** About how many tokens a message has: four characters each, which is what providers give as a rule of thumb. */
export const tokensOf = (message: Message): number => Math.ceil(shownOf(message as unknown as Json) / 4)

/** A message of a person, and not a note of the runtime's. */
export const isPersons = (message: Message): boolean => message.role === "user" && message.note === undefined

/** A tail may begin here: no result that is behind it belongs to a call that is before it. */
const mayBegin = (message: Message | undefined): boolean => message !== undefined && message.role !== "tool"

/**
 * Before which message to cut: the longest tail of at most `keep` tokens, and at least the last message that a tail may
 * begin with. `null` where what is before it has fewer than `worth` tokens, or is nothing but a summary.
 *
 * @param most cut no later than before this one: the summary's own request must fit, too
 */
export const cut = (
  messages: ReadonlyArray<Message>,
  keep: number,
  worth: number,
  most: number = messages.length
): number | null => {
  let at = messages.length
  let kept = 0
  for (let i = messages.length - 1; i > 0; i--) {
    kept += tokensOf(messages[i]!)
    if (kept > keep && at < messages.length) break
    if (mayBegin(messages[i])) at = i
  }
  while (at > most) at--
  while (at > 0 && !mayBegin(messages[at])) at--
  const before = messages.slice(0, at)
  // A summary, and the message that stood behind the last one, are there already.
  const fresh = before.filter((message) => !(message.role === "user" && message.note === "summary"))
  const isJustKept = fresh.length === 0 || (fresh.length === 1 && isPersons(fresh[0]!))
  if (isJustKept) return null
  return fresh.reduce((sum, message) => sum + tokensOf(message), 0) < worth ? null : at
}

/** The conversation after it. */
export const compacted = (messages: ReadonlyArray<Message>, at: number, summary: string): ReadonlyArray<Message> => {
  const latest = messages.findLastIndex(isPersons)
  return [
    {
      role: "user",
      parts: [
        { type: "text", text: heading },
        { type: "text", text: summary }
      ],
      note: "summary"
    },
    ...(latest >= 0 && latest < at ? [messages[latest]!] : []),
    ...messages.slice(at)
  ]
}

const heading = "[Note from the runtime] What was said before, in summary, to make room:"

/** What the model is told to do. */
export const task: Message = {
  role: "user",
  parts: [
    {
      type: "text",
      text: "[Note from the runtime] The conversation is about to become too long for you. Write a summary of all of it up to here, from which you can go on as if you had it before you: what is wanted, by whom, and under which conditions; what was done and found out, with exact names, numbers, ids, paths and results; decisions and their reasons; what is still open, and what you were about to do. Call no tools. Answer with the summary only."
    }
  ],
  note: "task"
}
