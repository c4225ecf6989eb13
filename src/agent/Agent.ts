/**
 * An agent: a definition, as data. `@effect/ai` Tools, Toolkits and their Layers are used as they are.
 *
 * ```ts
 * const Weather = Agent.make("weather", {
 *   version: "1",
 *   instructions: "Answer briefly.",
 *   toolkit: Toolkit.make(GetWeather),
 *   budget: { usd: 0.5, modelCalls: 20, wall: "10 minutes" }
 * })
 * ```
 */
import { LanguageModel, type Tool, Toolkit } from "@effect/ai"
import type { Context, Duration } from "effect"
import type { Blobs } from "../blob/index.ts"
import type { StepKind } from "../domain/Entry.ts"
import { AgentName } from "../domain/Id.ts"
import { Models, Prices } from "../model/index.ts"
import type { Processes } from "../process/index.ts"
import { RateLimits } from "../resilience/index.ts"
import { type Behaviour, Decide } from "../session/index.ts"
import * as Compaction from "./Compaction.ts"
import * as Conversation from "./Conversation.ts"
import { check } from "./internal/check.ts"
import { flawOfNames, flawOfTime, refuse } from "./internal/given.ts"
import * as Model from "./internal/model.ts"
import * as ToolRunner from "./internal/tool.ts"
import * as ReadMore from "./internal/readMore.ts"
import * as Delegate from "./Delegate.ts"
import * as Limits from "./Limits.ts"
import * as Loops from "./Loops.ts"
import * as Policies from "./Policies.ts"
import type { ToolContext } from "./ToolContext.ts"
import * as ToolOptions from "./ToolOptions.ts"
import type * as Transform from "./Transform.ts"

export interface Agent<out Name extends string, out R> {
  readonly name: Name
  /** Recorded with each session. Sessions in flight go on with whatever version their runner has. */
  readonly version: string
  /** The services that its turns need: a model, and the handlers of its tools. */
  readonly _R?: () => R
  /** @internal What runs its sessions. */
  readonly behaviour: Behaviour<Conversation.Conversation, R | Provided>
  /** @internal Its needs by name, for whoever builds it from a layer whose type is not known. */
  readonly needs: ReadonlyArray<Need>
}

/** A service that an agent needs. */
export interface Need {
  /** For people: `a language model`, `a handler of the tool "search"`. */
  readonly what: string
  /** The key of its tag. */
  readonly key: string
}

export type Any = Agent<string, any>

/** What every runner brings by itself. */
export type Provided = ToolContext | Processes | Blobs

/** The services that a runner of these agents must be given. */
export type Requirements<A extends Any> = A extends Agent<string, infer R> ? R : never

/** Whether a value is an agent, whichever copy of this package made it. */
export const isAgent = (value: unknown): value is Any =>
  typeof value === "object" &&
  value !== null &&
  "name" in value &&
  typeof value.name === "string" &&
  "behaviour" in value &&
  typeof (value.behaviour as { readonly decide?: unknown } | null)?.decide === "function"

/** What an agent needs and this context does not have: checked by types where there are any, here where there are none. */
export const missing = (agent: Any, context: Context.Context<never>): ReadonlyArray<string> =>
  agent.needs.filter(({ key }) => !context.unsafeMap.has(key)).map(({ what }) => what)

/** The models that an agent must be given: the one of the runner, or those that it names. */
export type ModelNeeds<First extends string | undefined, Fallbacks extends ReadonlyArray<string>> =
  | ([First] extends [string] ? Models.Models : LanguageModel.LanguageModel)
  | (Fallbacks extends readonly [] ? never : Models.Models)

export interface Options<
  Tools extends Record<string, Tool.Any>,
  First extends string | undefined = undefined,
  Fallbacks extends ReadonlyArray<string> = [],
  Transforms extends ReadonlyArray<Transform.Any> = []
> {
  /** `"1"` unless told. */
  readonly version?: string | undefined
  /** The system prompt. */
  readonly instructions?: string | undefined
  readonly toolkit?: Toolkit.Toolkit<Tools> | undefined
  /** The model that is asked first, by its name in `Models.layer`; the runner's `LanguageModel` unless told. */
  readonly model?: First
  /** The models that a policy may fall back to, in order, by their names in `Models.layer`. */
  readonly fallbacks?: Fallbacks
  /** What follows a failed attempt of a model call or a tool call. What is left out has a default. */
  readonly policy?: Policies.Policies<Tools> | undefined
  /** How much a turn may use, and a session. What is left out has a default (`Limits.defaults`). */
  readonly budget?: Limits.Budget | undefined
  /** Other agents that it may call, by the name of the tool that each is. A call has a share of the budget. */
  readonly agents?: Readonly<Record<string, Delegate.Delegate>> | undefined
  /** When it goes round in circles, and what is done then; `false`: nothing. */
  readonly loops?: Loops.Options | false | undefined
  /** How a conversation that becomes too long for its model is made shorter; `false`: it is not, and fails. */
  readonly compaction?: Compaction.Options | false | undefined
  /** A model that says nothing for this long is taken for dead, and asked again. Two minutes unless told. */
  readonly silence?: Duration.DurationInput | undefined
  /** How long calls may take, what becomes of them in doubt, and what the model sees of their results, by tool. */
  readonly tools?: ToolOptions.ByName<Tools, Transforms[number]> | undefined
  /** How long calls may take where `tools` does not say it. No limit unless told: the turn's own age is always one. */
  readonly everyTool?: ToolOptions.TimeLimits | undefined
  /** What may be named as a tool's `transform`. */
  readonly transforms?: Transforms
  /**
   * The pools of the runner in which calls run, by tool; `tool` unless told. What needs a machine's cores or memory gets
   * one of its own, e.g. `heavy`, and then holds up nothing else. The runner says how large each is.
   */
  readonly pools?: { readonly [Name in keyof Tools]?: string } | undefined
  /**
   * What the runner of a call must have, by tool: a tag that runners name (`PERDURE_TAGS`), e.g. `gpu`. Where the session's
   * own runner lacks it, the call runs on one that has it; while there is none, it waits.
   */
  readonly runsOn?: { readonly [Name in keyof Tools]?: string } | undefined
  /** The pool of the runner in which the model is called; `model` unless told. */
  readonly modelPool?: string | undefined
}

/** An agent that another may call: `Agent.make("boss", { agents: { research: Agent.asTool(Researcher) } })`. */
export const asTool = (agent: Any, options: Delegate.Options = {}): Delegate.Delegate => Delegate.make(agent, options)

/**
 * Defines an agent.
 *
 * A tool that nothing is said about is never repeated silently: annotate those that may be (`Tool.Readonly`,
 * `Tool.Idempotent`), and a runner that takes over runs them again instead of reporting them in doubt.
 *
 * @throws if a name, number or word in it is not valid: a definition that cannot work fails where it is written
 */
export const make = <
  const Name extends string,
  Tools extends Record<string, Tool.Any> = {},
  const First extends string | undefined = undefined,
  const Fallbacks extends ReadonlyArray<string> = [],
  const Transforms extends ReadonlyArray<Transform.Any> = []
>(
  name: Name,
  options: Options<Tools, First, Fallbacks, Transforms> = {}
): Agent<
  Name,
  ModelNeeds<First, Fallbacks> | Tool.HandlersFor<Tools> | Exclude<Tool.Requirements<Tools[keyof Tools]>, Provided>
> => {
  const delegates = options.agents ?? {}
  const own: Toolkit.Any = options.toolkit ?? Toolkit.empty
  const both = Object.keys(delegates).find((tool) => tool in own.tools || tool === ReadMore.name)
  refuse(name, [
    both === undefined ? null : `it has a tool and an agent of the name "${both}": give one of them another name`
  ])
  const toolkit = Delegate.offered(own, delegates)
  refuse(name, [
    ReadMore.name in toolkit.tools ? `"${ReadMore.name}" is the runtime's own tool: give yours another name` : null,
    ...Limits.problemsOf(options.budget),
    flawOfTime("silence", options.silence),
    flawOfNames("pools", options.pools ?? {}, Object.keys(toolkit.tools)),
    // A call of another agent is that agent's session, wherever that is.
    flawOfNames("runsOn", options.runsOn ?? {}, Object.keys(own.tools))
  ])
  const limits = Limits.resolve(options.budget)
  const loops = Loops.resolve(name, options.loops)
  const compaction = Compaction.resolve(name, options.compaction)
  const repeatable = new Map(Object.values(toolkit.tools).map((tool) => [tool.name, ToolRunner.repeatableOf(tool)]))
  const tools = ToolOptions.resolve(name, toolkit, options.tools, options.everyTool, options.transforms)
  const performModel = Model.perform({
    instructions: options.instructions,
    toolkit,
    model: options.model,
    summariser: compaction?.model,
    silence: options.silence ?? "2 minutes",
    shownOf: (tool) => ToolOptions.shownOf(tools.of(tool)),
    toolkitToReadOn: ReadMore.offered(toolkit)
  })
  const performTool = ToolRunner.perform(toolkit, tools)
  const pools = (options.pools ?? {}) as Readonly<Record<string, string | undefined>>
  const modelPool = options.modelPool ?? "model"
  const runsOn = (options.runsOn ?? {}) as Readonly<Record<string, string | undefined>>
  const pool = (kind: StepKind, tool: string) =>
    kind === "model" ? modelPool : (pools[tool] ?? (delegates[tool] === undefined ? kind : "child"))
  const tagOf = (kind: StepKind, tool: string) => (kind === "model" ? undefined : runsOn[tool])
  const fallbacks: ReadonlyArray<string> = options.fallbacks ?? []
  const policies = Policies.resolve((options.policy ?? {}) as Policies.Policies, repeatable, fallbacks)
  const chain = options.model === undefined ? fallbacks : [options.model, ...fallbacks]
  const asked = [options.model ?? RateLimits.unnamed, ...fallbacks]
  const behaviour: Behaviour<Conversation.Conversation> = {
    agent: AgentName.make(name),
    agents: Object.values(delegates).map(({ agent }) => agent),
    version: options.version ?? "1",
    stateVersion: Conversation.stateVersion,
    limits,
    bounds: Limits.bounds(options.budget),
    initial: Conversation.initial,
    evolve: Conversation.evolve,
    decide: Conversation.decide((tool) => repeatable.get(tool) ?? (tool === ReadMore.name ? "readonly" : "never"), {
      loops,
      compaction,
      shareOf: (tool) => delegates[tool]?.share
    }),
    perform: (step, state, context) =>
      step.kind === "model"
        ? performModel(step, state, context)
        : delegates[step.name] !== undefined
          ? Delegate.perform(delegates[step.name]!, step, context)
          : step.name === ReadMore.name
            ? ReadMore.perform(step, state.refs, context)
            : performTool(step, context),
    reconciles: (kind, tool) => kind === "tool" && tools.of(tool).reconcile !== undefined,
    holdsDoubt: (kind, tool) => kind === "tool" && tools.of(tool).inDoubt === "ask",
    totalMs: (kind, tool) => (kind === "tool" ? tools.boundsOf(tool).totalMs : Number.POSITIVE_INFINITY),
    settle: (kind, tool, result) =>
      kind === "tool" ? ToolRunner.settled(toolkit, tool, result) : { wrong: "only what a tool gave can be told" },
    pool,
    runsOn: tagOf,
    pools: [
      modelPool,
      ...Object.keys(toolkit.tools).map((tool) => Decide.poolOf({ pool, runsOn: tagOf }, "tool", tool))
    ],
    chain: (step) => (step === "compact" && compaction?.model !== undefined ? [compaction.model] : asked),
    models: compaction?.model === undefined ? asked : [...asked, compaction.model],
    // And an answer.
    forecast: ({ model, size }) => ({
      tokens: size,
      usd: (size * (Prices.find(Prices.table, model)?.input ?? 0)) / 1e6
    }),
    tokens: ({ size }) => size + 1_000,
    check: check(name, chain, compaction?.model, [...policies.problems, ...tools.problems]),
    refuses: policies.refuses,
    policy: policies.judge
  }
  const needs: ReadonlyArray<Need> = [
    ...(options.model === undefined ? [{ what: "a language model", key: LanguageModel.LanguageModel.key }] : []),
    ...(chain.length === 0 ? [] : [{ what: "models by name (Models.layer)", key: Models.Models.key }]),
    ...Object.values(own.tools).map((tool) => ({ what: `a handler of the tool "${tool.name}"`, key: tool.id }))
  ]
  return { name, version: behaviour.version, behaviour, needs }
}
