/** Settings of a runner in a cluster, each documented here once, with its unit and environment variable. */
import { randomBytes } from "node:crypto"
import { Config, type ConfigError, Context, type Duration, Effect, Layer, Option, type Redacted } from "effect"

/** Files in PEM form, for mutual TLS. */
export interface TlsSettings {
  /** `PERDURE_TLS_CERT`: this runner's certificate. */
  readonly cert: string
  /** `PERDURE_TLS_KEY`: its private key. */
  readonly key: string
  /** `PERDURE_TLS_CA`: the authority that has signed the certificates of all runners, and of nobody else. */
  readonly ca: string
  /**
   * `PERDURE_TLS_NAME`: the name that every runner's certificate bears. Without it, a runner's certificate must be for the
   * host that is dialled, and a client's may be any of the authority.
   */
  readonly name: string | null
}

export interface Settings {
  /** `PERDURE_HOST`: the name or address by which the other runners reach this one. */
  readonly host: string
  /** `PERDURE_PORT`: the port for runner traffic; 0 takes a free one. */
  readonly port: number
  /** `PERDURE_LISTEN`: the address to listen on. Where it is not set, `host`: what the others are told, and no more. */
  readonly listen: string
  /**
   * `PERDURE_CLUSTER_SECRET`: what runners and clients prove to each other that they know; 32 bytes at least. Several with
   * commas between them while it is changed: the first is shown, each lets in. Where it is not set and there is no TLS, one
   * that the first runner has left in the store.
   */
  readonly secret: Redacted.Redacted | null
  /** Mutual TLS for runner traffic. */
  readonly tls: TlsSettings | null
  /** `PERDURE_HEALTH_PORT`: answers `/healthz` and `/readyz` over HTTP on `listen`; 0 takes a free one. */
  readonly healthPort: number | null
  /** `PERDURE_HEARTBEAT`: how often a runner says that it is alive. */
  readonly heartbeat: Duration.DurationInput
  /** `PERDURE_HEARTBEAT_EXPIRY`: a runner that is silent for longer has hung: its shards are taken. */
  readonly heartbeatExpiry: Duration.DurationInput
  /**
   * `PERDURE_HANG`: a runner whose main loop has not turned for so long is ended by its watchdog, with code 76. `auto`, the
   * default: a heartbeat before the others would take it for dead. `off`: never.
   */
  readonly hang: Duration.DurationInput | "auto" | "off"
  /** How often a runner looks which others are there. */
  readonly refresh: Duration.DurationInput
  /** `PERDURE_SHARDS`: how many shards the sessions are spread over. The same on every runner, for good. */
  readonly shards: number
  /** `PERDURE_WEIGHT`: how many shards this runner takes, compared with others. */
  readonly weight: number
  /**
   * Ends the process when others have taken this runner for dead (I3). The default is to exit at once with code 75: a
   * runner that is not one must not go on calling models and tools.
   */
  readonly onLost: Effect.Effect<void>
  /** Random bytes for what must be unique over all machines. The default is the operating system's. */
  readonly entropy: (bytes: number) => Uint8Array
}

export const defaults: Settings = {
  host: "127.0.0.1",
  port: 0,
  listen: "127.0.0.1",
  secret: null,
  tls: null,
  healthPort: null,
  heartbeat: "500 millis",
  heartbeatExpiry: "5 seconds",
  hang: "auto",
  refresh: "100 millis",
  shards: 300,
  weight: 1,
  onLost: Effect.zipRight(
    Effect.logFatal("This runner was taken for dead by the others and ends itself. Its sessions go on elsewhere."),
    Effect.sync((): void => process.exit(75))
  ),
  entropy: (bytes) => randomBytes(bytes)
}

const complete = (settings: Partial<Settings>): Settings => ({
  ...defaults,
  ...(settings.host === undefined ? {} : { listen: settings.host }),
  ...settings
})

/** One of them asks for TLS; which of them lacks then is said when it is read. */
const tlsFromEnv = Config.map(
  Config.all({
    cert: Config.withDefault(Config.string("TLS_CERT"), ""),
    key: Config.withDefault(Config.string("TLS_KEY"), ""),
    ca: Config.withDefault(Config.string("TLS_CA"), ""),
    name: Config.withDefault(Config.string("TLS_NAME"), "")
  }),
  (tls): TlsSettings | null =>
    Object.values(tls).every((value) => value === "") ? null : { ...tls, name: tls.name === "" ? null : tls.name }
)

const hangFromEnv = Config.orElse(
  Config.withDefault(Config.literal("auto", "off")("HANG"), "auto" as const),
  (): Config.Config<Settings["hang"]> => Config.duration("HANG")
)

export class RunnerSettings extends Context.Tag("perdure/RunnerSettings")<RunnerSettings, Settings>() {
  static readonly layer = (settings: Partial<Settings> = {}): Layer.Layer<RunnerSettings> =>
    Layer.succeed(RunnerSettings, complete(settings))

  /** From the environment, where `settings` does not say. */
  static readonly layerConfig = (
    settings: Partial<Settings> = {}
  ): Layer.Layer<RunnerSettings, ConfigError.ConfigError> =>
    Layer.effect(
      RunnerSettings,
      Effect.map(
        Config.all({
          host: Config.withDefault(Config.nonEmptyString("HOST"), defaults.host),
          port: Config.withDefault(Config.integer("PORT"), defaults.port),
          listen: Config.option(Config.nonEmptyString("LISTEN")),
          secret: Config.option(Config.redacted("CLUSTER_SECRET")),
          tls: tlsFromEnv,
          healthPort: Config.option(Config.integer("HEALTH_PORT")),
          heartbeat: Config.withDefault(Config.duration("HEARTBEAT"), defaults.heartbeat),
          heartbeatExpiry: Config.withDefault(Config.duration("HEARTBEAT_EXPIRY"), defaults.heartbeatExpiry),
          hang: hangFromEnv,
          shards: Config.withDefault(Config.integer("SHARDS"), defaults.shards),
          weight: Config.withDefault(Config.number("WEIGHT"), defaults.weight)
        }).pipe(Config.nested("PERDURE")),
        ({ healthPort, listen, secret, ...rest }) =>
          complete({
            ...rest,
            ...(Option.isSome(listen) ? { listen: listen.value } : {}),
            secret: Option.getOrNull(secret),
            healthPort: Option.getOrNull(healthPort),
            ...settings
          })
      )
    )
}

/** `PERDURE_DATABASE_URL`, or `DATABASE_URL`. */
export const databaseUrl: Config.Config<Redacted.Redacted> = Config.redacted("PERDURE_DATABASE_URL").pipe(
  Config.orElse(() => Config.redacted("DATABASE_URL"))
)
