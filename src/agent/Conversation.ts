/**
 * The loop of an agent as data: model → tool calls → … until the model stops.
 *
 * Pure: `evolve` folds what happened into the conversation, `decide` says what comes next. The plan *is* `decide`: nothing
 * is replayed, so a changed prompt, tool or model never breaks a conversation in flight.
 */
import type { Cut, Entry, Noted, Send } from "../domain/Entry.ts"
import type { Failure } from "../domain/Failure.ts"
import type { StepId } from "../domain/Id.ts"
import type { Json } from "../domain/Json.ts"
import type { AssistantPart, Message, UserPart } from "../domain/Message.ts"
import { State } from "../session/index.ts"
import type { CompactOutput, ModelInput, ModelOutput, ToolInput, ToolOutput } from "./internal/journaled.ts"
import * as Pages from "./internal/pages.ts"
import { type Compacting, failed, notCompacting, shortened } from "./internal/shortening.ts"
import * as ReadMore from "./internal/readMore.ts"
import * as Told from "./internal/told.ts"
import * as Compaction from "./Compaction.ts"
import * as Loops from "./Loops.ts"

export type { CompactOutput, ModelInput, ModelOutput, ToolInput, ToolOutput } from "./internal/journaled.ts"
export { decide, type Options } from "./internal/plan.ts"

/** The version of {@link Conversation}'s shape. */
export const stateVersion = 6

/** A tool call of the last answer. */
export interface Call {
  readonly callId: string
  readonly name: string
  readonly params: Json
  /** The step that runs it, once it is intended. */
  readonly step: StepId | null
  readonly result: { readonly value: Json; readonly isError: boolean } | null
}

/** A conversation, plain JSON. */
export interface Conversation {
  readonly messages: Pages.Pages<Message>
  /** Messages that were accepted and whose turn has not begun. */
  readonly pending: Readonly<Record<string, ReadonlyArray<UserPart>>>
  /** Policies that they name, and the one that the running turn's message does. */
  readonly policies?: Readonly<Record<string, string>> | undefined
  readonly policy?: string | undefined
  /** Calls of the last answer while some have no result; `null` otherwise. */
  readonly calls: ReadonlyArray<Call> | null
  /** Why the model could not answer. */
  readonly failure: Failure | null
  /** What the model was shown a part of and may read on in. */
  readonly refs: ReadMore.Refs
  /** Calls of which nobody knows what became, in a word, by step; the last ones. */
  readonly doubted: Readonly<Record<string, string>>
  /** What became of such calls: the model is told with the next results, or with the next message. */
  readonly news: ReadonlyArray<string>
  readonly loops: Loops.Memory
  /** About how many tokens it has: as the last answer's usage says, and an estimate for what came since. */
  readonly size: number
  /** The model that answered last, as the provider names it. */
  readonly model: string | null
  readonly compaction: Compacting
  /** The turn's next answer is its last: whatever it says, the turn ends. */
  readonly final: boolean
  /** The last answer was cut off. */
  readonly cut?: Cut | undefined
}

export const initial: Conversation = {
  messages: [],
  pending: {},
  calls: null,
  failure: null,
  refs: {},
  doubted: {},
  news: [],
  loops: Loops.empty,
  size: 0,
  model: null,
  compaction: notCompacting,
  final: false
}

const callsOf = (parts: ReadonlyArray<AssistantPart>): ReadonlyArray<Call> =>
  parts.flatMap((part) =>
    part.type !== "tool-call" || part.providerExecuted === true
      ? []
      : [
          {
            callId: part.id,
            name: part.name,
            params: part.params,
            step: null,
            result: part.invalid === undefined ? null : { value: part.invalid, isError: true }
          }
        ]
  )

const append = (state: Conversation, message: Message): Conversation => ({
  ...state,
  messages: Pages.append(state.messages, message),
  size: state.size + Compaction.tokensOf(message)
})

/** What the runtime tells the model. */
const noted = (state: Conversation, note: string, text: string): Conversation =>
  append(state, { role: "user", parts: [{ type: "text", text }], note })

/** When every call has its result, the results become messages, in the order of the calls. */
const settle = (state: Conversation): Conversation => {
  const { calls } = state
  if (calls?.every((call) => call.result !== null) !== true) return state
  const called = calls.map(({ name, params, result }) => ({
    name,
    params,
    result: result!.value,
    isError: result!.isError
  }))
  return withNews(
    calls.reduce<Conversation>(
      (state, { callId, name, result }) =>
        append(state, { role: "tool", callId, name, result: result!.value, isError: result!.isError }),
      { ...state, calls: null, loops: Loops.push(state.loops, called) }
    )
  )
}

/** Where the model can be told something: not between a call and its result. */
const withNews = (state: Conversation): Conversation =>
  state.news.reduce<Conversation>((state, text) => noted(state, "doubt", text), { ...state, news: [] })

/** How many calls in doubt are remembered. */
const mostDoubted = 100

const doubted = (state: Conversation, step: StepId): Conversation => {
  const call = state.calls?.find(isCall(step))
  if (call === undefined) return state
  const all = [...Object.entries(state.doubted), [step, Told.label(call.name, call.params)] as const]
  return { ...state, doubted: Object.fromEntries(all.slice(-mostDoubted)) }
}

const answer = (state: Conversation, match: (call: Call) => boolean, result: Call["result"]): Conversation =>
  settle({
    ...state,
    calls: state.calls?.map((call) => (call.result === null && match(call) ? { ...call, result } : call)) ?? null
  })

const isCall = (step: StepId) => (call: Call) => call.step === step
const runs = (state: Conversation, step: StepId) => state.calls?.some(isCall(step)) === true

const tooLate = { value: "The call was not run: the turn had to come to its end.", isError: true } as const

/** A note of the runtime's: some of them are for the model. */
const told = (state: Conversation, { detail, kind }: Noted): Conversation => {
  if (kind === "loop") {
    const loop = detail as unknown as Loops.Verdict
    if (loop.action !== "nudge") return state
    return noted({ ...state, loops: Loops.told(state.loops, loop.nudges) }, kind, Loops.nudge(loop))
  }
  if (kind !== State.lastWords) return state
  const { final } = detail as { readonly final?: boolean }
  return noted({ ...state, final: final === true }, kind, final === true ? Told.final : Told.conclude)
}

/** With the policy that the message of a turn names, and no other. */
const policyOf = (state: Conversation, command: string): Conversation => {
  if (state.policies === undefined) return state
  const { policies, policy: _, ...rest } = state
  const { [command]: policy, ...others } = policies
  return { ...rest, policies: others, ...(policy === undefined ? {} : { policy }) }
}

const waits = (state: Conversation, id: string, { parts, policy }: Send): Conversation => ({
  ...state,
  pending: { ...state.pending, [id]: parts },
  ...(policy === undefined ? {} : { policies: { ...state.policies, [id]: policy } })
})

export const evolve = (state: Conversation, entry: Entry): Conversation => {
  switch (entry._tag) {
    case "CommandAccepted":
      return entry.command._tag === "Send" ? waits(state, entry.id, entry.command) : state
    case "TurnStarted": {
      const { [entry.command]: parts, ...pending } = state.pending
      const next = withNews({ ...policyOf(state, entry.command), pending, loops: Loops.empty, final: false })
      return append(next, { role: "user", parts: parts ?? [] })
    }
    case "StepIntended": {
      if (entry.kind !== "tool") {
        const compact = (entry.input as unknown as ModelInput | null)?.compact
        if (compact === undefined) return state
        return { ...state, failure: null, compaction: { ...state.compaction, step: entry.step, at: compact } }
      }
      const { callId } = entry.input as unknown as ToolInput
      // The first that waits: careless providers give several calls of one answer the same id, or none.
      const next = state.calls?.findIndex(
        (call) => call.callId === callId && call.step === null && call.result === null
      )
      return {
        ...state,
        calls: state.calls?.map((call, i) => (i === next ? { ...call, step: entry.step } : call)) ?? null
      }
    }
    case "StepSucceeded": {
      if (runs(state, entry.step)) {
        const { isError, result } = entry.output as unknown as ToolOutput
        const seen = { ...state, refs: ReadMore.withResult(state.refs, result) }
        return answer(seen, isCall(entry.step), { value: result, isError })
      }
      if (entry.step === state.compaction.step) return shortened(state, entry.output as unknown as CompactOutput)
      const { finish, model, parts } = entry.output as unknown as ModelOutput
      const calls = callsOf(parts).map((call) => (state.final ? { ...call, result: tooLate } : call))
      const { cut: _, ...before } = state
      const cut = finish === "length" ? ({ cut: finish } as const) : {}
      const answered = append({ ...before, ...cut, model, compaction: notCompacting }, { role: "assistant", parts })
      return settle({
        ...answered,
        size: entry.usage === undefined ? answered.size : entry.usage.inputTokens + entry.usage.outputTokens,
        calls: calls.length === 0 ? null : calls
      })
    }
    case "StepFailed":
      return runs(state, entry.step)
        ? answer(state, isCall(entry.step), { value: Told.ofFailure(entry.failure), isError: true })
        : failed(state, entry)
    case "StepInDoubt":
      return answer(doubted(state, entry.step), isCall(entry.step), { value: Told.inDoubt, isError: true })
    case "DoubtSettled": {
      const { [entry.step]: call, ...rest } = state.doubted
      return call === undefined
        ? state
        : { ...state, doubted: rest, news: [...state.news, Told.ofSettled(call, entry)] }
    }
    case "Noted":
      return told(state, entry)
    case "Resumed":
      // Whoever lets it go on has seen why it stopped.
      return entry.decision === "end"
        ? state
        : { ...state, loops: Loops.empty, failure: state.failure?.class === "Stopped" ? null : state.failure }
    case "TurnEnded":
      return {
        ...answer(state, () => true, { value: "The call was not run: the turn ended before it.", isError: true }),
        failure: null,
        final: false,
        compaction: notCompacting
      }
    default:
      return state
  }
}
