import * as net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Redacted, Schedule } from "effect"
import { Client } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { isLive, isReady, type Observed } from "../../src/runner/internal/judge.ts"
import { Ticker } from "../fixtures/ticker.ts"
import * as Postgres from "../support/Postgres.ts"
import * as Runners from "../support/Runners.ts"
import * as Taps from "../support/Taps.ts"

const well: Observed = {
  now: 100_000,
  startedAt: 0,
  hadShardsAt: 100_000,
  draining: false,
  registered: true,
  confirmedAt: 99_500,
  shards: 150,
  expiryMs: 5000
}

describe("the verdict on a runner", () => {
  const ready = (change: Partial<Observed>) => isReady({ ...well, ...change }).ok
  const live = (change: Partial<Observed>) => isLive({ ...well, ...change }).ok

  it("one that does its part is live and ready", () => {
    expect([live({}), ready({})]).toEqual([true, true])
  })

  it("one that drains is live, and not ready from the first moment", () => {
    expect([live({ draining: true }), ready({ draining: true })]).toEqual([true, false])
  })

  it("one that starts is not ready before it is registered and has shards, or none are left for it", () => {
    expect(ready({ registered: false, confirmedAt: null })).toBe(false)
    expect(ready({ shards: 0, hadShardsAt: 99_000 })).toBe(false)
    expect(ready({ shards: 0, hadShardsAt: 90_000 })).toBe(true)
  })

  it("a store that is silent makes it unready at the heartbeat's expiry, and not worth keeping after a minute", () => {
    const silent = (ms: number) => ({ confirmedAt: well.now - ms })
    expect([live(silent(5000)), ready(silent(5000))]).toEqual([true, true])
    expect([live(silent(5001)), ready(silent(5001))]).toEqual([true, false])
    expect([live(silent(60_000)), live(silent(60_001))]).toEqual([true, false])
    expect(live({ confirmedAt: null, startedAt: well.now - 60_001 })).toBe(false)
  })
})

const freePort = Effect.async<number>((resume) => {
  const server = net.createServer()
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** The status and text of an answer; 0 where there is none. */
const get = (port: number, path: string) =>
  Effect.tryPromise((signal) => fetch(`http://127.0.0.1:${port}${path}`, { signal })).pipe(
    Effect.flatMap((response) =>
      Effect.map(
        Effect.promise(() => response.text()),
        (text) => ({ status: response.status, text })
      )
    ),
    Effect.timeout("1 second"),
    Effect.orElseSucceed(() => ({ status: 0, text: "" }))
  )

const becomes = (port: number, path: string, status: number) =>
  get(port, path).pipe(
    Effect.filterOrFail((answer) => answer.status === status),
    Effect.retry(Runners.often),
    Effect.orDie
  )

describe("a runner's health over HTTP", () => {
  it.scopedLive(
    "is ready when it has its shards, unready as soon as it drains, silent while it hangs",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database)
        const port = yield* freePort
        const runner = yield* runners.start({ PERDURE_HEALTH_PORT: String(port) })
        expect((yield* becomes(port, "/readyz", 200)).text).toBe("ready with 300 shards\n")
        expect((yield* get(port, "/healthz")).text).toBe("live\n")
        expect((yield* get(port, "/")).status).toBe(404)

        const client = Runner.layerClient().pipe(
          Layer.provide(
            Layer.setConfigProvider(
              ConfigProvider.fromMap(new Map([["PERDURE_DATABASE_URL", Redacted.value(database)]]))
            )
          )
        )
        // A tool that is at work keeps the runner a while after it was told to leave.
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Ticker, "busy")
          yield* session.send("1 1500 tick")
        }).pipe(Effect.provide(client))
        yield* Taps.until(() => runners.witness().length === 1)

        runner.kill("SIGSTOP")
        expect((yield* get(port, "/healthz")).status).toBe(0)
        runner.kill("SIGCONT")
        yield* becomes(port, "/readyz", 200)

        // One that says nothing does not hold up a runner that leaves.
        yield* Taps.open(port)
        runner.kill("SIGTERM")
        expect((yield* becomes(port, "/readyz", 503)).text).toBe("draining\n")
        expect((yield* get(port, "/healthz")).status).toBe(200)
        yield* runner.ended.pipe(Effect.timeout("10 seconds"), Effect.retry(Schedule.stop))
        expect((yield* get(port, "/readyz")).status).toBe(0)
      }),
    60_000
  )

  it.scopedLive("is not served where nobody has asked for it, and a port that is taken is named", () =>
    Effect.gen(function* () {
      const database = yield* Postgres.database
      const taken = yield* Effect.acquireRelease(
        Effect.async<net.Server>((resume) => {
          const server = net.createServer()
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const { port } = taken.address() as net.AddressInfo
      const runners = yield* Runners.make(database)
      const failed = yield* Effect.exit(Effect.sandbox(runners.start({ PERDURE_HEALTH_PORT: String(port) })))
      expect(String(failed)).toMatch(/PERDURE_HEALTH_PORT: 127.0.0.1:\d+ cannot be listened on \(EADDRINUSE\)/)
    })
  )
})
