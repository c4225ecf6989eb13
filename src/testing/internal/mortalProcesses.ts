/** Processes as one life of a runner starts them: the operating system ends them with it (I7). */
import { Context, Effect, ExecutionStrategy, Exit, Layer, Scope } from "effect"
import { Processes } from "../../process/index.ts"
import type { Life } from "./Life.ts"

type Service = Processes["Type"]

/** Made when the first process is started: to find out what works on this machine takes longer than most tests. */
export const lazyProcesses: Effect.Effect<Effect.Effect<Service>, never, Scope.Scope> = Effect.flatMap(
  Effect.scope,
  (scope) => Effect.cached(Effect.map(Layer.buildWithScope(Processes.layer, scope), Context.get(Processes)))
)

/** @param system closed when the life ends */
export const mortalProcesses = (processes: Effect.Effect<Service>, life: Life, system: Scope.Scope): Service => ({
  // Nobody knows before one has been started.
  backend: "watchdog",
  start: (spawn) =>
    Effect.gen(function* () {
      const mine = yield* Effect.acquireRelease(Scope.fork(system, ExecutionStrategy.sequential), (scope) =>
        life.outside(Scope.close(scope, Exit.void))
      )
      return yield* life.outside(Effect.flatMap(processes, ({ start }) => start(spawn)).pipe(Scope.extend(mine)))
    }),
  run: <E, R>(...[spawn, options]: Parameters<Service["run"]>) =>
    Effect.flatMap(Effect.context<R>(), (context) =>
      life.outside(
        Effect.flatMap(processes, ({ run }) => run(spawn, options)).pipe(
          Effect.provide(context as never)
        ) as Effect.Effect<never, E>
      )
    ) as never
})
