/** Which store a command is about, and how it is reached. */
import { Config, ConfigProvider, Effect, Layer, Option, Redacted, Schema } from "effect"
import type { Blobs } from "../blob/index.ts"
import type { Client } from "../client/index.ts"
import { explain, Namespace } from "../domain/Id.ts"
import type { Journal } from "../journal/index.ts"
import { Runner } from "../runner/index.ts"
import { Store } from "../store/index.ts"
import { BadArgument, NoRunner } from "./CliError.ts"

export type Where =
  | { readonly _tag: "Directory"; readonly directory: string; readonly namespace: Namespace }
  | { readonly _tag: "Database"; readonly url: Redacted.Redacted; readonly namespace: Namespace }

export interface Options {
  readonly directory: Option.Option<string>
  readonly database: Option.Option<Redacted.Redacted>
  readonly namespace: string
}

/** What is said on the command line goes before the environment, a database there before a directory. */
export const of = (options: Options): Effect.Effect<Where, BadArgument> =>
  Effect.gen(function* () {
    const namespace = yield* Schema.decodeUnknown(Namespace)(options.namespace).pipe(
      Effect.mapError((error) => new BadArgument({ argument: "--namespace", reason: explain(error) }))
    )
    const fromEnvironment = yield* Effect.orDie(
      Effect.all({
        url: Config.option(Config.redacted("PERDURE_DATABASE_URL")),
        directory: Config.withDefault(Config.nonEmptyString("PERDURE_DIRECTORY"), ".perdure")
      })
    )
    if (Option.isSome(options.database) && Option.isSome(options.directory)) {
      return yield* new BadArgument({ argument: "--database", reason: "give it or --directory, not both" })
    }
    if (Option.isSome(options.directory)) {
      return { _tag: "Directory", directory: options.directory.value, namespace }
    }
    const url = Option.orElse(options.database, () => fromEnvironment.url)
    return Option.isSome(url)
      ? { _tag: "Database", url: url.value, namespace }
      : { _tag: "Directory", directory: fromEnvironment.directory, namespace }
  })

/** The options that name the same store again: for commands that are told to the user. */
export const flags = (where: Where): string => {
  const namespace = where.namespace === "default" ? "" : ` --namespace ${where.namespace}`
  // A URL holds a password: it is not repeated.
  return where._tag === "Directory"
    ? `${where.directory === ".perdure" ? "" : ` --directory ${where.directory}`}${namespace}`
    : namespace
}

/** Reads the store; needs no runner. */
export const reader = (where: Where) =>
  Runner.layerReader(where._tag === "Directory" ? { directory: where.directory } : { url: where.url })

/** The runtime takes its database from the configuration. */
export const withDatabase =
  (url: Redacted.Redacted) =>
  <A, E, R>(layer: Layer.Layer<A, E, R>): Layer.Layer<A, E, R> =>
    Layer.provide(
      layer,
      Layer.unwrapEffect(
        Effect.configProviderWith((environment) =>
          Effect.succeed(
            Layer.setConfigProvider(
              ConfigProvider.orElse(
                ConfigProvider.fromMap(new Map([["PERDURE_DATABASE_URL", Redacted.value(url)]])),
                () => environment
              )
            )
          )
        )
      )
    )

/** A runner that is silent for longer is none. */
const silenceMs = 5000

/** Reaches the sessions through the runners that are up; fails at once where there are none. */
export const client = (where: Where): Layer.Layer<Client.Client | Store | Journal | Blobs, unknown> =>
  where._tag === "Directory"
    ? Layer.catchAll(Runner.layerLocal({ directory: where.directory }), (error) =>
        Layer.fail(
          error._tag === "NoRunner"
            ? new NoRunner({
                reason: `none works on ${where.directory}; start one with \`perdure serve MODULE${flags(where)}\``
              })
            : error
        )
      )
    : Layer.unwrapEffect(
        Effect.gen(function* () {
          const store = yield* Store
          if ((yield* store.runners(silenceMs)).length === 0) {
            return yield* new NoRunner({
              reason: "none is registered in this database; start one with `perdure serve MODULE --database URL`"
            })
          }
          return withDatabase(where.url)(Runner.layerClient())
        }).pipe(Effect.provide(reader(where)))
      )

/** {@link client}, until the scope closes. */
export const buildClient = (where: Where) => Layer.build(client(where))
