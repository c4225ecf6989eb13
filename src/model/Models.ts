/**
 * Models by name: an agent names the one that it asks first, and those to fall back to.
 *
 * ```ts
 * Models.layer({
 *   opus: AnthropicLanguageModel.layer({ model: "claude-opus-…" }),
 *   gpt: OpenAiLanguageModel.layer({ model: "gpt-…" })
 * })
 * ```
 */
import * as LanguageModel from "@effect/ai/LanguageModel"
import { Context, Effect, Layer, Option } from "effect"

/**
 * Whether a model goes on from the text of its cut answer when it is asked to. Where it does not (a local model that
 * begins anew whatever one says), its answer is asked for again, and readers of the feed are told to rewind.
 */
export class Continues extends Context.Reference<Continues>()("perdure/model/Continues", {
  defaultValue: () => true
}) {}

/** Beside a model's layer: it does not continue. `Layer.merge(MyModel, Models.startsOver)`. */
export const startsOver: Layer.Layer<never> = Layer.succeed(Continues, false) as unknown as Layer.Layer<never>

/** A model with whatever else its layer has. */
export type Built = Context.Context<LanguageModel.LanguageModel>

export class Models extends Context.Tag("perdure/model/Models")<
  Models,
  {
    readonly names: ReadonlyArray<string>
    readonly find: (name: string) => Built | undefined
  }
>() {}

type Layers = Readonly<Record<string, Layer.Layer<LanguageModel.LanguageModel, any, any>>>

/** Builds each of the models. What several of them share (a client, a key) is provided once, to the whole. */
export const layer = <const L extends Layers>(
  layers: L
): Layer.Layer<Models, Layer.Layer.Error<L[keyof L]>, Layer.Layer.Context<L[keyof L]>> =>
  Layer.scoped(
    Models,
    Effect.gen(function* () {
      const built = new Map<string, Built>()
      // One by one: what fails is named by its own error, and the order is the same each time.
      for (const [name, model] of Object.entries(layers)) built.set(name, yield* Layer.build(model))
      return { names: [...built.keys()], find: (name: string) => built.get(name) }
    })
  ) as never

/** Which model a name means on this runner: the one that has it, or the one that agents without a choice share. */
export const finder: Effect.Effect<(name: string) => LanguageModel.Service | undefined> = Effect.gen(function* () {
  const shared = yield* Effect.serviceOption(LanguageModel.LanguageModel)
  const models = yield* Effect.serviceOption(Models)
  return (name) => {
    const built = Option.isSome(models) ? models.value.find(name) : undefined
    return built === undefined ? Option.getOrUndefined(shared) : Context.get(built, LanguageModel.LanguageModel)
  }
})
