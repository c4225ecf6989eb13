/** What an agent says about one of its tools: how long it may take, what becomes of it in doubt, what the model sees of it. */
import type { Tool, Toolkit } from "@effect/ai"
import { Duration, type Effect } from "effect"
import { Claim } from "../blob/index.ts"
import type { Failure } from "../domain/Failure.ts"
import type { Problem } from "../session/index.ts"
import { flawOfKeys, flawOfTime, flawOfWord, refuse } from "./internal/given.ts"
import * as ReadMore from "./internal/readMore.ts"
import type { Doubted, Reconcile, Reconciled } from "./Reconcile.ts"
import * as Transform from "./Transform.ts"

/** How long calls may take. What ends for it has failed with `TimedOut`, and all that it had started is ended (I7). */
export interface TimeLimits {
  /** Of one attempt. None unless told: the turn's age is always a limit. */
  readonly timeout?: Duration.DurationInput | undefined
  /**
   * Over all attempts, what lies between them included: counted from the entry that intends the call, so that a restart
   * does not begin anew. None unless told.
   */
  readonly total?: Duration.DurationInput | undefined
  /**
   * The longest silence: without a line of progress, output of a process, a save, or a piece that is attached. None unless
   * told.
   */
  readonly silence?: Duration.DurationInput | undefined
}

export interface ToolOptions<T, Transforms extends Transform.Any = never> extends TimeLimits {
  /** Says what became of a call whose runner died, or that was ended for its time. Not asked of what may be repeated. */
  readonly reconcile?: Reconcile<T> | undefined
  /**
   * Who is told of a call of which nobody knows whether it happened: the model, at once (`tell`, unless told), or first
   * whoever settles it (`ask`): the turn is paused until then.
   */
  readonly inDoubt?: "tell" | "ask" | undefined
  /** What kind of failure an error of the handler is, so that it is tried again as its kind is; `ToolFailed` unless told. */
  readonly classify?: ((error: Tool.Failure<T>) => Failure | undefined) | undefined
  /** The registered transform that makes of the result what the model sees. */
  readonly transform?: Transform.Fitting<Transforms, Tool.Success<T>> | undefined
  /**
   * How much of a result stands in the conversation, in bytes: a longer one is stored, and the model sees its head, its
   * tail, and how to read on. 64 KiB unless told.
   */
  readonly output?: number | undefined
}

/** Options by the toolkit's names. */
export type ByName<Tools extends Record<string, Tool.Any>, Transforms extends Transform.Any> = {
  readonly [Name in keyof Tools]?: ToolOptions<Tools[Name], Transforms>
}

/** The same where the tool is not known by type. */
export interface AnyOptions extends TimeLimits {
  readonly reconcile?: ((call: Doubted<never>) => Effect.Effect<Reconciled<unknown>, unknown>) | undefined
  readonly classify?: ((error: any) => Failure | undefined) | undefined
  readonly inDoubt?: "tell" | "ask" | undefined
  readonly transform?: string | undefined
  readonly output?: number | undefined
}

/** Time limits in milliseconds. */
export interface Bounds {
  readonly timeoutMs: number
  readonly totalMs: number
  readonly silenceMs: number
}

export const unbounded: Bounds = {
  timeoutMs: Number.POSITIVE_INFINITY,
  totalMs: Number.POSITIVE_INFINITY,
  silenceMs: Number.POSITIVE_INFINITY
}

const millis = (limit: Duration.DurationInput | undefined): number =>
  limit === undefined ? Number.POSITIVE_INFINITY : Duration.toMillis(limit)

/** What is said of a tool, else of all. */
export const boundsOf = (own: TimeLimits = {}, all: TimeLimits = {}): Bounds => ({
  timeoutMs: millis(own.timeout ?? all.timeout),
  totalMs: millis(own.total ?? all.total),
  silenceMs: millis(own.silence ?? all.silence)
})

/** How much of a result that does not stand in the conversation whole is shown. */
export const shownOf = ({ output }: AnyOptions): Claim.Preview => {
  const most = output === undefined ? Claim.previewChars : Math.min(Claim.previewChars, Math.floor(output / 2))
  return { head: most, tail: most, gap: ReadMore.gap }
}

/** What an agent says about its tools, looked up. */
export interface Resolved {
  readonly of: (tool: string) => AnyOptions
  readonly boundsOf: (tool: string) => Bounds
  readonly transformOf: (tool: string) => Transform.Any | undefined
  /** What cannot work as it is said: in a program without types it may be anything. */
  readonly problems: ReadonlyArray<Problem>
}

const nothing: AnyOptions = {}

const limits = ["timeout", "total", "silence"] as const

const flawsOf = (where: string, options: AnyOptions): ReadonlyArray<string | null> => [
  ...limits.map((limit) => flawOfTime(`${where}.${limit}`, options[limit])),
  flawOfWord(`${where}.inDoubt`, options.inDoubt, ["tell", "ask"])
]

/** @throws if a limit is no time, a word none, or a size none: a definition that cannot work fails where it is written */
export const resolve = (
  agent: string,
  toolkit: Toolkit.Any,
  byName: object = {},
  all: TimeLimits = {},
  transforms: ReadonlyArray<Transform.Any> = []
): Resolved => {
  const options = new Map(Object.entries(byName) as ReadonlyArray<[string, AnyOptions]>)
  const bounds = new Map<string, Bounds>()
  const problems: Array<Problem> = []
  refuse(agent, [flawOfKeys("everyTool", all, limits), ...flawsOf("everyTool", all)])
  for (const tool of Object.values(toolkit.tools)) {
    const own = options.get(tool.name) ?? nothing
    refuse(agent, flawsOf(`tools.${tool.name}`, own))
    if (own.output !== undefined && !(own.output > 0)) {
      throw new Error(`agent "${agent}": the output of tool "${tool.name}" must be positive, not ${own.output}`)
    }
    bounds.set(tool.name, boundsOf(own, all))
    const problem = own.transform === undefined ? null : Transform.check(tool, own.transform, transforms)
    if (problem !== null) problems.push(problem)
  }
  for (const tool of options.keys()) {
    if (tool in toolkit.tools) continue
    problems.push({
      what: `it says something about the tool ${JSON.stringify(tool)}, which its toolkit does not have`,
      remedy: `name one of ${Object.keys(toolkit.tools).join(", ") || "none"}`
    })
  }
  const anyone = boundsOf({}, all)
  return {
    of: (tool) => options.get(tool) ?? nothing,
    boundsOf: (tool) => bounds.get(tool) ?? anyone,
    transformOf: (tool) => {
      const transform = options.get(tool)?.transform
      return transform === undefined ? undefined : transforms.find(({ name }) => name === transform)
    },
    problems
  }
}
