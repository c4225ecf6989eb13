/** I12: what a provider's error holds (headers with the API key, bodies that quote both) goes nowhere. */
import { inspect } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Cause, Effect, Exit, FiberRef, type Layer, Logger, LogLevel, Option, Schema, Tracer } from "effect"
import type { LanguageModel } from "@effect/ai/LanguageModel"
import { StepFailure } from "../../src/domain/Failure.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as OpenAi from "../support/FakeOpenAi.ts"
import * as Fake from "../support/FakeProvider.ts"
import { call } from "../support/modelCall.ts"

const key = "sk-canary-0123456789"
const bodyCanary = "canary_in_the_body"
const canaries = [key, "canary"]

/** Everything that a tracer is told. */
const recorder = () => {
  const seen: Array<unknown> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      seen.push(name, attributes)
      return {
        _tag: "Span",
        name,
        spanId: "0",
        traceId: "0",
        parent,
        context,
        links,
        kind,
        sampled: true,
        attributes,
        status: { _tag: "Started", startTime },
        attribute: (name, value) => void attributes.set(name, value),
        end: (_, exit) => void seen.push(Exit.isFailure(exit) ? [exit.cause, Cause.pretty(exit.cause)] : exit),
        event: (...event) => void seen.push(event),
        addLinks: () => undefined
      }
    },
    context: (f) => f()
  })
  return { seen, tracer }
}

const error = (type: string) => ({
  type: "error",
  error: { type, code: bodyCanary, param: bodyCanary, message: `${bodyCanary}: ${key}` }
})

const failing: ReadonlyArray<readonly [string, Fake.Behaviour]> = [
  ...[400, 401, 403, 404, 408, 413, 429, 500, 503, 529].map(
    (status) =>
      [`status ${status}`, Fake.status(status, error(bodyCanary), { "x-echo": key, "retry-after": "1" })] as const
  ),
  ["a page", Fake.status(502, `<html>${key} ${bodyCanary}</html>`)],
  ["a cut", Fake.cutAfter(4, Anthropic.message([Anthropic.text("a", "b", "c")]))],
  ["an error event", Fake.whole([...Anthropic.message([]).slice(0, 2), Fake.sse(error("overloaded_error"))])],
  ["an unknown error event", Fake.whole([...Anthropic.message([]).slice(0, 2), Fake.sse(error(bodyCanary))])],
  ["an OpenAI error event", Fake.whole([OpenAi.errorEvent(bodyCanary, `${key} ${bodyCanary}`)])],
  ["an unreadable event", Fake.whole([`data: {"type": "${bodyCanary} ${key}"\n\n`])],
  ["an unknown event", Fake.whole([Fake.sse({ type: bodyCanary, key })])],
  ["silence", Fake.hangAfter(0, [])]
]

const spill = (fake: Fake.FakeProvider, layer: Layer.Layer<LanguageModel>, log: Array<unknown>) =>
  Effect.gen(function* () {
    const { seen, tracer } = recorder()
    const logger = Logger.make((entry) => {
      log.push(inspect(entry, { depth: 20 }), Cause.pretty(entry.cause), Logger.jsonLogger.log(entry))
    })
    const exit = yield* call({ silence: "400 millis" }).pipe(
      Effect.tapErrorCause((cause) => Effect.logError("failed", cause)),
      Effect.withSpan("caller"),
      Effect.exit,
      Effect.provide(layer),
      Effect.withTracer(tracer),
      Effect.locally(FiberRef.currentMinimumLogLevel, LogLevel.All),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger))
    )
    if (Exit.isSuccess(exit)) throw new Error("the call was to fail")
    const failure = Option.getOrThrow(Cause.failureOption(exit.cause))
    expect(fake.requests.length).toBeLessThanOrEqual(1)
    return {
      failure,
      seen: [
        String(failure),
        failure.message,
        failure.stack,
        JSON.stringify(failure),
        JSON.stringify(Schema.encodeSync(StepFailure)(failure)),
        JSON.stringify(exit),
        Cause.pretty(exit.cause, { renderErrorCause: true }),
        inspect(failure, { depth: 30, showHidden: true }),
        inspect(exit, { depth: 30, showHidden: true }),
        inspect(seen, { depth: 30, showHidden: true })
      ]
    }
  })

const assertClean = (texts: ReadonlyArray<unknown>) => {
  for (const text of texts) for (const canary of canaries) expect(String(text)).not.toContain(canary)
}

describe.each([
  ["Anthropic over fetch", (fake: Fake.FakeProvider) => Anthropic.layer(fake, { apiKey: key })],
  [
    "Anthropic over node:http",
    (fake: Fake.FakeProvider) => Anthropic.layer(fake, { apiKey: key, http: NodeHttpClient.layer })
  ],
  ["OpenAI over fetch", (fake: Fake.FakeProvider) => OpenAi.layer(fake, { apiKey: key })]
] as const)("%s: no key and no body is in any form of a failure, a log or a span", (_, layer) => {
  it.scopedLive.each(failing)("%s", ([, behaviour]) =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(behaviour)
      const log: Array<unknown> = []
      const { seen } = yield* spill(fake, layer(fake), log)
      assertClean([...seen, ...log])
      expect(log.length).toBeGreaterThan(0)
      // The canary was really on its way.
      expect(JSON.stringify(fake.requests[0]!.headers)).toContain(key)
    })
  )

  it.scopedLive("nobody there", () =>
    Effect.gen(function* () {
      const url = yield* Effect.scoped(Effect.map(Fake.make, ({ url }) => url))
      const log: Array<unknown> = []
      const { failure, seen } = yield* spill({ requests: [] } as never, layer({ url } as Fake.FakeProvider), log)
      expect(failure.failure.class).toBe("Unreachable")
      assertClean([...seen, ...log])
    })
  )
})

it.scopedLive("the caller's own spans and logs are as they were, in its feed too", () =>
  Effect.gen(function* () {
    const fake = yield* Fake.make
    fake.script(Fake.whole(Anthropic.message([Anthropic.text("hi")])))
    const { seen, tracer } = recorder()
    const levels: Array<string> = []
    yield* call({
      onDelta: () => Effect.logDebug("delta").pipe(Effect.withSpan("feed"), Effect.zipRight(Effect.void))
    }).pipe(
      Effect.provide(Anthropic.layer(fake)),
      Effect.withTracer(tracer),
      Effect.locally(FiberRef.currentMinimumLogLevel, LogLevel.All),
      Effect.provide(
        Logger.replace(
          Logger.defaultLogger,
          Logger.make(({ logLevel }) => void levels.push(logLevel.label))
        )
      )
    )
    expect(seen.filter((it) => typeof it === "string")).toEqual(["feed"])
    expect(levels).toEqual(["DEBUG"])
  })
)
