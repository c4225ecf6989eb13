import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Redacted, Stream } from "effect"
import { Client } from "../../src/client/index.ts"
import { SessionKey } from "../../src/domain/Id.ts"
import { Journal } from "../../src/journal/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { Ticker } from "../fixtures/ticker.ts"
import * as Postgres from "../support/Postgres.ts"
import * as Runners from "../support/Runners.ts"

const clientOf = (database: Redacted.Redacted) =>
  Runner.layerClient().pipe(
    Layer.provide(
      Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["PERDURE_DATABASE_URL", Redacted.value(database)]])))
    )
  )

/** Waits until the witness says so. */
const seen = (runners: Runners.Runners, test: (lines: ReturnType<Runners.Runners["witness"]>) => boolean) =>
  Effect.suspend(() => (test(runners.witness()) ? Effect.void : Effect.fail("not yet" as const))).pipe(
    Effect.retry({ schedule: Runners.often }),
    Effect.orDie
  )

describe("two runners on one Postgres", () => {
  it.scopedLive(
    "kill -9 of one: its session goes on at the other within a second, and no call runs twice",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database)
        const [one, two] = yield* Effect.all([runners.start(), runners.start()], { concurrency: 2 })
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Ticker, "moved")
          const accepted = yield* session.send("120 30 tick")
          yield* seen(runners, (lines) => lines.length >= 60)
          const host = [one, two].find((runner) => runner.pid === runners.witness().at(-1)!.pid)!
          const before = runners.witness().length
          const killedAt = Date.now()
          host.kill("SIGKILL")
          const moved = (lines: ReturnType<typeof runners.witness>) =>
            lines.slice(before).find((line) => line.pid !== host.pid)
          yield* seen(runners, (lines) => moved(lines) !== undefined)
          const first = moved(runners.witness())!
          console.log(`next call elsewhere ${first.at - killedAt} ms after kill -9`)
          expect(first.at - killedAt).toBeLessThan(1000)

          const outcome = yield* session.result(accepted)
          expect(outcome._tag).toBe("Completed")
          const keys = runners.witness().map((line) => line.key)
          expect(new Set(keys).size).toBe(keys.length)
          const journal = yield* Journal
          const { problems } = yield* journal.verify(SessionKey.parse("default/moved"))
          expect(problems).toEqual([])
        }).pipe(Effect.provide(clientOf(database)))
      }),
    60_000
  )

  it.scopedLive(
    "SIGTERM drains: the process ends by itself, the tool in flight is finished, and no call runs twice",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database)
        const [one, two] = yield* Effect.all([runners.start(), runners.start()], { concurrency: 2 })
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Ticker, "drained")
          const accepted = yield* session.send("120 30 tick")
          yield* seen(runners, (lines) => lines.length >= 60)
          const host = [one, two].find((runner) => runner.pid === runners.witness().at(-1)!.pid)!
          const askedAt = Date.now()
          host.kill("SIGTERM")
          expect(yield* host.ended.pipe(Effect.timeout("10 seconds"))).toBe(0)
          console.log(`left ${Date.now() - askedAt} ms after SIGTERM`)

          expect((yield* session.result(accepted))._tag).toBe("Completed")
          const keys = runners.witness().map((line) => line.key)
          expect(keys.length).toBe(120)
          expect(new Set(keys).size).toBe(120)
          const journal = yield* Journal
          const key = SessionKey.parse("default/drained")
          const tags = [...(yield* Stream.runCollect(journal.read(key, 0)))].map(({ entry }) => entry._tag)
          expect(tags).not.toContain("StepInDoubt")
          expect((yield* journal.verify(key)).problems).toEqual([])
        }).pipe(Effect.provide(clientOf(database)))
      }),
    60_000
  )

  it.scopedLive(
    "SIGTERM waits for a tool as long as it was told to (drain)",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database)
        const patient = { DRAIN: "20000" }
        const [one, two] = yield* Effect.all([runners.start(patient), runners.start(patient)], { concurrency: 2 })
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Ticker, "patient")
          const accepted = yield* session.send("2 7000 tick")
          yield* seen(runners, (lines) => lines.length >= 1)
          const host = [one, two].find((runner) => runner.pid === runners.witness()[0]!.pid)!
          host.kill("SIGTERM")
          expect(yield* host.ended.pipe(Effect.timeout("15 seconds"))).toBe(0)
          expect((yield* session.result(accepted))._tag).toBe("Completed")
          const keys = runners.witness().map((line) => line.key)
          expect([keys.length, new Set(keys).size]).toEqual([2, 2])
          const journal = yield* Journal
          const entries = [...(yield* Stream.runCollect(journal.read(SessionKey.parse("default/patient"), 0)))]
          expect(entries.map(({ entry }) => entry._tag)).not.toContain("StepInDoubt")
        }).pipe(Effect.provide(clientOf(database)))
      }),
    60_000
  )
})
