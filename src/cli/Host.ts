/** Builds a runner of a module's agents, with what the module provides. */
import { Cause, Context, Effect, Layer } from "effect"
import { Agent } from "../agent/index.ts"
import { Health, Runner } from "../runner/index.ts"
import { LayerFailed } from "./CliError.ts"
import type { Loaded } from "./Module.ts"
import { explain } from "./Problem.ts"
import { type Where, withDatabase } from "./Where.ts"

/** What the module's layer provides; every need of every agent is in it. */
const servicesOf = (module: Loaded) =>
  Effect.gen(function* () {
    const { path } = module
    const services = yield* Layer.build(module.layer).pipe(
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause)
          ? Effect.interrupt
          : new LayerFailed({ path, reason: explain(Cause.squash(cause)).slice(0, 500) })
      )
    )
    for (const agent of module.agents) {
      const missing = Agent.missing(agent, services)
      if (missing.length > 0) {
        const reason = `agent "${agent.name}" lacks ${missing.join(", ")}; add it to the \`layer\` that the module exports`
        return yield* new LayerFailed({ path, reason })
      }
    }
    return services
  })

type Failure =
  | Layer.Layer.Error<ReturnType<typeof Runner.layerEmbedded>>
  | Layer.Layer.Error<ReturnType<typeof Runner.layerCluster>>

/**
 * A runner of the agents, until the scope closes.
 *
 * @param onHealth is told the port that its health is answered on, where it is
 */
export const start = (where: Where, module: Loaded, onHealth: (port: number) => void = () => {}) =>
  Effect.gen(function* () {
    const services = yield* servicesOf(module)
    const { agents } = module
    const runner =
      where._tag === "Directory"
        ? Runner.layerEmbedded({ agents, directory: where.directory })
        : withDatabase(where.url)(Runner.layerCluster({ agents }))
    // The services are all there: that was looked up above, where types could not.
    const whole = runner as Layer.Layer<Runner.Provided, Failure>
    return yield* Layer.build(
      Layer.provide(whole, Layer.succeedContext(Context.add(services, Health.Opened, onHealth)))
    )
  })
