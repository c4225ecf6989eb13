import { Context, Effect, Layer, Scope } from "effect"

/**
 * Builds a layer in a context of these services alone. The cluster copies the context in which it was made, four times
 * for each entity: with everything that a runner has around it, that is a tenth of what a session at rest weighs.
 */
export const lean =
  <R extends ReadonlyArray<Context.Tag<any, any>>>(...tags: R) =>
  <A, E>(
    layer: Layer.Layer<A, E, Context.Tag.Identifier<R[number]>>
  ): Layer.Layer<A, E, Context.Tag.Identifier<R[number]>> =>
    Layer.scopedContext(
      Effect.mapInputContext(
        Layer.build(layer),
        (all: Context.Context<Context.Tag.Identifier<R[number]> | Scope.Scope>) =>
          Context.pick(Scope.Scope, ...tags)(all) as typeof all
      )
    )
