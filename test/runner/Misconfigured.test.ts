import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Redacted } from "effect"
import { Agreement, Capacity, RunnerSettings, type RunnerSettingsValues, Traffic } from "../../src/runner/index.ts"
import { checkWork } from "../../src/runner/internal/fit.ts"
import { Sqlite } from "../../src/store/index.ts"

/** Listens, as a runner with these settings does first. */
const listen = (settings: Partial<RunnerSettingsValues>) =>
  Effect.gen(function* () {
    const wire = yield* Traffic.wire
    return yield* wire.listen(yield* RunnerSettings)
  }).pipe(Effect.scoped, Effect.provide([RunnerSettings.layer(settings), Sqlite.layerMemory]))

const environment = (variables: Record<string, string>) =>
  Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables)), { pathDelim: "_" }))

const fromEnvironment = (variables: Record<string, string>) =>
  Effect.provide(RunnerSettings, Layer.provide(RunnerSettings.layerConfig(), environment(variables)))

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

  it.effect("a variable that is none is refused by its name, with what is wrong and the form that is wanted", () =>
    Effect.gen(function* () {
      const said = (name: string, value: string) =>
        Effect.map(Effect.flip(fromEnvironment({ [name]: value })), (error) => error.message)
      const form = 'write a number and a unit, e.g. "500 millis" or "5 seconds"'
      expect(yield* said("PERDURE_SHARDS", "abc")).toBe('PERDURE_SHARDS: "abc" is no whole number')
      expect(yield* said("PERDURE_HEARTBEAT_EXPIRY", "100millis")).toBe(
        `PERDURE_HEARTBEAT_EXPIRY: "100millis" is no duration: ${form}`
      )
      expect(yield* said("PERDURE_HANG", "soon")).toBe(
        `PERDURE_HANG: "soon" is neither auto nor off nor a duration: ${form}`
      )
      expect(yield* said("PERDURE_WEIGHT", "heavy")).toMatch(/^PERDURE_WEIGHT: "heavy" is no number: write/)
      const capacity = (name: string, value: string) =>
        Effect.void.pipe(
          Effect.provide(Layer.provide(Capacity.layerConfig(), environment({ [name]: value }))),
          Effect.flip,
          Effect.map((error) => error.message)
        )
      expect(yield* capacity("PERDURE_POOLS", "heavy")).toBe(
        'PERDURE_POOLS: "heavy" is no pool: write name=slots, or name=slots:perSession'
      )
      expect(yield* capacity("PERDURE_TAGS", "a/b")).toMatch(/^PERDURE_TAGS: "a\/b" is no tag: use 1 to 32 letters/)
    })
  )

  it.effect("a runner does not start with what could never work, said by the environment or by the program", () =>
    Effect.gen(function* () {
      const program = (settings: Partial<RunnerSettingsValues>) =>
        Effect.void.pipe(
          Effect.provide(Layer.provide(RunnerSettings.layerConfig(settings), environment({}))),
          Effect.flip,
          Effect.map((error) => error.message)
        )
      const wrong: ReadonlyArray<readonly [Partial<RunnerSettingsValues>, string, string, RegExp]> = [
        [
          { heartbeatExpiry: "1499 millis" },
          "HEARTBEAT_EXPIRY",
          "1499 millis",
          /less than 3 heartbeats of 500 .*"1500/
        ],
        [{ heartbeatExpiry: Infinity }, "HEARTBEAT_EXPIRY", "0 seconds", /longer than nothing, and to end: write/],
        [{ heartbeat: 0 }, "HEARTBEAT", "0 millis", /longer than nothing/],
        [{ heartbeat: "-1 seconds" }, "HEARTBEAT", "-1 seconds", /longer than nothing|is no duration/],
        [{ hang: 0 }, "HANG", "0 seconds", /longer than nothing/],
        [{ shards: 0 }, "SHARDS", "0", /^PERDURE_SHARDS: 0 shards cannot be: write a whole number from 1 to 100000/],
        [{ shards: 1.5 }, "SHARDS", "1.5", /whole number/],
        [{ shards: 100_001 }, "SHARDS", "100001", /whole number from 1/],
        [{ weight: -1 }, "WEIGHT", "-1", /-1 is no weight/],
        [{ weight: 0.05 }, "WEIGHT", "0.05", /0.05 is no weight: write a number from 0.1 on/],
        [{ weight: Number.NaN }, "WEIGHT", "NaN", /NaN"? is no/],
        [{ port: 65_536 }, "PORT", "65536", /65536 is no port: write a whole number from 0/],
        [{ healthPort: -1 }, "HEALTH_PORT", "-1", /-1 is no port/]
      ]
      for (const [settings, name, value, says] of wrong) {
        for (const message of [
          yield* program(settings),
          (yield* Effect.flip(fromEnvironment({ [`PERDURE_${name}`]: value }))).message
        ]) {
          expect(message).toMatch(says)
          expect(message).toMatch(new RegExp(`^PERDURE_${name}: `))
        }
      }
      expect((yield* Effect.flip(checkWork({ weight: 0 }, { tags: [] }))).message).toMatch(/WEIGHT: with 0 and no/)
      yield* checkWork({ weight: 0 }, { tags: ["gpu"] })
      expect(yield* program({ refresh: 0 })).toMatch(/^refresh: it has to be longer/)
      expect(yield* fromEnvironment({ PERDURE_HEARTBEAT_EXPIRY: "1500 millis", PERDURE_SHARDS: "" })).toMatchObject({
        shards: 300
      })
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
