import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, Metric, Option, Schema, Tracer } from "effect"
import { Content, Metrics, Names, Spans } from "../../src/telemetry/index.ts"

interface Seen {
  readonly name: string
  readonly traceId: string
  readonly kind: string
  readonly attributes: ReadonlyMap<string, unknown>
  readonly links: ReadonlyArray<Tracer.SpanLink>
}

/** A tracer that keeps what it is given. */
const recording = () => {
  const seen: Array<Seen> = []
  const native = Tracer.make({
    context: (f) => f(),
    span(name, parent, context, links, startTime, kind) {
      const attributes = new Map<string, unknown>()
      const span: Tracer.Span = {
        _tag: "Span",
        name,
        spanId: `span-${seen.length}`,
        traceId: Option.match(parent, { onNone: () => "new", onSome: (span) => span.traceId }),
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes,
        links,
        sampled: true,
        kind,
        end: () => {},
        attribute: (key, value) => void attributes.set(key, value),
        event: () => {},
        addLinks: () => {}
      }
      seen.push(span)
      return span
    }
  })
  return { seen, layer: Layer.setTracer(native) }
}

const subject = { namespace: "default", session: "s1", agent: "weather", version: "1", turn: 3, epoch: 7 }
const attempt = { namespace: "default", session: "s1", step: "t3.s2", attempt: 2 }
const usage = {
  inputTokens: 100,
  outputTokens: 20,
  reasoningTokens: 5,
  cacheReadTokens: 60,
  cacheWriteTokens: 10,
  usd: 0.25
}

describe("spans", () => {
  it.effect("without a tracer nothing is built: no span, no attribute is read", () =>
    Effect.gen(function* () {
      const untouchable = new Proxy(subject, {
        get: () => assert.fail("attributes were built though nobody looks")
      })
      const inside = yield* Effect.option(Effect.currentSpan).pipe(Spans.turn(untouchable))
      yield* Spans.content(() => assert.fail("content was built though nobody looks"))
      assert.isTrue(Option.isNone(inside))
      assert.isFalse(yield* Spans.enabled)
    })
  )

  it.effect("a turn, its model call and its tool call are named and attributed by the table", () => {
    const { seen, layer } = recording()
    return Effect.gen(function* () {
      yield* Effect.gen(function* () {
        yield* Spans.modelResult({ model: "claude-x-1", id: "msg_1", finishReason: "tool-calls", usage }).pipe(
          Spans.modelCall({ ...attempt, provider: "anthropic", model: "claude-x" })
        )
        yield* Effect.void.pipe(Spans.toolCall({ ...attempt, tool: "get_weather", callId: "toolu_1" }))
      }).pipe(Spans.turn(subject))

      assert.deepStrictEqual(
        seen.map((span) => [span.name, span.kind]),
        [
          ["invoke_agent weather", "internal"],
          ["chat claude-x", "client"],
          ["execute_tool get_weather", "internal"]
        ]
      )
      const [turn, model, tool] = seen.map((span) => Object.fromEntries(span.attributes))
      assert.deepStrictEqual(turn, {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "weather",
        "gen_ai.agent.version": "1",
        "gen_ai.conversation.id": "s1",
        "perdure.namespace": "default",
        "perdure.turn": 3,
        "perdure.epoch": 7
      })
      assert.deepStrictEqual(model, {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-x",
        "gen_ai.response.model": "claude-x-1",
        "gen_ai.response.id": "msg_1",
        "gen_ai.response.finish_reasons": ["tool-calls"],
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.cache_creation.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "perdure.cost.usd": 0.25,
        "gen_ai.conversation.id": "s1",
        "perdure.namespace": "default",
        "perdure.step": "t3.s2",
        "perdure.attempt": 2
      })
      assert.strictEqual(tool?.["gen_ai.tool.call.id"], "toolu_1")
      assert.strictEqual(tool?.["gen_ai.tool.name"], "get_weather")
    }).pipe(Effect.provide(layer))
  })

  it.effect("a turn that goes on elsewhere is in the same trace, another turn is not", () => {
    const { seen, layer } = recording()
    return Effect.gen(function* () {
      const here = Spans.turn(subject)
      const elsewhere = Spans.turn({ ...subject, epoch: 8 })
      const next = Spans.turn({ ...subject, turn: 4 })
      yield* Effect.withSpan(here(Effect.void), "the caller's")
      yield* elsewhere(Effect.void)
      yield* next(Effect.void)
      const [caller, first, second, third] = seen
      assert.strictEqual(first?.traceId, second?.traceId)
      assert.match(first?.traceId ?? "", /^[0-9a-f]{32}$/)
      assert.notStrictEqual(first?.traceId, third?.traceId)
      assert.strictEqual(first?.links[0]?.span.traceId, caller?.traceId)
    }).pipe(Effect.provide(layer))
  })

  it.effect("what fails says its class, its tag or its name; what is interrupted says nothing", () => {
    const { seen, layer } = recording()
    class Full extends Schema.TaggedError<Full>()("MailboxFull", {}) {}
    const attemptOf = Spans.toolCall({ ...attempt, tool: "t" })
    return Effect.gen(function* () {
      yield* Effect.exit(attemptOf(new Full()))
      yield* Effect.exit(attemptOf(Effect.fail({ failure: { class: "RateLimited" } })))
      yield* Effect.exit(attemptOf(Effect.die(new TypeError("x"))))
      const exit = yield* Effect.exit(attemptOf(Effect.interrupt))
      yield* attemptOf(Spans.failed("Refused"))
      assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      assert.deepStrictEqual(
        seen.map((span) => span.attributes.get("error.type")),
        ["MailboxFull", "RateLimited", "TypeError", undefined, "Refused"]
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("content is on the span only when it is asked for, and is cut", () => {
    const { seen, layer } = recording()
    const call = Spans.content(() => ({ toolArguments: { city: "Paris" }, toolResult: "x".repeat(100_000) })).pipe(
      Spans.toolCall({ ...attempt, tool: "t" })
    )
    return Effect.gen(function* () {
      yield* call
      yield* call.pipe(Effect.provide(Content.layer(true)))
      assert.isFalse(seen[0]?.attributes.has("gen_ai.tool.call.arguments"))
      assert.strictEqual(seen[1]?.attributes.get("gen_ai.tool.call.arguments"), '{"city":"Paris"}')
      assert.strictEqual(String(seen[1]?.attributes.get("gen_ai.tool.call.result")).length, Spans.maxContent)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a span changes neither the value, nor the error, nor the services of its effect", () => {
    class Service extends Context.Tag("test/Service")<Service, number>() {}
    const { layer } = recording()
    const program: Effect.Effect<number, "no", Service> = Effect.flatMap(Service, (n) =>
      n > 1 ? Effect.succeed(n) : Effect.fail("no" as const)
    ).pipe(Spans.step({ ...attempt, name: "custom" }))
    return Effect.gen(function* () {
      assert.strictEqual(yield* Effect.provideService(program, Service, 2), 2)
      assert.strictEqual(yield* Effect.flip(Effect.provideService(program, Service, 1)), "no")
    }).pipe(Effect.provide(layer))
  })
})

describe("names", () => {
  it("no two attributes share a key, and ours are under perdure.", () => {
    const keys = [...Object.values(Names.Attribute), ...Object.values(Names.ContentAttribute)]
    assert.strictEqual(new Set(keys).size, keys.length)
    for (const key of keys) assert.match(key, /^(gen_ai|perdure)\.[a-z_.]+$|^error\.type$/)
  })
})

describe("metrics", () => {
  it.effect("names from outside do not grow memory without bound", () =>
    Effect.gen(function* () {
      for (let i = 0; i < 2_000; i++) {
        Metrics.turnEnded({ agent: `agent-${i}`, outcome: "Completed" })
      }
      const count = Metric.unsafeSnapshot().filter((pair) => pair.metricKey.name === Names.MetricName.turns.name).length
      assert.isAtMost(count, 501)
    })
  )
})
