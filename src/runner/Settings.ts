/** Settings of a runner in a cluster, each documented here once, with its unit and environment variable. */
import { randomBytes } from "node:crypto"
import { Config, type ConfigError, Context, type Duration, Effect, Layer, type Redacted } from "effect"

export interface Settings {
  /** `PERDURE_HOST`: the name or address by which the other runners reach this one. */
  readonly host: string
  /** `PERDURE_PORT`: the port for runner traffic; 0 takes a free one. */
  readonly port: number
  /** `PERDURE_LISTEN`: the address to listen on. Never a public one by default. */
  readonly listen: string
  /** `PERDURE_HEARTBEAT`: how often a runner says that it is alive. */
  readonly heartbeat: Duration.DurationInput
  /** `PERDURE_HEARTBEAT_EXPIRY`: a runner that is silent for longer has hung: its shards are taken. */
  readonly heartbeatExpiry: Duration.DurationInput
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
  heartbeat: "500 millis",
  heartbeatExpiry: "5 seconds",
  refresh: "100 millis",
  shards: 300,
  weight: 1,
  onLost: Effect.zipRight(
    Effect.logFatal("This runner was taken for dead by the others and ends itself. Its sessions go on elsewhere."),
    Effect.sync((): void => process.exit(75))
  ),
  entropy: (bytes) => randomBytes(bytes)
}

export class RunnerSettings extends Context.Tag("perdure/RunnerSettings")<RunnerSettings, Settings>() {
  static readonly layer = (settings: Partial<Settings> = {}): Layer.Layer<RunnerSettings> =>
    Layer.succeed(RunnerSettings, { ...defaults, ...settings })

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
          listen: Config.withDefault(Config.nonEmptyString("LISTEN"), defaults.listen),
          heartbeat: Config.withDefault(Config.duration("HEARTBEAT"), defaults.heartbeat),
          heartbeatExpiry: Config.withDefault(Config.duration("HEARTBEAT_EXPIRY"), defaults.heartbeatExpiry),
          shards: Config.withDefault(Config.integer("SHARDS"), defaults.shards),
          weight: Config.withDefault(Config.number("WEIGHT"), defaults.weight)
        }).pipe(Config.nested("PERDURE")),
        (fromEnvironment) => ({ ...defaults, ...fromEnvironment, ...settings })
      )
    )
}

/** `PERDURE_DATABASE_URL`, or `DATABASE_URL`. */
export const databaseUrl: Config.Config<Redacted.Redacted> = Config.redacted("PERDURE_DATABASE_URL").pipe(
  Config.orElse(() => Config.redacted("DATABASE_URL"))
)
