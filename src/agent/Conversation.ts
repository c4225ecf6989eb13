/**
 * The loop of an agent as data: model → tool calls → … until the model stops.
 *
 * Pure: `evolve` folds what happened into the conversation, `decide` says what comes next. The plan *is* `decide`: nothing
 * is replayed, so a changed prompt, tool or model never breaks a conversation in flight.
 */
import type { Entry, Repeatable } from "../domain/Entry.ts"
import type { Failure } from "../domain/Failure.ts"
import type { StepId } from "../domain/Id.ts"
import type { Json } from "../domain/Json.ts"
import { type AssistantPart, type Message, textOf, type UserPart } from "../domain/Message.ts"
import type { Action, SessionState } from "../session/index.ts"
import * as Pages from "./internal/pages.ts"
import * as ReadMore from "./internal/readMore.ts"

/** The version of {@link Conversation}'s shape. */
export const stateVersion = 3

/** A tool call of the last answer. */
interface Call {
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
  /** Calls of the last answer while some have no result; `null` otherwise. */
  readonly calls: ReadonlyArray<Call> | null
  /** Why the model could not answer. */
  readonly failure: Failure | null
  /** What the model was shown a part of and may read on in. */
  readonly refs: ReadMore.Refs
}

export const initial: Conversation = { messages: [], pending: {}, calls: null, failure: null, refs: {} }

/** What a model step puts into the journal. */
export interface ModelOutput {
  readonly parts: ReadonlyArray<AssistantPart>
  readonly finish: string
  readonly model: string | null
  readonly provider: string | null
}

/** What a tool step is given, as journaled. `params` are encoded. */
export interface ToolInput {
  readonly callId: string
  readonly params: Json
}

/** What a tool step puts into the journal: the encoded result, as the model is given it. */
export interface ToolOutput {
  readonly result: Json
  readonly isError: boolean
  /** The transform that made the result of what the tool had returned, `original`; or why it could not. */
  readonly transform?:
    | { readonly name: string; readonly original: Json }
    | { readonly name: string; readonly failed: string }
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

/** When every call has its result, the results become messages, in the order of the calls. */
const settle = (state: Conversation): Conversation =>
  state.calls?.every((call) => call.result !== null) !== true
    ? state
    : {
        ...state,
        calls: null,
        messages: state.calls.reduce<Conversation["messages"]>(
          (messages, call) =>
            Pages.append(messages, {
              role: "tool",
              callId: call.callId,
              name: call.name,
              result: call.result!.value,
              isError: call.result!.isError
            }),
          state.messages
        )
      }

const answer = (state: Conversation, match: (call: Call) => boolean, result: Call["result"]): Conversation =>
  settle({
    ...state,
    calls: state.calls?.map((call) => (call.result === null && match(call) ? { ...call, result } : call)) ?? null
  })

const toldOf = (failure: Failure): string => {
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

const inDoubt =
  "The outcome of this call is unknown: the process that ran it died. It may or may not have had its effect, and it was not repeated. Find out what happened before you call it again."

const isCall = (step: StepId) => (call: Call) => call.step === step
const runs = (state: Conversation, step: StepId) => state.calls?.some(isCall(step)) === true

export const evolve = (state: Conversation, entry: Entry): Conversation => {
  switch (entry._tag) {
    case "CommandAccepted":
      return entry.command._tag === "Send"
        ? { ...state, pending: { ...state.pending, [entry.id]: entry.command.parts } }
        : state
    case "TurnStarted": {
      const { [entry.command]: parts, ...pending } = state.pending
      return { ...state, pending, messages: Pages.append(state.messages, { role: "user", parts: parts ?? [] }) }
    }
    case "StepIntended": {
      if (entry.kind !== "tool") return state
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
      const { parts } = entry.output as unknown as ModelOutput
      const calls = callsOf(parts)
      return settle({
        ...state,
        messages: Pages.append(state.messages, { role: "assistant", parts }),
        calls: calls.length === 0 ? null : calls
      })
    }
    case "StepFailed":
      return runs(state, entry.step)
        ? answer(state, isCall(entry.step), { value: toldOf(entry.failure), isError: true })
        : { ...state, failure: entry.failure }
    case "StepInDoubt":
      return answer(state, isCall(entry.step), { value: inDoubt, isError: true })
    case "TurnEnded":
      return {
        ...answer(state, () => true, { value: "The call was not run: the turn ended before it.", isError: true }),
        failure: null
      }
    default:
      return state
  }
}

/** What the agent does now; nothing while its steps are open. */
export const decide =
  (repeatable: (tool: string) => Repeatable) =>
  (state: Conversation, session: SessionState<Conversation>): ReadonlyArray<Action> => {
    if (state.failure !== null) return [{ _tag: "FailTurn", failure: state.failure }]
    if (state.calls !== null) {
      return state.calls
        .filter((call) => call.step === null && call.result === null)
        .map((call) => ({
          _tag: "Step",
          kind: "tool",
          name: call.name,
          input: { callId: call.callId, params: call.params },
          repeatable: repeatable(call.name)
        }))
    }
    for (const id in session.open) if (session.open[id]!.kind === "model") return []
    const last = Pages.last(state.messages)
    return last?.role === "assistant"
      ? [{ _tag: "EndTurn", output: textOf(last.parts) }]
      : [
          {
            _tag: "Step",
            kind: "model",
            name: session.agent,
            input: { messages: Pages.length(state.messages) },
            repeatable: "readonly"
          }
        ]
  }
