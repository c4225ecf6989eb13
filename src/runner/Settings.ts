/** Settings of a runner in a cluster, each documented here once, with its unit and environment variable. */
import { randomBytes } from "node:crypto"
import { Config, type ConfigError, Context, type Duration, Effect, Layer, Option, type Redacted } from "effect"
import { check } from "./internal/fit.ts"
import { duration, number, text, variable, whole, wordOrDuration } from "./internal/variable.ts"
import type { SettingInvalid } from "./SettingInvalid.ts"

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
  /**
   * `PERDURE_HEARTBEAT_EXPIRY`: a runner that is silent for longer has hung: its shards are taken. At least three times
   * the heartbeat.
   */
  readonly heartbeatExpiry: Duration.DurationInput
  /**
   * `PERDURE_HANG`: a runner whose main loop has not turned for so long is ended by its watchdog, with code 76. `auto`, the
   * default: a heartbeat before the others would take it for dead. `off`: never.
   */
  readonly hang: Duration.DurationInput | "auto" | "off"
  /** How often a runner looks which others are there. */
  readonly refresh: Duration.DurationInput
  /** `PERDURE_SHARDS`: how many shards the sessions are spread over. The same on every runner, for good. 1 to 100,000. */
  readonly shards: number
  /**
   * `PERDURE_WEIGHT`: how many shards this runner takes, compared with others: 0.1 at least, or 0 for one that has no
   * sessions, but tools that ask for its tags.
   */
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
  refresh: "50 millis",
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
const tlsFromEnv = Effect.map(
  Effect.all({
    cert: variable("PERDURE_TLS_CERT", text),
    key: variable("PERDURE_TLS_KEY", text),
    ca: variable("PERDURE_TLS_CA", text),
    name: variable("PERDURE_TLS_NAME", text)
  }),
  ({ name, ...files }): TlsSettings | null => {
    const [cert, key, ca] = [files.cert, files.key, files.ca].map((file) => Option.getOrElse(file, () => ""))
    const isAsked = [cert, key, ca].some((file) => file !== "") || Option.isSome(name)
    return isAsked ? { cert: cert!, key: key!, ca: ca!, name: Option.getOrNull(name) } : null
  }
)

/** What the environment says. */
const fromEnv = Effect.gen(function* () {
  const found = yield* Effect.all({
    host: variable("PERDURE_HOST", text),
    port: variable("PERDURE_PORT", whole),
    listen: variable("PERDURE_LISTEN", text),
    // One that is empty is a mistake, not a secret that is not set.
    secret: Config.option(Config.redacted("PERDURE_CLUSTER_SECRET")),
    healthPort: variable("PERDURE_HEALTH_PORT", whole),
    heartbeat: variable("PERDURE_HEARTBEAT", duration),
    heartbeatExpiry: variable("PERDURE_HEARTBEAT_EXPIRY", duration),
    hang: variable("PERDURE_HANG", wordOrDuration("auto", "off")),
    shards: variable("PERDURE_SHARDS", whole),
    weight: variable("PERDURE_WEIGHT", number)
  })
  const set = Object.entries<Option.Option<unknown>>(found).flatMap(([name, value]) =>
    Option.isSome(value) ? [[name, value.value]] : []
  )
  return { tls: yield* tlsFromEnv, ...Object.fromEntries(set) } as Partial<Settings>
})

/** Why settings are none. */
export type Wrong = SettingInvalid | ConfigError.ConfigError

export class RunnerSettings extends Context.Tag("perdure/RunnerSettings")<RunnerSettings, Settings>() {
  /** As they are given. {@link Cluster.layerRunner} and its like refuse those that cannot work. */
  static readonly layer = (settings: Partial<Settings> = {}): Layer.Layer<RunnerSettings> =>
    Layer.succeed(RunnerSettings, complete(settings))

  /** From the environment, where `settings` does not say. Refuses what a runner cannot work with. */
  static readonly layerConfig = (settings: Partial<Settings> = {}): Layer.Layer<RunnerSettings, Wrong> =>
    Layer.effect(
      RunnerSettings,
      Effect.flatMap(fromEnv, (env) => check(complete({ ...env, ...settings })))
    )
}
