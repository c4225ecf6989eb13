/**
 * Exports traces and metrics by OTLP over HTTP, when the environment names a collector; otherwise nothing at all.
 *
 * A collector is never worth a session: whatever it does (refuse, hang, fall behind) costs dropped spans and bounded
 * memory, and one warning. And it is outside: without `PERDURE_TELEMETRY_CONTENT` no error text leaves with a span (I12).
 */
import * as OtlpMetrics from "@effect/opentelemetry/OtlpMetrics"
import * as OtlpSerialization from "@effect/opentelemetry/OtlpSerialization"
import * as OtlpTracer from "@effect/opentelemetry/OtlpTracer"
import { FetchHttpClient, HttpClient, HttpClientError } from "@effect/platform"
import { Config, Duration, Effect, Layer, Option, Redacted } from "effect"
import { Content } from "../telemetry/index.ts"
import { exporting } from "./internal/otlpSpans.ts"

/** Where telemetry goes, as the variables of OpenTelemetry's specification say. */
export interface Settings {
  /** `OTEL_EXPORTER_OTLP_ENDPOINT`: base URL; `/v1/traces` and `/v1/metrics` are added. */
  readonly endpoint: string
  /** `OTEL_SERVICE_NAME`; `perdure` unless set. */
  readonly serviceName: string
  /** `OTEL_EXPORTER_OTLP_HEADERS`: `name=value,…`, values URL-encoded. Secret. */
  readonly headers: Readonly<Record<string, Redacted.Redacted>>
  /** `OTEL_EXPORTER_OTLP_PROTOCOL`: `http/protobuf` or, unless set, `http/json`. */
  readonly protocol: "http/json" | "http/protobuf"
  /** `OTEL_BSP_SCHEDULE_DELAY`, in milliseconds; 5000 unless set. */
  readonly tracesInterval: Duration.Duration
  /** `OTEL_METRIC_EXPORT_INTERVAL`, in milliseconds; 60000 unless set. */
  readonly metricsInterval: Duration.Duration
  /** `PERDURE_TELEMETRY_CONTENT`: see `telemetry/Content`. */
  readonly content: boolean
}

/** How long one request may take. */
const requestTimeout = Duration.seconds(5)

/** How long the end of the runner may wait for the last export, for traces and metrics each. */
const shutdownTimeout = Duration.millis(500)

/** Requests under way at once. A collector that falls behind further loses spans. */
const maxInFlight = 4

/** `name=value,…` as the specification encodes it. What is no pair is left out: it may be half a secret, so it is not shown. */
const parseHeaders = (text: string): Record<string, Redacted.Redacted> => {
  const headers: Record<string, Redacted.Redacted> = {}
  for (const pair of text.split(",")) {
    const at = pair.indexOf("=")
    const name = pair.slice(0, Math.max(at, 0)).trim()
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) continue
    try {
      headers[name] = Redacted.make(decodeURIComponent(pair.slice(at + 1).trim()))
    } catch {
      headers[name] = Redacted.make(pair.slice(at + 1).trim())
    }
  }
  return headers
}

const millis = (name: string, fallback: number) =>
  Config.integer(name).pipe(
    Config.withDefault(fallback),
    Config.map((ms) => Duration.millis(Math.max(ms, 1)))
  )

/** The settings in the environment; none when no endpoint is named, or when `OTEL_SDK_DISABLED` is true. */
export const config: Config.Config<Option.Option<Settings>> = Config.all({
  disabled: Config.boolean("OTEL_SDK_DISABLED").pipe(Config.withDefault(false)),
  endpoint: Config.string("OTEL_EXPORTER_OTLP_ENDPOINT").pipe(Config.withDefault("")),
  serviceName: Config.nonEmptyString("OTEL_SERVICE_NAME").pipe(Config.withDefault("perdure")),
  headers: Config.redacted("OTEL_EXPORTER_OTLP_HEADERS").pipe(
    Config.withDefault(Redacted.make("")),
    Config.map((text) => parseHeaders(Redacted.value(text)))
  ),
  protocol: Config.string("OTEL_EXPORTER_OTLP_PROTOCOL").pipe(
    Config.withDefault("http/json"),
    Config.map((name): Settings["protocol"] => (name === "http/protobuf" ? name : "http/json"))
  ),
  tracesInterval: millis("OTEL_BSP_SCHEDULE_DELAY", 5000),
  metricsInterval: millis("OTEL_METRIC_EXPORT_INTERVAL", 60_000),
  content: Content.config
}).pipe(
  Config.map(({ disabled, ...settings }) =>
    disabled || settings.endpoint.trim() === ""
      ? Option.none()
      : Option.some({ ...settings, endpoint: settings.endpoint.trim() })
  )
)

/** The client that exporters post with: bounded in time and in number, silent but for its first failure. */
const guarded = (client: HttpClient.HttpClient, host: string): HttpClient.HttpClient => {
  let inFlight = 0
  let warned = false
  const warn = Effect.suspend(() => {
    if (warned) return Effect.void
    warned = true
    return Effect.logWarning(
      `no telemetry reaches ${host}: spans are dropped and the runner goes on; check OTEL_EXPORTER_OTLP_ENDPOINT`
    )
  })
  return HttpClient.transform(client, (effect, request) =>
    Effect.suspend(() => {
      if (inFlight >= maxInFlight) {
        // No "Transport": the exporter would keep the batch and try again, and it is memory that is short here.
        return Effect.fail(
          new HttpClientError.RequestError({ request, reason: "Encode", description: "the collector does not keep up" })
        )
      }
      inFlight++
      return effect.pipe(
        // A body that nobody reads keeps its connection.
        Effect.tap((response) => Effect.ignore(response.arrayBuffer)),
        Effect.tap((response) => (response.status >= 400 ? warn : Effect.void)),
        Effect.timeoutFail({
          duration: requestTimeout,
          onTimeout: () => new HttpClientError.RequestError({ request, reason: "Transport", description: "no answer" })
        }),
        Effect.tapError(() => warn),
        Effect.ensuring(
          Effect.sync(() => {
            inFlight--
          })
        )
      )
    })
  )
}

/** Exports as the settings say. An endpoint that is no URL is a warning and no telemetry. */
export const layer = (settings: Settings): Layer.Layer<never> => {
  const base = settings.endpoint.replace(/\/+$/, "")
  if (!URL.canParse(base) || !/^https?:$/.test(new URL(base).protocol)) {
    return Layer.effectDiscard(
      Effect.logWarning("OTEL_EXPORTER_OTLP_ENDPOINT is no http(s) URL, such as http://localhost:4318: no telemetry")
    )
  }
  const exporter = {
    resource: { serviceName: settings.serviceName },
    headers: Object.fromEntries(Object.entries(settings.headers).map(([name, value]) => [name, Redacted.value(value)])),
    shutdownTimeout
  }
  const traces = OtlpTracer.make({
    ...exporter,
    url: `${base}/v1/traces`,
    exportInterval: settings.tracesInterval
  }).pipe(
    Effect.map((tracer) => Layer.setTracer(exporting(tracer, settings.content))),
    Layer.unwrapScoped
  )
  const metrics = OtlpMetrics.layer({
    ...exporter,
    url: `${base}/v1/metrics`,
    exportInterval: settings.metricsInterval
  })
  const client = Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, (client) => guarded(client, new URL(base).host))
  ).pipe(Layer.provide(FetchHttpClient.layer))
  return Layer.mergeAll(traces, metrics, Content.layer(settings.content)).pipe(
    Layer.provide(
      Layer.merge(
        client,
        settings.protocol === "http/protobuf" ? OtlpSerialization.layerProtobuf : OtlpSerialization.layerJson
      )
    )
  )
}

/**
 * Exports as the environment says; an empty layer where it says nothing. A setting that does not parse is a warning and
 * no telemetry. Provide it *below* what is to be seen: the tracer reaches what is built on this layer.
 */
export const layerFromEnv: Layer.Layer<never> = Layer.unwrapEffect(
  config.pipe(
    Effect.map(Option.match({ onNone: () => Layer.empty, onSome: layer })),
    Effect.catchTag("ConfigError", (error) =>
      // Only where it is wrong: a value may be a secret.
      Effect.as(
        Effect.logWarning(`no telemetry: ${"path" in error ? error.path.join("_") : "a setting"} does not parse`),
        Layer.empty
      )
    )
  )
)
