/** The models of a run, each behind the simulated provider: it allows what `RateLimits` say, and not one call more. */
import { LanguageModel } from "@effect/ai"
import { Context, Duration } from "effect"
import { Models } from "../../../model/index.ts"
import { RateLimits } from "../../../resilience/index.ts"
import type { Finished } from "./History.ts"
import type { Allowed, Provider } from "./provider.ts"

export interface Outside {
  readonly context: Context.Context<never>
  readonly allowed: NonNullable<Finished["allowed"]>
}

export const outside = (services: Context.Context<never>, provider: Provider): Outside => {
  const limits = Context.get(services, RateLimits.RateLimits)
  const allowed: Record<string, Allowed> = {}
  const through = (model: LanguageModel.Service, name: string): LanguageModel.Service => {
    const { rates } = RateLimits.of(limits, name)
    const most = rates.requests === undefined ? null : { limit: rates.requests, perMs: Duration.toMillis(rates.perMs) }
    if (most !== null) allowed[name] = most
    return provider.of(model, name, most)
  }
  let context = services
  const own = Context.getOption(services, LanguageModel.LanguageModel)
  if (own._tag === "Some") {
    context = Context.add(context, LanguageModel.LanguageModel, through(own.value, RateLimits.unnamed))
  }
  const named = Context.getOption(services, Models.Models)
  if (named._tag === "Some") {
    const built = new Map(
      named.value.names.map((name) => {
        const one = named.value.find(name)!
        const model = through(Context.get(one, LanguageModel.LanguageModel), name)
        return [name, Context.add(one, LanguageModel.LanguageModel, model)] as const
      })
    )
    context = Context.add(context, Models.Models, { ...named.value, find: (name) => built.get(name) })
  }
  return { context, allowed }
}
