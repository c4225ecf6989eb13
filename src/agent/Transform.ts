/**
 * Named functions between what a tool returns and what the model sees of it.
 *
 * ```ts
 * const Titles = Transform.make("titles", {
 *   input: Schema.Array(Page),
 *   output: Schema.Array(Schema.String),
 *   apply: (pages) => pages.map(({ title }) => title)
 * })
 * Agent.make("reader", { toolkit, transforms: [Titles], tools: { search: { transform: "titles" } } })
 * ```
 *
 * A name that is not registered, or a transform that does not take what its tool returns, does not compile; a program
 * without types learns it when its runner starts. What the tool returned stays in the journal beside what was made of it.
 */
import type { Tool } from "@effect/ai"
import { type Effect, Schema } from "effect"
import type { Problem } from "../session/index.ts"
import { misfit } from "./internal/fits.ts"

export interface Transform<out Name extends string, in In> {
  readonly name: Name
  /** What it takes: a tool's result, decoded. */
  readonly input: Schema.Schema.AnyNoContext
  /** What it gives: the model sees it encoded. */
  readonly output: Schema.Schema.AnyNoContext
  /** @internal */
  readonly apply: (input: In) => unknown
}

export type Any = Transform<string, never>

export interface Options<In, InEncoded, Out, OutEncoded> {
  readonly input: Schema.Schema<In, InEncoded>
  readonly output: Schema.Schema<Out, OutEncoded>
  /** To be pure: what it gives is journaled, and never made again. */
  readonly apply: (input: NoInfer<In>) => NoInfer<Out> | Effect.Effect<NoInfer<Out>, unknown>
}

/** Names a function from a tool's result to what the model sees. */
export const make = <const Name extends string, In, InEncoded, Out, OutEncoded>(
  name: Name,
  options: Options<In, InEncoded, Out, OutEncoded>
): Transform<Name, In> => ({ name, ...options })

/** The names of those that take an `A`. */
export type Fitting<Ts extends Any, A> =
  Ts extends Transform<infer Name, infer In> ? ([A] extends [In] ? Name : never) : never

/** What is wrong with a tool's transform, by its name and by the shapes of the schemas, if anything is. */
export const check = (tool: Tool.Any, transform: string, known: ReadonlyArray<Any>): Problem | null => {
  const named = `the transform ${JSON.stringify(transform)} of tool ${JSON.stringify(tool.name)}`
  const found = known.filter(({ name }) => name === transform)
  if (found.length === 0) {
    const others = known.map(({ name }) => name).join(", ") || "none"
    return { what: `${named} is not registered`, remedy: `add it to \`transforms\`, which has ${others}` }
  }
  if (found.length > 1) return { what: `${named} is registered ${found.length} times`, remedy: "register it once" }
  const reason = misfit(Schema.typeSchema(tool.successSchema).ast, Schema.typeSchema(found[0]!.input).ast)
  return reason === null
    ? null
    : {
        what: `${named} does not take what the tool returns: ${reason}`,
        remedy: "give it the tool's success schema as its input, or name another one"
      }
}
