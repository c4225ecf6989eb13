/**
 * A model that gives its parts without `@effect/ai`'s decoding of them.
 *
 * `LanguageModel.make` builds a schema of all tools for each call, which takes longer than everything else that happens
 * around a call here (0.2 ms, and as much again for each tool or two), and fails the stream at a call of a tool that it
 * does not know. Beside a provider's answer that is nothing. A model that has its parts at hand (a scripted one) can
 * offer them directly; it remains an ordinary `LanguageModel` for everybody else.
 */
import type * as AiError from "@effect/ai/AiError"
import type * as LanguageModel from "@effect/ai/LanguageModel"
import type * as Prompt from "@effect/ai/Prompt"
import type * as Response from "@effect/ai/Response"
import { Predicate, Stream } from "effect"

const TypeId = Symbol.for("perdure/Direct")

type Part = Response.StreamPartEncoded

/** A stream, or an array of all parts where none has to be waited for. */
export type Parts = Stream.Stream<Part, AiError.AiError> | ReadonlyArray<Part>

export type StreamText = (prompt: Prompt.Prompt) => Parts

/** The model, with a direct way to the parts that its own `streamText` would give decoded. */
export const attach = (model: LanguageModel.Service, streamText: StreamText): LanguageModel.Service =>
  Object.assign({ ...model }, { [TypeId]: streamText })

/** The direct way, where there is one. */
export const of = (model: LanguageModel.Service): StreamText | undefined =>
  Predicate.hasProperty(model, TypeId) ? (model[TypeId] as StreamText) : undefined

/**
 * The model, with what comes from it led through a function, the direct way too: for a provider that is to be slow or to
 * fail.
 */
export const through = (
  model: LanguageModel.Service,
  lead: (parts: Stream.Stream<Part, AiError.AiError>) => Stream.Stream<Part, AiError.AiError>
): LanguageModel.Service => {
  const direct = of(model)
  const streamText = ((options: never) =>
    // Parts are led on as they are, decoded or not: only whoever made them knows their type.
    lead(model.streamText(options) as never)) as unknown as LanguageModel.Service["streamText"]
  const through: LanguageModel.Service = { ...model, streamText }
  if (direct === undefined) return through
  return attach(through, (prompt) => {
    const parts = direct(prompt)
    return lead(Array.isArray(parts) ? Stream.fromIterable(parts) : (parts as Stream.Stream<Part, AiError.AiError>))
  })
}
