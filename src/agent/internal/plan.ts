/** What an agent does next, by its conversation. Pure. */
import { mostTries } from "./shortening.ts"
import type { Amounts, Repeatable } from "../../domain/Entry.ts"
import type { Failure } from "../../domain/Failure.ts"
import { textOf } from "../../domain/Message.ts"
import { Windows } from "../../model/index.ts"
import type { Action, SessionState } from "../../session/index.ts"
import * as Compaction from "../Compaction.ts"
import type { Call, Conversation } from "../Conversation.ts"
import * as Loops from "../Loops.ts"
import * as Pages from "./pages.ts"

/** What an agent's definition says of its loop. */
export interface Options {
  readonly loops: Loops.Settings | null
  readonly compaction: Compaction.Settings | null
  /** Of a tool that is another agent: the most that one call of it may use. */
  readonly shareOf: (tool: string) => Amounts | undefined
}

const plain: Options = { loops: Loops.defaults, compaction: null, shareOf: () => undefined }

const toolSteps = (
  calls: ReadonlyArray<Call>,
  repeatable: (tool: string) => Repeatable,
  shareOf: Options["shareOf"]
): ReadonlyArray<Action> =>
  calls
    .filter((call) => call.step === null && call.result === null)
    .map((call) => {
      const share = shareOf(call.name)
      return {
        _tag: "Step",
        kind: "tool",
        name: call.name,
        input: { callId: call.callId, params: call.params },
        repeatable: share === undefined ? repeatable(call.name) : "idempotent",
        ...(share === undefined ? {} : { share })
      }
    })

/** Whether the last round was of tools only that may be called again and again. */
const isIgnored = ({ messages }: Conversation, ignore: ReadonlySet<string>): boolean => {
  for (let i = Pages.length(messages) - 1; ignore.size > 0 && i >= 0; i--) {
    const message = Pages.at(messages, i)!
    if (message.role !== "tool") return i < Pages.length(messages) - 1
    if (!ignore.has(message.name)) return false
  }
  return false
}

/** What is to be done about a loop, if there is one. */
const loopAction = (state: Conversation, settings: Loops.Settings | null): Action | null => {
  const verdict = settings === null ? null : Loops.judge(state.loops, settings)
  if (verdict === null || isIgnored(state, settings!.ignore)) return null
  const { loop, rounds } = verdict
  const detail = { ...verdict }
  return verdict.action === "nudge"
    ? { _tag: "Note", kind: "loop", detail }
    : { _tag: "Halt", kind: "loop", detail, outcome: { _tag: "Looped", loop, rounds }, ask: verdict.action === "ask" }
}

const tooLong: Failure = {
  class: "ContextOverflow",
  message:
    "the conversation does not fit the model, and could not be made short enough: what must be kept of it is too long",
  code: "not_compactable"
}

const inputOf = (state: Conversation, compact?: number) => ({
  messages: Pages.length(state.messages),
  ...(compact === undefined ? {} : { compact }),
  ...(state.policy === undefined ? {} : { policy: state.policy })
})

/** Makes the conversation shorter, where that is due; or says that it cannot be. */
const compactAction = (state: Conversation, settings: Compaction.Settings | null): Action | null => {
  if (settings === null) return null
  const { due, overflows, shrunk } = state.compaction
  const window = settings.window ?? Windows.of(state.model)
  const nears = window !== null && state.size >= settings.at * window
  if (!due && !nears) return null
  const messages = Pages.toArray(state.messages)
  const size = Math.min(window ?? Number.POSITIVE_INFINITY, state.size)
  // What did not fit although it should have: each time less of it is kept.
  const keep = settings.keep * size * 0.25 ** Math.max(0, overflows - 1)
  const at = overflows > mostTries ? null : Compaction.cut(messages, keep, due ? 1 : 0.1 * size)
  const less = at === null || shrunk === 0 ? at : Compaction.cut(messages, keep, 1, Math.floor(at / 2 ** shrunk))
  if (less !== null) {
    return {
      _tag: "Step",
      kind: "model",
      name: "compact",
      input: inputOf(state, less),
      repeatable: "readonly"
    }
  }
  return due ? { _tag: "FailTurn", failure: tooLong } : null
}

/** What the agent does now; nothing while its steps are open. */
export const decide =
  (repeatable: (tool: string) => Repeatable, { compaction, loops, shareOf }: Options = plain) =>
  (state: Conversation, session: SessionState<Conversation>): ReadonlyArray<Action> => {
    if (state.failure !== null && (compaction === null || !state.compaction.due)) {
      return [{ _tag: "FailTurn", failure: state.failure }]
    }
    if (state.calls !== null) return toolSteps(state.calls, repeatable, shareOf)
    for (const id in session.open) if (session.open[id]!.kind === "model") return []
    const last = Pages.last(state.messages)
    if (last?.role === "assistant" && state.failure === null) return [endTurn(state, textOf(last.parts))]
    if (state.final && last?.role === "tool") return [endTurn(state, lastText(state))]
    const first = loopAction(state, loops) ?? compactAction(state, compaction)
    return [
      first ?? {
        _tag: "Step",
        kind: "model",
        name: session.agent,
        input: inputOf(state),
        repeatable: "readonly"
      }
    ]
  }

const endTurn = ({ cut }: Conversation, output: string): Action => ({
  _tag: "EndTurn",
  output,
  ...(cut === undefined ? {} : { cut })
})

/** What the model said last. */
const lastText = ({ messages }: Conversation): string => {
  for (let i = Pages.length(messages) - 1; i >= 0; i--) {
    const message = Pages.at(messages, i)!
    if (message.role === "assistant") return textOf(message.parts)
  }
  return ""
}
