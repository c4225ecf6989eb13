/** What a runner has to offer: pools of slots, and tags. Settings, each documented here once, with its environment variable. */
import { type ConfigError, Context, Effect, Either, Layer, Option } from "effect"
import type { Pools } from "../session/index.ts"
import { variable } from "./internal/variable.ts"
import { SettingInvalid } from "./SettingInvalid.ts"

export interface Values {
  /**
   * `PERDURE_POOLS`, e.g. `heavy=2,model=64:8`: how many steps run at once in each pool, and behind a colon how many of one
   * session's. Beside `Pools.defaults`, or instead of them. What the environment says of a pool counts more than what the
   * program does: it knows the machine.
   */
  readonly pools: Pools.Sizes
  /**
   * `PERDURE_TAGS`, e.g. `gpu,eu`: what this runner has and others may not. Tools that ask for a tag run where it is, whatever
   * runner their session is on. What the environment names comes on top of what the program does.
   */
  readonly tags: ReadonlyArray<string>
}

export const defaults: Values = { pools: {}, tags: [] }

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

const wellNamed = /^[A-Za-z0-9][A-Za-z0-9-]{0,31}$/

/** Reads names with commas between them. */
const parseTags = (text: string): Either.Either<ReadonlyArray<string>, string> => {
  const tags = [...new Set(text.split(",").map((tag) => tag.trim()))].filter((tag) => tag !== "")
  const wrong = tags.find((tag) => !wellNamed.test(tag))
  return wrong === undefined
    ? Either.right(tags)
    : Either.left(`${JSON.stringify(wrong.slice(0, 80))} is no tag: use 1 to 32 letters, digits or '-', no '-' first`)
}

export class Capacity extends Context.Reference<Capacity>()("perdure/Capacity", {
  defaultValue: (): Values => defaults
}) {
  /** @param values what the environment adds to */
  static readonly layerConfig = (
    values: { readonly [Name in keyof Values]?: Values[Name] | undefined } = {}
  ): Layer.Layer<never, SettingInvalid | ConfigError.ConfigError> =>
    Layer.effect(
      Capacity,
      Effect.gen(function* () {
        const pools = yield* variable("PERDURE_POOLS", parse)
        const tags = yield* variable("PERDURE_TAGS", parseTags)
        const own = parseTags((values.tags ?? []).join(","))
        if (Either.isLeft(own)) return yield* new SettingInvalid({ setting: "tags", reason: own.left })
        return {
          pools: { ...values.pools, ...Option.getOrElse(pools, () => ({})) },
          tags: [...new Set([...own.right, ...Option.getOrElse(tags, () => [])])]
        }
      })
    ) as Layer.Layer<never, SettingInvalid | ConfigError.ConfigError>
}
