/**
 * A toolkit whose calls cannot fail an answer.
 *
 * `LanguageModel` decodes each call with its tool's schema, and one call that does not fit fails the stream with all
 * that would have come after it. So it is given tools of the same names and JSON schemas that take any arguments, which
 * also leaves the arguments as the model wrote them; the real schema is applied by {@link Lenient.misfit}.
 */
import * as Tool from "@effect/ai/Tool"
import type * as Toolkit from "@effect/ai/Toolkit"
import { Effect, Either, ParseResult, Schema } from "effect"

export interface Lenient {
  /** `undefined` for a toolkit without tools. */
  readonly toolkit: Toolkit.WithHandler<Record<string, Tool.Any>> | undefined
  /** A sentence for the model if there is no such tool. */
  readonly missing: (name: string) => string | null
  /** Why a call of a tool that there is cannot be run, as a sentence for the model; `null` when it can. */
  readonly misfit: (name: string, params: unknown) => string | null
}

const cache = new WeakMap<object, Lenient>()

const limit = 2000
const short = (text: string): string => (text.length > limit ? `${text.slice(0, limit)} …` : text)

const lenientTool = (it: Tool.Any): Tool.Any => {
  // What a tool's handler requires plays no part here, and is all that the two types differ in.
  const tool = it as Parameters<typeof Tool.getJsonSchema>[0]
  // Only user-defined tools send a JSON schema; the provider knows its own.
  const user = Tool.isUserDefined(tool)
  return Object.assign(Object.create(Object.getPrototypeOf(tool)), tool, {
    ...(user ? { description: Tool.getDescription(tool) } : {}),
    parametersSchema: user
      ? Schema.Unknown.annotations({ jsonSchema: Tool.getJsonSchema(tool), identifier: `${tool.name}Parameters` })
      : Schema.Unknown,
    successSchema: Schema.Unknown,
    failureSchema: Schema.Unknown
  })
}

/** A schema that needs services or time to decode cannot be checked here: the handler will. */
const undecidable = (issue: ParseResult.ParseIssue): boolean => {
  switch (issue._tag) {
    case "Forbidden":
      return true
    case "Composite":
      return (Array.isArray(issue.issues) ? issue.issues : [issue.issues]).some(undecidable)
    case "Pointer":
    case "Refinement":
    case "Transformation":
      return undecidable(issue.issue)
    default:
      return false
  }
}

const sentence = (name: string, issue: ParseResult.ParseIssue): string =>
  short(
    `The arguments do not fit the tool "${name}": ${ParseResult.ArrayFormatter.formatIssueSync(issue)
      .map(({ message, path }) => (path.length === 0 ? message : `${path.map(String).join(".")}: ${message}`))
      .join("; ")}. Call it again with arguments that fit its schema.`
  )

/** Throws where a tool's parameters have no JSON schema: such a tool cannot be offered to any model. */
const make = (toolkit: Toolkit.Any): Lenient => {
  const real = toolkit.tools as Record<string, Tool.Any>
  const names = Object.keys(real)
  const tools = Object.fromEntries(names.map((name) => [name, lenientTool(real[name]!)]))
  const byName = new Map(Object.values(real).map((tool) => [tool.name, tool]))
  const decoders = new Map<string, (u: unknown) => Either.Either<unknown, ParseResult.ParseIssue>>()
  return {
    toolkit:
      names.length === 0
        ? undefined
        : { tools, handle: () => Effect.dieMessage("tool calls are steps: LanguageModel does not resolve them") },
    missing: (name) =>
      byName.has(name)
        ? null
        : short(
            `There is no tool "${name.slice(0, 100)}". ${
              names.length === 0 ? "There are no tools here: answer in words." : `The tools are: ${names.join(", ")}.`
            }`
          ),
    misfit: (name, params) => {
      const tool = byName.get(name)
      if (tool === undefined) return null
      let decode = decoders.get(name)
      if (decode === undefined) {
        decode = ParseResult.decodeUnknownEither(tool.parametersSchema as Schema.Schema<unknown, unknown>, {
          errors: "all"
        })
        decoders.set(name, decode)
      }
      const decoded = decode(params)
      return Either.isRight(decoded) || undecidable(decoded.left) ? null : sentence(name, decoded.left)
    }
  }
}

export const lenient = (toolkit: Toolkit.Any): Lenient => {
  let made = cache.get(toolkit)
  if (made === undefined) {
    made = make(toolkit)
    cache.set(toolkit, made)
  }
  return made
}
