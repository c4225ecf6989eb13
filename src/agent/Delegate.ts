/**
 * Another agent as a tool: a call of it is a session of its own, with a share of the caller's budget.
 *
 * ```ts
 * const Boss = Agent.make("boss", { agents: { research: Agent.asTool(Researcher, { description: "Finds things out." }) } })
 * ```
 *
 * What is set aside for a call is drawn from what its caller has left, at most `budget`, and what it does not use comes
 * back. Of several calls that begin together each has the same, and as much stays with the caller. The caller's runners
 * must have the other agent, too.
 */
import { Tool, Toolkit } from "@effect/ai"
import { Effect, Schema } from "effect"
import { parse } from "../domain/Claim.ts"
import type { Amounts, SessionOutcome } from "../domain/Entry.ts"
import { StepFailure } from "../domain/Failure.ts"
import type { Json } from "../domain/Json.ts"
import type { OpenStep, StepContext, StepOutput } from "../session/index.ts"
import type { ToolInput, ToolOutput } from "./Conversation.ts"
import { refuse } from "./internal/given.ts"
import * as Limits from "./Limits.ts"

export interface Options {
  /** What the model is told of it. */
  readonly description?: string | undefined
  /** The most that one call may use of the caller's budget. */
  readonly budget?: Limits.Amounts | undefined
}

/** An agent that another may call. */
export interface Delegate {
  readonly agent: string
  readonly version: string
  readonly description: string
  readonly share: Amounts
}

/** @throws if the budget cannot be one: a definition fails where it is written */
export const make = (
  agent: { readonly name: string; readonly version: string },
  { budget = {}, description }: Options
): Delegate => {
  refuse(
    agent.name,
    Limits.problemsOfShare(budget).map((problem) => `as a tool: ${problem}`)
  )
  return {
    agent: agent.name,
    version: agent.version,
    description: description ?? `Gives a task to the agent "${agent.name}", and returns its answer.`,
    share: Limits.toAmounts(budget)
  }
}

const Task = {
  task: Schema.String.annotations({
    description:
      "What is to be done, with all that is needed to do it: the other agent knows nothing of this conversation"
  })
}

const Params = Schema.Struct(Task)

/** An agent's tools, and the agents that it may call. */
export const offered = (own: Toolkit.Any, delegates: Readonly<Record<string, Delegate>>): Toolkit.Any => {
  const tools = Object.entries(delegates).map(([name, { description }]) =>
    Tool.make(name, { description, parameters: Task, success: Schema.String })
  )
  return tools.length === 0
    ? own
    : Toolkit.merge(own as unknown as typeof Toolkit.empty, Toolkit.make(...tools) as unknown as typeof Toolkit.empty)
}

const answer = (result: Json, isError: boolean): ToolOutput => ({ result, isError })

/** Nobody but the model that asked reads it. A text that is stored elsewhere stays as it is. */
const withCut = (output: Json): Json =>
  typeof output !== "string" || parse(output) !== null
    ? output
    : `${output}\n\n[The answer was cut off here: the agent's model reached its limit of output.]`

const answerOf = (outcome: SessionOutcome): ToolOutput => {
  switch (outcome._tag) {
    case "Completed":
      return answer(outcome.cut === undefined ? outcome.output : withCut(outcome.output), false)
    case "Cancelled":
      return answer("The agent was stopped before it had an answer.", true)
    case "Failed":
      return answer(`The agent has no answer: ${outcome.failure.message}`, true)
  }
}

/** Performs a call of another agent. */
export const perform = (
  { agent, version }: Delegate,
  step: OpenStep,
  { child }: StepContext
): Effect.Effect<StepOutput, StepFailure> =>
  Effect.gen(function* () {
    const { params } = step.input as unknown as ToolInput
    const decoded = Schema.decodeUnknownEither(Params)(params)
    if (child === undefined)
      return yield* Effect.dieMessage(`step ${step.step} is no child: nothing is set aside for it`)
    // Nothing of it was begun: all that was set aside comes back.
    if (decoded._tag === "Left")
      return { ...outputOf(answer(`The arguments do not fit: ${decoded.left.message}`, true)), ...unused }
    const { drawn, outcome, stopped, usage } = yield* child({
      agent,
      agentVersion: version,
      parts: [{ type: "text", text: decoded.right.task }]
    })
    if (stopped && outcome._tag === "Cancelled") {
      const failure = { class: "Stopped", message: "stopped before it was done" } as const
      return yield* new StepFailure({ failure, usage, drawn })
    }
    return { ...outputOf(answerOf(outcome)), usage, drawn }
  })

const unused = {
  usage: { inputTokens: 0, outputTokens: 0, reasoningTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0, usd: 0 },
  drawn: { steps: 0, modelCalls: 0, toolCalls: 0 }
} as const

/** What the other session has put into the store may stand in this one's journal: they are of one namespace. */
const outputOf = (output: ToolOutput): StepOutput => ({
  output: output as unknown as Json,
  ...(typeof output.result === "string" && parse(output.result) !== null ? { claims: new Set([output.result]) } : {})
})
