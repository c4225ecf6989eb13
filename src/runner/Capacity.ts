/** What a runner has to offer: pools of slots. Settings, each documented here once, with its environment variable. */
import { Config, ConfigError, Context, Effect, Either, Layer, Option } from "effect"
import type { Pools } from "../session/index.ts"

export interface Values {
  /**
   * `PERDURE_POOLS`, e.g. `heavy=2,model=64:8`: how many steps run at once in each pool, and behind a colon how many of one
   * session's. Beside `Pools.defaults`, or instead of them. What the environment says of a pool counts more than what the
   * program does: it knows the machine.
   */
  readonly pools: Pools.Sizes
}

export const defaults: Values = { pools: {} }

const one = /^([^=]+)=(\d+)(?::(\d+))?$/

/** Reads `name=slots` or `name=slots:perSession`, with commas between them. */
export const parse = (text: string): Either.Either<Pools.Sizes, string> => {
  const sizes: Record<string, Pools.Size> = {}
  for (const part of text.split(",").map((part) => part.trim())) {
    if (part === "") continue
    const found = one.exec(part)
    if (found === null) {
      return Either.left(`${JSON.stringify(part.slice(0, 80))} is no pool: write name=slots, or name=slots:perSession`)
    }
    const [, name, slots, perSession] = found
    sizes[name!.trim()] = {
      slots: Number(slots),
      ...(perSession === undefined ? {} : { perSession: Number(perSession) })
    }
  }
  return Either.right(sizes)
}

const fromEnv = Config.string("PERDURE_POOLS").pipe(
  Config.mapOrFail((text) =>
    Either.mapLeft(parse(text), (reason) => ConfigError.InvalidData(["PERDURE_POOLS"], reason))
  ),
  Config.option
)

export class Capacity extends Context.Reference<Capacity>()("perdure/Capacity", {
  defaultValue: (): Values => defaults
}) {
  /** @param values what the environment adds to */
  static readonly layerConfig = (values: Partial<Values> = {}): Layer.Layer<never, ConfigError.ConfigError> =>
    Layer.effect(
      Capacity,
      Effect.map(fromEnv, (pools) => ({ pools: { ...values.pools, ...Option.getOrElse(pools, () => ({})) } }))
    ) as Layer.Layer<never, ConfigError.ConfigError>
}
