/**
 * No key of a provider can be found in the journal, logs, errors, feed, spans or a tool's output after failing calls (I12):
 * a runner in a process of its own, with the real provider layers, against servers that fail in each way and quote the key.
 */
import { readdirSync, readFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { inspect } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Stream } from "effect"
import { Client } from "../../src/client/index.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as OpenAi from "../support/FakeOpenAi.ts"
import * as Fake from "../support/FakeProvider.ts"
import * as Runners from "../support/Runners.ts"
import { clientOf, directory, isTurnEnd } from "../support/World.ts"

const key = "sk-canary-0123456789"
const canaries = [key, "canary_of_the_body", Buffer.from(key).toString("base64").slice(0, 16)]

const error = {
  type: "error",
  error: { type: "canary_of_the_body", code: "canary_of_the_body", message: `canary_of_the_body: ${key}` }
}

/** What the first call of a session meets, by the session's name. */
const failing: Readonly<Record<string, Fake.Behaviour>> = {
  ...Object.fromEntries(
    [400, 401, 403, 404, 408, 413, 429, 500, 503, 529].map((status) => [
      `status-${status}`,
      Fake.status(status, error, { "x-echo": key, "retry-after-ms": "100", "retry-after": "1" })
    ])
  ),
  page: Fake.status(502, `<html>canary_of_the_body ${key}</html>`),
  cut: Fake.cutAfter(4, Anthropic.message([Anthropic.text("a ", "b ", "c ")])),
  event: Fake.whole([...Anthropic.message([]).slice(0, 2), Fake.sse(error)]),
  "openai-event": Fake.whole([OpenAi.errorEvent("canary_of_the_body", `canary_of_the_body ${key}`)]),
  unreadable: Fake.whole([`data: {"type": "canary_of_the_body ${key}"\n\n`]),
  unknown: Fake.whole([Fake.sse({ type: "canary_of_the_body", key })]),
  silence: Fake.hangAfter(0, [])
}

const providers = {
  anthropic: {
    says: (text: string) => Fake.whole(Anthropic.message([Anthropic.text(text)])),
    calls: (tool: string, params: unknown) =>
      Fake.whole(Anthropic.message([Anthropic.tool("c1", tool, JSON.stringify(params))]))
  },
  openai: {
    says: (text: string) => Fake.whole(OpenAi.answer([OpenAi.text("m1", text)])),
    calls: (tool: string, params: unknown) =>
      Fake.whole(OpenAi.answer([OpenAi.call("f1", "c1", tool, JSON.stringify(params))]))
  }
}

/** An OpenTelemetry collector: all that was sent to it. */
const collector = Effect.acquireRelease(
  Effect.async<{ readonly url: string; readonly received: Array<string>; readonly close: () => void }>((resume) => {
    const received: Array<string> = []
    const server = createServer((request, response) => {
      let text = ""
      request.on("data", (chunk) => (text += chunk))
      request.on("end", () => {
        received.push(text)
        response.writeHead(200).end("{}")
      })
    }).listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, received, close: () => server.close() }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

const filesOf = (home: string): ReadonlyArray<readonly [string, string]> =>
  readdirSync(home, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile())
    .map(({ name, parentPath }) => [name, readFileSync(join(parentPath, name), "latin1")] as const)

describe("I12: no key of a provider is anywhere", () => {
  it.scopedLive.each(["anthropic", "openai"] as const)(
    "%s: not in the store, the logs, the errors, the feed, the spans or what a tool sees",
    (provider) =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const home = yield* directory
        const telemetry = yield* collector
        const { calls, says } = providers[provider]
        const met = new Set<string>()
        fake.script(({ body }) => {
          const text = JSON.stringify(body)
          const name = /control-word ([a-z0-9-]+)/.exec(text)![1]!
          if (!met.has(name)) {
            met.add(name)
            if (failing[name] !== undefined) return failing[name]
          }
          return name === "tool" && !text.includes("tool_result") && !text.includes("function_call_output")
            ? calls("shell", { script: "env", mark: "control-mark" })
            : says("well")
        })
        const runners = yield* Runners.make({ directory: home }, "test/fixtures/hands.main.ts")
        const runner = yield* runners.start({
          PROVIDER: provider,
          MODEL_URL: fake.url,
          MODEL_KEY: key,
          SILENCE: "2 seconds",
          LOG: "all",
          OTEL_EXPORTER_OTLP_ENDPOINT: telemetry.url,
          OTEL_BSP_SCHEDULE_DELAY: "200",
          PERDURE_TELEMETRY_CONTENT: "true"
        })
        const seen = yield* Effect.forEach(
          ["tool", ...Object.keys(failing)],
          (name) =>
            Effect.gen(function* () {
              const session = yield* Client.session({ name: "hands", version: "1" }, name)
              const exit = yield* Effect.exit(session.ask(`control-word ${name}`))
              const events = yield* Stream.runCollect(Stream.takeUntil(session.feed(), isTurnEnd))
              const outcome = Exit.isFailure(exit) ? Cause.pretty(exit.cause, { renderErrorCause: true }) : exit.value
              return {
                name,
                texts: [outcome, inspect(exit, { depth: 30, showHidden: true }), JSON.stringify([...events])]
              }
            }),
          { concurrency: 9 }
        ).pipe(Effect.provide(clientOf({ directory: home })))
        runner.kill("SIGTERM")
        yield* runner.ended.pipe(Effect.timeout("15 seconds"))

        const places: ReadonlyArray<readonly [string, string]> = [
          ...seen.flatMap(({ name, texts }) => texts.map((text) => [`errors and feed of ${name}`, text] as const)),
          ...filesOf(home).map(([name, text]) => [`the store's ${name}`, text] as const),
          ["the logs", runner.output()],
          ["the spans", telemetry.received.join("\n")]
        ]
        const found = places.flatMap(([place, text]) =>
          canaries.filter((canary) => text.includes(canary)).map(() => place)
        )
        expect(found).toEqual([])

        // The search can find: what was said is in each of these places, and the key was on its way.
        const holds = (place: string, text: string) =>
          places.some(([name, all]) => name.startsWith(place) && all.includes(text))
        expect(holds("the store's perdure.db", "control-word")).toBe(true)
        expect(holds("the spans", "control-word")).toBe(true)
        expect(holds("the logs", "DEBUG")).toBe(true)
        expect(holds("errors and feed of status-401", "Unauthorized")).toBe(true)
        expect(holds("errors and feed of tool", "control-mark")).toBe(true)
        expect(JSON.stringify(fake.requests[0]!.headers)).toContain(key)
        expect(met.size).toBe(Object.keys(failing).length + 1)
        expect(fake.requests.length).toBeGreaterThan(met.size)
      }),
    60_000
  )
})
