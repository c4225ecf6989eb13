/** The behaviours that this runner knows, by agent name. */
import { Context, Effect, Layer } from "effect"
import { AgentUnknown } from "../domain/Errors.ts"
import type { Behaviour } from "./Behaviour.ts"

/** A behaviour with the services that its steps need. */
export interface Registered {
  readonly behaviour: Behaviour
  readonly context: Context.Context<never>
}

export class Registry extends Context.Tag("perdure/Registry")<
  Registry,
  { readonly find: (agent: string) => Effect.Effect<Registered, AgentUnknown> }
>() {
  static readonly layer = (registered: ReadonlyArray<Registered>): Layer.Layer<Registry> => {
    const byName = new Map(registered.map((one) => [one.behaviour.agent as string, one]))
    return Layer.succeed(Registry, {
      find: (agent) => {
        const found = byName.get(agent)
        return found === undefined
          ? Effect.fail(new AgentUnknown({ agent, known: [...byName.keys()] }))
          : Effect.succeed(found)
      }
    })
  }
}
