import { createServer, type IncomingHttpHeaders } from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Fiber, Layer, Logger, Schema } from "effect"
import { layerFromEnv } from "../../src/runner/Otlp.ts"
import { Metrics, Names, Spans } from "../../src/telemetry/index.ts"

type Value = { stringValue?: string; intValue?: number; boolValue?: boolean; arrayValue?: { values: Array<Value> } }
type KeyValues = Array<{ key: string; value: Value }>
interface Span {
  name: string
  traceId: string
  parentSpanId?: string
  spanId: string
  attributes: KeyValues
  events: Array<{ name: string; attributes: KeyValues }>
  status: { code: number; message?: string }
}
interface Request {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** A collector that keeps what it gets; `status` is what it answers, `null` for never. */
const collector = (status: number | null = 200) =>
  Effect.acquireRelease(
    Effect.async<{ url: string; requests: Array<Request>; close: () => void }>((resume) => {
      const requests: Array<Request> = []
      const server = createServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => {
          requests.push({
            path: request.url ?? "",
            headers: request.headers,
            text: Buffer.concat(chunks).toString("utf8")
          })
          if (status !== null) response.writeHead(status).end()
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        resume(
          Effect.succeed({
            url: `http://127.0.0.1:${port}`,
            requests,
            close: () => {
              server.closeAllConnections()
              server.close()
            }
          })
        )
      })
    }),
    (server) => Effect.sync(server.close)
  )

const spansOf = (requests: ReadonlyArray<Request>): Array<Span> =>
  requests
    .filter((request) => request.path === "/v1/traces")
    .flatMap((request) =>
      (JSON.parse(request.text).resourceSpans as Array<{ scopeSpans: Array<{ spans: Array<Span> }> }>).flatMap(
        (resource) => resource.scopeSpans.flatMap((scope) => scope.spans)
      )
    )

const attributesOf = (span: { attributes: KeyValues }): Record<string, unknown> =>
  Object.fromEntries(
    span.attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.boolValue ?? value])
  )

class Broken extends Schema.TaggedError<Broken>()("Broken", { text: Schema.String }) {
  override get message() {
    return this.text
  }
}

const attempt = { namespace: "default", session: "s1", step: "t1.s1", attempt: 1 }

/** A turn that works, logs and fails, with a canary in each place where content could be. */
const work = Effect.gen(function* () {
  yield* Effect.gen(function* () {
    yield* Spans.content(() => ({ toolArguments: { secret: "canary-argument" } }))
    yield* Effect.log("canary-log")
  }).pipe(Spans.toolCall({ ...attempt, tool: "get_weather", callId: "c1" }))
  yield* Effect.exit(
    new Broken({ text: "canary-error" }).pipe(Spans.toolCall({ ...attempt, tool: "break", callId: "c2" }))
  )
  Metrics.stepEnded({ kind: "tool", outcome: "StepSucceeded", durationMs: 12 })
}).pipe(
  Spans.turn({ namespace: "default", session: "s1", agent: "weather", version: "1", turn: 1 }),
  // Housekeeping: neither it nor what is below it is sent.
  Effect.andThen(Effect.withSpan(Effect.withSpan(Effect.void, "below"), "sql.execute")),
  Effect.andThen(Effect.withSpan(Effect.void, "perdure/Session.client.Pull")),
  // The cluster's own spans are sent without the session's id in their names.
  Effect.andThen(Effect.withSpan(Effect.void, "perdure/Session(default/a(b).c).Create")),
  Effect.provide(Logger.remove(Logger.defaultLogger))
)

const runWith = (env: Record<string, string>) =>
  work.pipe(
    Effect.provide(
      Layer.provide(layerFromEnv, Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(env)))))
    )
  )

describe("OTLP export", () => {
  it.scopedLive("sends spans and metrics as the table names them, with service name and headers", () =>
    Effect.gen(function* () {
      const server = yield* collector()
      yield* runWith({
        OTEL_EXPORTER_OTLP_ENDPOINT: `${server.url}/`,
        OTEL_SERVICE_NAME: "shop",
        OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20canary-key, x-team=a"
      })
      const spans = spansOf(server.requests)
      assert.sameMembers(
        spans.map((span) => span.name),
        ["execute_tool get_weather", "execute_tool break", "invoke_agent weather", "perdure/Session.Create"]
      )
      const turn = spans.find((span) => span.name === "invoke_agent weather")
      const tools = spans.filter((span) => span.name.startsWith("execute_tool"))
      assert.isUndefined(turn?.parentSpanId, "the turn is the root of its trace")
      assert.strictEqual(turn?.traceId, Spans.traceOf({ namespace: "default", session: "s1", turn: 1 }).traceId)
      for (const tool of tools) {
        assert.strictEqual(tool.parentSpanId, turn?.spanId)
        assert.strictEqual(tool.traceId, turn?.traceId)
        assert.strictEqual(attributesOf(tool)[Names.Attribute.operation], "execute_tool")
        assert.strictEqual(attributesOf(tool)[Names.Attribute.conversation], "s1")
      }
      const broken = tools.find((span) => span.name === "execute_tool break")
      assert.strictEqual(attributesOf(broken ?? { attributes: [] })["error.type"], "Broken")
      assert.strictEqual(attributesOf(broken?.events[0] ?? { attributes: [] })["exception.type"], "Broken")

      const metrics = server.requests.filter((request) => request.path === "/v1/metrics").map(({ text }) => text)
      assert.include(metrics.join(), `"name":"${Names.MetricName.stepDuration.name}"`)
      assert.include(metrics.join(), '"unit":"s"')
      for (const request of server.requests) {
        assert.strictEqual(request.headers.authorization, "Bearer canary-key")
        assert.strictEqual(request.headers["x-team"], "a")
        assert.include(request.text, '"key":"service.name","value":{"stringValue":"shop"}')
      }
    })
  )

  it.scopedLive("sends no content unless asked: no argument, no log line, no text of an error (I12)", () =>
    Effect.gen(function* () {
      const server = yield* collector()
      yield* runWith({ OTEL_EXPORTER_OTLP_ENDPOINT: server.url })
      assert.isNotEmpty(spansOf(server.requests))
      for (const { text } of server.requests) assert.notInclude(text, "canary")
    })
  )

  it.scopedLive("sends content when PERDURE_TELEMETRY_CONTENT asks for it", () =>
    Effect.gen(function* () {
      const server = yield* collector()
      yield* runWith({ OTEL_EXPORTER_OTLP_ENDPOINT: server.url, PERDURE_TELEMETRY_CONTENT: "true" })
      const all = server.requests.map(({ text }) => text).join()
      for (const canary of ["canary-argument", "canary-log", "canary-error"]) assert.include(all, canary)
    })
  )

  it.scopedLive("sends protobuf where that is asked for", () =>
    Effect.gen(function* () {
      const server = yield* collector()
      yield* runWith({ OTEL_EXPORTER_OTLP_ENDPOINT: server.url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf" })
      const traces = server.requests.find((request) => request.path === "/v1/traces")
      assert.strictEqual(traces?.headers["content-type"], "application/x-protobuf")
      assert.include(traces?.text ?? "", "invoke_agent weather")
    })
  )

  it.scopedLive("is nothing at all when no endpoint is named, or when it is disabled", () =>
    Effect.gen(function* () {
      const server = yield* collector()
      const enabled = (env: Record<string, string>) =>
        Spans.enabled.pipe(
          Effect.provide(
            Layer.provide(layerFromEnv, Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(env)))))
          )
        )
      assert.isFalse(yield* enabled({}))
      assert.isFalse(yield* enabled({ OTEL_EXPORTER_OTLP_ENDPOINT: "" }))
      assert.isFalse(yield* enabled({ OTEL_EXPORTER_OTLP_ENDPOINT: server.url, OTEL_SDK_DISABLED: "true" }))
      assert.isFalse(yield* enabled({ OTEL_EXPORTER_OTLP_ENDPOINT: "localhost:4318" }))
      assert.isFalse(
        yield* enabled({ OTEL_EXPORTER_OTLP_ENDPOINT: server.url, OTEL_BSP_SCHEDULE_DELAY: "canary-soon" })
      )
      assert.isTrue(yield* enabled({ OTEL_EXPORTER_OTLP_ENDPOINT: server.url }))
      assert.isEmpty(spansOf(server.requests))
    })
  )

  for (const [name, status] of [
    ["refuses", 503],
    ["never answers", null]
  ] as const) {
    it.scopedLive(`a collector that ${name} harms nothing and does not hold up the end`, () =>
      Effect.gen(function* () {
        const server = yield* collector(status)
        const fiber = yield* Effect.fork(runWith({ OTEL_EXPORTER_OTLP_ENDPOINT: server.url }))
        const exit = yield* Fiber.await(fiber).pipe(Effect.timeout("4 seconds"))
        assert.isTrue(exit._tag === "Success")
      })
    )
  }

  it.scopedLive("a collector that is not there harms nothing", () =>
    Effect.gen(function* () {
      const server = yield* collector()
      server.close()
      yield* runWith({ OTEL_EXPORTER_OTLP_ENDPOINT: server.url }).pipe(Effect.timeout("4 seconds"))
    })
  )
})
