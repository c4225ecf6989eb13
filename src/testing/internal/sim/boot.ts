/**
 * Builds the layers of a simulated process: as `Layer.buildWithScope` does, with a third of the work, which is most of what
 * a short run costs.
 *
 * Effect remembers each node of a layer, also those that only put others together. Here those that make something are
 * remembered, and those whose outcome may be another each time; the rest follows from them.
 */
import { type Context, Deferred, Effect, Exit, type FiberRefs, FiberRefsPatch, Layer, Scope } from "effect"

type Any = Layer.Layer<any, any, any>
type Build = Effect.Effect<Context.Context<any>, any, any>

/** What a layer is made of: Effect's own, and not said in its types. */
type Node =
  | { readonly _op_layer: "FromEffect" | "Scoped"; readonly effect: Build }
  | { readonly _op_layer: "Suspend"; readonly evaluate: () => Any }
  | {
      readonly _op_layer: "Fold"
      readonly layer: Any
      readonly failureK: (cause: unknown) => Any
      readonly successK: (context: unknown) => Any
    }
  | { readonly _op_layer: "Other" }

/** Made once, and closed when all have let go of it. */
interface Made {
  readonly scope: Scope.CloseableScope
  readonly done: Deferred.Deferred<Context.Context<any>, any>
  observers: number
  /** What building it has changed of its fiber: services like the clock, for whoever gets it from here too. */
  refs: { readonly before: FiberRefs.FiberRefs; readonly after: FiberRefs.FiberRefs } | null
}

class Lasting implements Layer.MemoMap {
  readonly [Layer.MemoMapTypeId]: Layer.MemoMapTypeId = Layer.MemoMapTypeId
  private readonly made = new Map<Any, Made>()

  getOrElseMemoize<RIn, E, ROut>(
    layer: Layer.Layer<ROut, E, RIn>,
    scope: Scope.Scope
  ): Effect.Effect<Context.Context<ROut>, E, RIn> {
    return Effect.suspend(() => {
      const making = this.makingOf(layer as unknown as Node)
      if (making === null) return Layer.buildWithMemoMap(layer, this, scope)
      const found = this.made.get(layer)
      return found === undefined ? this.make(layer, scope, making) : this.join(found, scope)
    })
  }

  private makingOf(node: Node): ((scope: Scope.Scope) => Build) | null {
    switch (node._op_layer) {
      case "FromEffect":
        return () => node.effect
      case "Scoped":
        return (scope) => Scope.extend(node.effect, scope)
      case "Suspend":
        return (scope) => this.getOrElseMemoize(node.evaluate(), scope)
      case "Fold":
        return (scope) =>
          Effect.matchCauseEffect(this.getOrElseMemoize(node.layer, scope), {
            onFailure: (cause) => this.getOrElseMemoize(node.failureK(cause), scope),
            onSuccess: (context) => this.getOrElseMemoize(node.successK(context), scope)
          })
      default:
        return null
    }
  }

  private make(layer: Any, scope: Scope.Scope, making: (scope: Scope.Scope) => Build): Build {
    return Effect.uninterruptibleMask((restore) =>
      Effect.withFiberRuntime<Context.Context<any>, any, any>((fiber) => {
        const inner = Effect.runSync(Scope.make())
        const made: Made = { scope: inner, done: Deferred.unsafeMake(fiber.id()), observers: 1, refs: null }
        this.made.set(layer, made)
        const before = fiber.getFiberRefs()
        return Effect.flatMap(Effect.exit(restore(making(inner))), (exit) => {
          Deferred.unsafeDone(made.done, exit)
          if (Exit.isFailure(exit)) return Effect.zipRight(Scope.close(inner, exit), exit)
          made.refs = { before, after: fiber.getFiberRefs() }
          return Effect.as(Scope.addFinalizerExit(scope, this.leave(layer, made)), exit.value)
        })
      })
    )
  }

  private join(made: Made, scope: Scope.Scope): Build {
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(Deferred.await(made.done)), (context) => {
        made.observers++
        const { after, before } = made.refs!
        return Effect.patchFiberRefs(FiberRefsPatch.diff(before, after)).pipe(
          Effect.zipRight(Scope.addFinalizerExit(scope, this.leave(undefined, made))),
          Effect.as(context)
        )
      })
    )
  }

  private readonly leave = (layer: Any | undefined, made: Made) => (exit: Exit.Exit<unknown, unknown>) => {
    if (layer !== undefined) this.made.delete(layer)
    return --made.observers === 0 ? Scope.close(made.scope, exit) : Effect.void
  }
}

/** Builds a layer; what it made is closed with the scope. */
export const boot = <A, E, R>(
  layer: Layer.Layer<A, E, R>,
  scope: Scope.Scope
): Effect.Effect<Context.Context<A>, E, R> => Effect.suspend(() => Layer.buildWithMemoMap(layer, new Lasting(), scope))
