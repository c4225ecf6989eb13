/** What is measured: a bare behaviour and an agent, both of which take no time of their own and mark their steps. */
import { LanguageModel, Tool, Toolkit } from "@effect/ai"
import type * as Prompt from "@effect/ai/Prompt"
import { Context, Deferred, Effect, Layer, Schema, Stream } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Client, type Session } from "../../src/client/index.ts"
import { AgentName } from "../../src/domain/Id.ts"
import type { UserPart } from "../../src/domain/Message.ts"
import { Cursor } from "../../src/feed/index.ts"
import { Direct } from "../../src/model/index.ts"
import { Policy } from "../../src/resilience/index.ts"
import type { Behaviour } from "../../src/session/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"
import { now } from "./Stats.ts"

/** One turn that runs: when its steps began. */
interface Running {
  readonly steps: number
  readonly marks: Array<number>
  readonly last: Deferred.Deferred<void>
}

/** By session id. */
const turns = new Map<string, Running>()

const mark = (session: string): Running | undefined => {
  const turn = turns.get(session)
  if (turn === undefined) return undefined
  turn.marks.push(now())
  if (turn.marks.length === turn.steps) Deferred.unsafeDone(turn.last, Effect.void)
  return turn
}

/** Something whose turns have as many steps as their message says. */
export interface Subject {
  readonly name: string
  readonly agent: { readonly name: string; readonly version: string }
  readonly behaviour: Behaviour<any, never>
  /** What its steps need. */
  readonly services: Layer.Layer<never>
}

// --- A bare journaled step: 200 bytes of outcome, nothing else ---

interface Counter {
  readonly wanted: number
  readonly done: number
}

const result = "r".repeat(200)

const counting: Behaviour<Counter, never> = {
  agent: AgentName.make("bench-steps"),
  version: "1",
  stateVersion: 1,
  limits: {
    steps: Number.MAX_SAFE_INTEGER,
    modelCalls: 0,
    toolCalls: 0,
    tokens: Number.MAX_SAFE_INTEGER,
    usd: Number.MAX_SAFE_INTEGER,
    wallMs: Number.POSITIVE_INFINITY
  },
  initial: { wanted: 0, done: 0 },
  evolve: (state, entry) =>
    entry._tag === "CommandAccepted" && entry.command._tag === "Send"
      ? { ...state, wanted: state.wanted + Number((entry.command.parts[0] as UserPart & { text: string }).text) }
      : entry._tag === "StepSucceeded"
        ? { ...state, done: state.done + 1 }
        : state,
  decide: (state, session) => {
    for (const _ in session.open) return []
    return state.done < state.wanted
      ? [{ _tag: "Step", kind: "custom", name: "nothing", input: null, repeatable: "idempotent" }]
      : [{ _tag: "EndTurn", output: null }]
  },
  perform: (_step, _state, context) =>
    Effect.sync(() => {
      mark(context.key.session)
      return { output: result }
    }),
  policy: Policy.judge(Policy.toolDefault)
}

export const steps: Subject = {
  name: "journaled step",
  agent: { name: counting.agent, version: counting.version },
  behaviour: counting,
  services: Layer.empty
}

// --- An agent: one step is one model call or one tool call ---

const Look = Tool.make("look", {
  description: "Looks.",
  parameters: { session: Schema.String },
  success: Schema.String
}).annotate(Tool.Readonly, true)
const toolkit = Toolkit.make(Look)

const looker = Agent.make("bench-agent", {
  toolkit,
  // It makes the same call again and again, for as long as it is measured.
  loops: false,
  budget: { steps: 1e9, modelCalls: 1e9, toolCalls: 1e9, tokens: 1e15, usd: 1e9, wall: "1 day" }
})

/** The session's id is the text of its first message. */
const sessionOf = (prompt: Prompt.Prompt): string => {
  const first = prompt.content[0]
  const part = first?.role === "user" ? first.content[0] : undefined
  return part?.type === "text" ? part.text : ""
}

const answering = (prompt: Prompt.Prompt) => {
  const session = sessionOf(prompt)
  const turn = mark(session)
  return turn === undefined || turn.marks.length >= turn.steps
    ? ScriptedModel.text("done")
    : ScriptedModel.calls("look", { session })
}

/** Its parts go through `@effect/ai`'s schemas, as a real provider's do. */
const decoded = ScriptedModel.make(ScriptedModel.reply(answering))

const finish = { type: "finish", reason: "stop", usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 } } as const

/** Its parts come as they are, and it keeps none of its requests: it takes no time. */
const direct = Layer.map(decoded, (context) =>
  Context.make(
    LanguageModel.LanguageModel,
    Direct.attach(Context.get(context, LanguageModel.LanguageModel), (prompt) => {
      const { calls, text } = answering(prompt)
      const said = calls.map(({ name, params }, i) => ({
        type: "tool-call" as const,
        id: `${prompt.content.length}-${i}`,
        name,
        params,
        providerExecuted: false
      }))
      const spoken = [
        { type: "text-start" as const, id: "t" },
        { type: "text-delta" as const, id: "t", delta: text },
        { type: "text-end" as const, id: "t" }
      ]
      return [...(text === "" ? [] : spoken), ...said, finish]
    })
  )
)

const handlers = toolkit.toLayer({
  look: ({ session }) =>
    Effect.sync(() => {
      mark(session)
      return result
    })
})

const agentWith = (name: string, model: Layer.Layer<LanguageModel.LanguageModel>): Subject => ({
  name,
  agent: looker,
  behaviour: looker.behaviour as unknown as Behaviour<any, never>,
  services: Layer.merge(handlers, model) as unknown as Layer.Layer<never>
})

/** The model's parts come as they are: what is measured is Perdure. */
export const agent = agentWith("agent step", direct)

/** The model's parts go through `@effect/ai`'s schemas, as a real provider's do. */
export const agentDecoded = agentWith("agent step, parts decoded by @effect/ai", decoded)

// --- Turns ---

/** Of an agent's turn an odd number: model, tool, …, model. */
const stepsOf = (subject: Subject, count: number) =>
  subject.behaviour === counting || count % 2 === 1 ? count : count + 1

/** Sends a message, waits until its turn has ended on disk, and returns when each step began. */
export const turn = (subject: Subject, session: Session, count: number) =>
  Effect.gen(function* () {
    const wanted = stepsOf(subject, count)
    const running: Running = { steps: wanted, marks: [], last: yield* Deferred.make<void>() }
    turns.set(session.id, running)
    const accepted = yield* session.send(subject.behaviour === counting ? String(wanted) : session.id)
    // A reader is told of each commit: this one comes when the last step has begun.
    yield* Deferred.await(running.last)
    yield* session.feed({ after: Cursor.encode({ seq: accepted.seq + 2 * wanted, seen: {} }) }).pipe(
      Stream.takeUntil((event) => event._tag === "Entry" && event.recorded.entry._tag === "TurnEnded"),
      Stream.runDrain
    )
    turns.delete(session.id)
    return running.marks as ReadonlyArray<number>
  }).pipe(Effect.orDie)

export const session = (subject: Subject, id: string) => Effect.orDie(Client.session(subject.agent, id))
