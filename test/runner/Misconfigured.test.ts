import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Redacted } from "effect"
import { Agreement, RunnerSettings, type RunnerSettingsValues, Traffic } from "../../src/runner/index.ts"
import { Sqlite } from "../../src/store/index.ts"

/** Listens, as a runner with these settings does first. */
const listen = (settings: Partial<RunnerSettingsValues>) =>
  Effect.gen(function* () {
    const wire = yield* Traffic.wire
    return yield* wire.listen(yield* RunnerSettings)
  }).pipe(Effect.scoped, Effect.provide([RunnerSettings.layer(settings), Sqlite.layerMemory]))

const fromEnvironment = (variables: Record<string, string>) =>
  Effect.provide(
    RunnerSettings,
    RunnerSettings.layerConfig().pipe(
      Layer.provide(
        Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables)), { pathDelim: "_" }))
      )
    )
  )

describe("a runner's settings", () => {
  it.effect("without any, it listens on this machine only; with a host, on that and nothing more", () =>
    Effect.gen(function* () {
      expect(yield* fromEnvironment({})).toMatchObject({
        host: "127.0.0.1",
        listen: "127.0.0.1",
        secret: null,
        tls: null
      })
      expect(yield* fromEnvironment({ PERDURE_HOST: "10.1.2.3" })).toMatchObject({ listen: "10.1.2.3" })
      expect(yield* fromEnvironment({ PERDURE_HOST: "10.1.2.3", PERDURE_LISTEN: "0.0.0.0" })).toMatchObject({
        host: "10.1.2.3",
        listen: "0.0.0.0"
      })
    })
  )

  it.live("one that the others could not find does not start, and is told why", () =>
    Effect.gen(function* () {
      const refused = (settings: Partial<RunnerSettingsValues>) =>
        Effect.map(Effect.flip(listen(settings)), (error) => error.message)
      expect(yield* refused({ host: "127.0.0.1", listen: "0.0.0.0" })).toMatch(
        /^PERDURE_HOST: .*listens on 0.0.0.0 but tells the others to find it at 127.0.0.1/
      )
      expect(yield* refused({ host: "0.0.0.0" })).toMatch(/^PERDURE_HOST: 0.0.0.0 is no address that others/)
      expect(yield* refused({ host: "10.1.2.3", listen: "127.0.0.1" })).toMatch(/set PERDURE_LISTEN to 10.1.2.3/)
      expect(yield* refused({ host: "203.0.113.7" })).toMatch(
        /^PERDURE_LISTEN, PERDURE_PORT: 203.0.113.7:0 cannot be listened on \(EADDRNOTAVAIL\)/
      )
    })
  )

  it.live("a secret that is short is refused without being repeated, and TLS that is half set names what lacks", () =>
    Effect.gen(function* () {
      const short = yield* Effect.flip(listen({ secret: Redacted.make("correct horse,battery staple") }))
      expect(short.message).toMatch(/PERDURE_CLUSTER_SECRET: a secret has 13 bytes, it needs 32/)
      expect(JSON.stringify(short)).not.toMatch(/horse|staple/)
      const { tls } = yield* fromEnvironment({ PERDURE_TLS_CERT: "/nowhere.pem" })
      expect((yield* Effect.flip(listen({ tls }))).message).toMatch(/PERDURE_TLS_CERT: its file cannot be read/)
      const half = yield* fromEnvironment({ PERDURE_TLS_NAME: "runner" })
      expect((yield* Effect.flip(listen({ tls: half.tls }))).message).toMatch(/PERDURE_TLS_CERT: it is not set/)
    })
  )

  it.live("what the first runner has said of shards is true for all others", () =>
    Effect.gen(function* () {
      const check = (shards: number) => Effect.provide(Agreement.check, RunnerSettings.layer({ shards }))
      yield* check(12)
      yield* check(12)
      expect((yield* Effect.flip(check(300))).message).toMatch(/PERDURE_SHARDS is 300 here, but 12 .*set it to 12/)
    }).pipe(Effect.provide(Sqlite.layerMemory))
  )
})
