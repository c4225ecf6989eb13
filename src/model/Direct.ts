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
import { Predicate, type Stream } from "effect"

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
