/**
 * Whether telemetry may carry what people and models said (I12): no, unless the operator says so.
 *
 * A `FiberRef`, as the tracer is: it reaches each fiber that the tracer reaches, also those of services that were built
 * before a request came.
 */
import { Config, Effect, FiberRef, GlobalValue, Layer } from "effect"

/** True when message content and error texts may go on spans. False by default. */
export const CaptureContent: FiberRef.FiberRef<boolean> = GlobalValue.globalValue(
  "perdure/telemetry/CaptureContent",
  () => FiberRef.unsafeMake(false)
)

const yes = new Set(["true", "1", "yes", "on", "span_only", "span_and_event"])

/**
 * `PERDURE_TELEMETRY_CONTENT`, or else `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`: `true` turns content on.
 * Whatever it does not understand leaves content off.
 */
export const config: Config.Config<boolean> = Config.string("PERDURE_TELEMETRY_CONTENT").pipe(
  Config.orElse(() => Config.string("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")),
  Config.withDefault("false"),
  Config.map((value) => yes.has(value.trim().toLowerCase()))
)

/** Sets {@link CaptureContent} for what is built on it. */
export const layer = (capture: boolean): Layer.Layer<never> => Layer.locallyScoped(CaptureContent, capture)

/** Sets {@link CaptureContent} as {@link config} says. */
export const layerFromConfig: Layer.Layer<never> = Layer.unwrapEffect(Effect.map(Effect.orDie(config), layer))
