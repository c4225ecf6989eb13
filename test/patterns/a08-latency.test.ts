/**
 * A8. One commit a step, and one to accept the message: what makes 50 steps cost milliseconds. Counted, not timed: how long
 * a commit takes is the machine's business, and the bench's.
 */
import { describe, expect, it } from "@effect/vitest"
import { Tool, Toolkit } from "@effect/ai"
import { PgClient } from "@effect/sql-pg"
import { ConfigProvider, Effect, Layer, Redacted, Schema } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Client } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"
import * as Counting from "../support/Counting.ts"
import { Ticker } from "../fixtures/ticker.ts"
import * as Postgres from "../support/Postgres.ts"
import * as Runners from "../support/Runners.ts"
import { atRest, clientOf, directory, entriesOf, tagged } from "../support/World.ts"

const Add = Tool.make("add", { parameters: { n: Schema.Int }, success: Schema.Int })
const toolkit = Toolkit.make(Add)
const Adder = Agent.make("adder", { toolkit })

const handlers = toolkit.toLayer({ add: ({ n }) => Effect.succeed(n + 1) })
const call = (n: number) => ScriptedModel.calls("add", { n }, { id: `call-${n}` })

/** Asks for `calls` calls, one after the other. */
const model = (calls: number) =>
  ScriptedModel.make([...Array.from({ length: calls }, (_, n) => call(n)), ScriptedModel.text("done")])

/** What only happens now and then, whoever is at work: heartbeats, and who owns which shard. */
const upkeep = new Set([
  "driver",
  "heartbeat",
  "owned",
  "acquire",
  "runners",
  "register",
  "setHealth",
  "unfinished",
  "timers"
])

const work = ({ calls }: Counting.Counts) =>
  Object.fromEntries(Object.entries(calls).filter(([name]) => !upkeep.has(name)))

describe("A8: one commit a step", () => {
  it.scopedLive("a turn of 49 steps is 50 commits, and nothing else is written or read for it", () =>
    Effect.gen(function* () {
      const home = yield* directory
      let counts = Counting.none()
      const live = Counting.layerEmbedded({ agents: [Adder], directory: home, counts: () => counts }).pipe(
        Layer.provide([handlers, model(24)])
      )
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Adder, "s")
        counts = Counting.none()
        const accepted = yield* session.send("Go", { id: "m" })
        yield* atRest(session)
        expect(work(counts)).toEqual({ append: 50 })
        const entries = yield* entriesOf("s")
        expect(tagged(entries, "StepSucceeded")).toHaveLength(49)
        // Creation was written before.
        expect(counts.written).toBe(entries.length - 1)
        expect(yield* session.result(accepted)).toEqual({ _tag: "Completed", output: "done" })
      }).pipe(Effect.provide(live))
    })
  )

  it.scopedLive("calls that come together are intended in one commit: theirs and the model's outcome", () =>
    Effect.gen(function* () {
      const home = yield* directory
      let counts = Counting.none()
      const parallel = ScriptedModel.make([
        ScriptedModel.parallel([call(1), call(2), call(3), call(4), call(5)]),
        ScriptedModel.text("done")
      ])
      const live = Counting.layerEmbedded({ agents: [Adder], directory: home, counts: () => counts }).pipe(
        Layer.provide([handlers, parallel])
      )
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Adder, "s")
        counts = Counting.none()
        yield* session.send("Go")
        yield* atRest(session)
        // Accepted; the answer with five intents; their outcomes, together or apart; the last answer.
        expect(work(counts)["append"]).toBeLessThanOrEqual(8)
        expect(tagged(yield* entriesOf("s"), "StepSucceeded")).toHaveLength(7)
      }).pipe(Effect.provide(live))
    })
  )

  it.scopedLive(
    "on Postgres too, counted by its own transaction ids: 50, and the session's row is written in one of them",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const config = ConfigProvider.fromMap(new Map([["PERDURE_DATABASE_URL", Redacted.value(database)]]))
        const live = Runner.layerCluster({ agents: [Adder] }).pipe(
          Layer.provide([handlers, model(24)]),
          Layer.provide(Layer.setConfigProvider(config))
        )
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Adder, "s")
          yield* session.ask("Go")
          const sql = yield* PgClient.PgClient
          const [journal] = yield* sql`SELECT count(DISTINCT xmin::text) AS commits FROM perdure_journal WHERE seq > 1`
          expect(Number(journal!["commits"])).toBe(50)
          const [row] = yield* sql`SELECT count(*) AS n FROM perdure_sessions
          WHERE xmin = (SELECT xmin FROM perdure_journal ORDER BY seq DESC LIMIT 1)`
          expect(Number(row!["n"])).toBe(1)
        }).pipe(Effect.provide(live), Effect.provide(PgClient.layer({ url: database })))
      })
  )

  it.scopedLive(
    "across runners: the same for each session, whichever runner has it",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database)
        yield* Effect.all([runners.start(), runners.start()], { concurrency: 2 })
        const ids = Array.from({ length: 12 }, (_, i) => `s${i}`)
        yield* Effect.gen(function* () {
          yield* Effect.forEach(
            ids,
            (id) => Effect.flatMap(Client.session(Ticker, id), (session) => session.ask("24 0 tick")),
            { concurrency: "unbounded" }
          )
          // Both had some of them.
          expect(new Set(runners.witness().map(({ pid }) => pid)).size).toBe(2)
          const sql = yield* PgClient.PgClient
          const counts = yield* sql`SELECT session, count(DISTINCT xmin::text)::int AS commits FROM perdure_journal
            WHERE seq > 1 GROUP BY session`
          expect(counts).toHaveLength(ids.length)
          for (const { commits, session } of counts) expect({ session, commits }).toEqual({ session, commits: 50 })
        }).pipe(Effect.provide(clientOf(database)), Effect.provide(PgClient.layer({ url: database })))
      }),
    60_000
  )
})
