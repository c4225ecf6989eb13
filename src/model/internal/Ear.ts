/**
 * Hears the headers of a provider's responses, which its package keeps to itself.
 *
 * `@effect/platform`'s HTTP clients write each response's status and headers on a span. Here is a tracer that has such spans
 * and nothing else: it hands the headers on, whatever client it is, and nothing of them goes to anybody who traces (I12).
 */
import * as HttpClient from "@effect/platform/HttpClient"
import { Context, Effect, FiberRef, type Option, Tracer } from "effect"

/** A response has begun. Names are in lower case. */
export type OnResponse = (status: number, headers: Readonly<Record<string, string>>) => void

const statusKey = "http.response.status_code"
const headerKey = "http.response.header."

/** Never shown: the same for all. */
const ids = { traceId: "0".repeat(32), spanId: "0".repeat(16) }

const spanOf = (
  onResponse: OnResponse,
  name: string,
  parent: Option.Option<Tracer.AnySpan>,
  startTime: bigint,
  kind: Tracer.SpanKind
): Tracer.Span => {
  let status: number | null = null
  const headers: Record<string, string> = {}
  return {
    _tag: "Span",
    ...ids,
    name,
    parent,
    kind,
    sampled: false,
    context: Context.empty(),
    status: { _tag: "Started", startTime },
    attributes: new Map(),
    links: [],
    attribute: (key, value) => {
      if (key === statusKey) status = Number(value)
      else if (key.startsWith(headerKey)) headers[key.slice(headerKey.length).toLowerCase()] = String(value)
    },
    event: () => {},
    addLinks: () => {},
    // When the response has begun: its body is read later.
    end: () => {
      if (status !== null) onResponse(status, headers)
    }
  }
}

/** Runs a call to a provider with an ear for its responses. */
export const listening = (
  onResponse: OnResponse
): (<A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) => {
  const tracer = Tracer.make({
    span: (name, parent, _context, _links, startTime, kind) => spanOf(onResponse, name, parent, startTime, kind),
    context: (run) => run()
  })
  return (effect) =>
    effect.pipe(
      Effect.withTracer(tracer),
      Effect.withTracerEnabled(true),
      // What it would tell the provider is no trace of anybody's.
      Effect.locally(HttpClient.currentTracerPropagation, false),
      Effect.locally(FiberRef.currentTracerTimingEnabled, false)
    )
}
