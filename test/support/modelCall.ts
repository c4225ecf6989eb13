/** What tests of model calls share. */
import { Tool, Toolkit } from "@effect/ai"
import type { LanguageModel } from "@effect/ai/LanguageModel"
import { Effect, type Either, Schema } from "effect"
import type { StepFailure } from "../../src/domain/Failure.ts"
import type { AssistantPart, Message } from "../../src/domain/Message.ts"
import { Model } from "../../src/model/index.ts"

export const GetWeather = Tool.make("get_weather", {
  description: "The weather of a city",
  parameters: { city: Schema.String, days: Schema.optional(Schema.NumberFromString) },
  success: Schema.String
})
export const Book = Tool.make("book", { parameters: { id: Schema.String }, success: Schema.String })
export const toolkit = Toolkit.make(GetWeather, Book)

export const user = (text: string): Message => ({ role: "user", parts: [{ type: "text", text }] })
export const assistant = (...parts: ReadonlyArray<AssistantPart>): Message => ({ role: "assistant", parts })
export const result = (callId: string, name: string, result: string): Message => ({
  role: "tool",
  callId,
  name,
  result,
  isError: false
})

export interface Called {
  readonly outcome: Either.Either<Model.Answer, StepFailure>
  readonly deltas: ReadonlyArray<Model.Delta>
}

/** Calls the model with defaults for everything. */
export const call = (request: Partial<Model.Request> = {}): Effect.Effect<Model.Answer, StepFailure, LanguageModel> =>
  Model.call({
    messages: [user("Paris?")],
    toolkit,
    silence: "20 seconds",
    onDelta: () => Effect.void,
    ...request
  })

/** Calls the model; the answer or the failure, and what the feed got. */
export const observe = (request: Partial<Model.Request> = {}): Effect.Effect<Called, never, LanguageModel> =>
  Effect.gen(function* () {
    const deltas: Array<Model.Delta> = []
    const outcome = yield* Effect.either(
      call({ onDelta: (delta) => Effect.sync(() => void deltas.push(delta)), ...request })
    )
    return { outcome, deltas }
  })

/** The failure of a call that must fail. */
export const failure = (
  request: Partial<Model.Request> = {}
): Effect.Effect<StepFailure, Model.Answer, LanguageModel> => Effect.flip(call(request))
