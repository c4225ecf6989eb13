/**
 * What a session notices when its runner dies, hangs or leaves: three runners as OS processes on one Postgres, under many
 * sessions that each work through short steps. A witness outside of the system says which process did what, when.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { ConfigProvider, Effect, Layer, Redacted, Schedule, type Scope } from "effect"
import { Client } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { Postgres } from "../../src/store/index.ts"
import { type Line, modelName, Ticker } from "../fixtures/ticker.ts"
import * as TestPostgres from "../support/Postgres.ts"
import * as Runners from "../support/Runners.ts"
import { goal, type Row } from "./Report.ts"
import { quantile } from "./Stats.ts"
import * as Stolen from "./Stolen.ts"
import type { Driver } from "./Stores.ts"

interface Plan {
  readonly sessions: number
  readonly pauseMs: number
  /** One environment a runner; the first is the one that goes. */
  readonly runners: ReadonlyArray<Record<string, string>>
}

/** The sessions of the runner that went, and when each had its next step elsewhere, in milliseconds. */
interface Moved {
  readonly sessions: number
  /** The next step of any kind: the model's, where a tool was at work. */
  readonly took: ReadonlyArray<number>
  /** The next call of a tool, which follows it. */
  readonly tools: ReadonlyArray<number>
}

const isToolCall = ({ tool }: Line): boolean => tool !== modelName

interface Stage {
  readonly victim: Runners.RunnerProcess
  readonly lines: () => ReadonlyArray<Line>
  /** Waits until each session that the runner had at `at` has had a step elsewhere, or the time is over. */
  readonly moved: (at: number) => Effect.Effect<Moved>
  /** Calls that two attempts made. */
  readonly doubled: () => number
  readonly sql: SqlClient.SqlClient
}

const often = Schedule.spaced("20 millis").pipe(Schedule.upTo("30 seconds"))

const until = (test: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (test() ? Effect.void : Effect.fail("not yet"))).pipe(
    Effect.retry({ schedule: often }),
    Effect.ignore
  )

const stage = (plan: Plan): Effect.Effect<Stage, never, Scope.Scope> =>
  Effect.gen(function* () {
    const database = yield* TestPostgres.database
    const runners = yield* Runners.make(database)
    const [victim] = yield* Effect.forEach(plan.runners, runners.start, { concurrency: "unbounded" })
    const lines = runners.witness
    const url = Redacted.value(database)
    const clients = Runner.layerClient().pipe(
      Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["PERDURE_DATABASE_URL", url]]))))
    )
    yield* Effect.forEach(
      Array.from({ length: plan.sessions }, (_, i) => `s${i}`),
      (id) =>
        Effect.flatMap(Client.session(Ticker, id), (session) => session.send(`100000 ${plan.pauseMs} tick as ${id}`)),
      { concurrency: 32, discard: true }
    ).pipe(Effect.provide(clients), Effect.orDie)
    // All work, and each has had a second call where it is.
    yield* until(() => {
      const counts = new Map<string, number>()
      for (const line of lines()) if (isToolCall(line)) counts.set(line.session, (counts.get(line.session) ?? 0) + 1)
      return [...counts.values()].filter((count) => count >= 2).length === plan.sessions
    })
    const sql = yield* Effect.map(Layer.build(Layer.orDie(Postgres.layerClient({ url: database }))), (context) =>
      context.unsafeMap.get(SqlClient.SqlClient.key)
    )
    return {
      victim: victim!,
      lines,
      sql,
      doubled: () => {
        const keys = lines()
          .filter(isToolCall)
          .map((line) => line.key)
        return keys.length - new Set(keys).size
      },
      moved: (at) =>
        Effect.gen(function* () {
          const last = new Map<string, number>()
          for (const line of lines()) if (line.at <= at) last.set(line.session, line.pid)
          const mine = new Set([...last].flatMap(([session, pid]) => (pid === victim!.pid ? [session] : [])))
          const firsts = (wanted: (line: Line) => boolean) => {
            const found = new Map<string, number>()
            for (const line of lines()) {
              if (line.at < at || line.pid === victim!.pid || !mine.has(line.session) || !wanted(line)) continue
              if (!found.has(line.session)) found.set(line.session, line.at - at)
            }
            return found
          }
          yield* until(() => firsts(isToolCall).size === mine.size)
          return {
            sessions: mine.size,
            took: [...firsts(() => true).values()],
            tools: [...firsts(isToolCall).values()]
          }
        })
    }
  })

/** As the README says that busy runners are to be started. */
const roomy = { NODE_OPTIONS: "--max-semi-space-size=64" }

const three = (environment: Record<string, string> = {}) => {
  const one = { ...roomy, ...environment }
  return [one, one, one]
}

/** A time counts where no session was lost, and nothing else went wrong: each of these is how often it did. */
const sound = (row: Row, { sessions, took }: Moved, ...wrong: ReadonlyArray<number>): Row =>
  took.length === sessions && wrong.every((count) => count === 0) ? row : { ...row, ok: false }

const report = (name: string, { sessions, took, tools }: Moved, note: string): Row => ({
  name,
  store: "postgres",
  p50_ms: quantile(took, 0.5),
  p95_ms: quantile(took, 0.95),
  p99_ms: quantile(took, 0.99),
  max_ms: Math.max(...took),
  note: [`${took.length} of ${sessions} sessions`, `their next tool call p50 ${quantile(tools, 0.5)} ms`, note].join(
    ", "
  )
})

/** The p99 of a row, as one of its own: it has a goal of its own. */
const slowest = ({ note, p99_ms, store }: Row): Row => ({ name: "the same, p99", store, p99_ms: p99_ms!, note: note! })

/** @param ageMs how long the sessions have worked before: what they have done is read where they wake */
const killed = (sessions: number, ageMs = 0) =>
  Effect.gen(function* () {
    const { doubled, moved, victim } = yield* stage({ sessions, pauseMs: 2000, runners: three() })
    yield* Effect.sleep(ageMs)
    const at = Date.now()
    victim.kill("SIGKILL")
    const result = yield* moved(at)
    const age = ageMs === 0 ? "" : ` that have worked for ${ageMs / 1000} s`
    const name = `kill -9 of 1 of 3 runners, ${sessions} sessions${age}: its sessions' next step`
    const twice = doubled()
    const row = report(name, result, `${twice} calls doubled`)
    return [
      sound(goal(row, "p50_ms", "<=", 300), result, twice),
      sound(goal(slowest(row), "p99_ms", "<=", 1500), result, twice)
    ]
  })

const stopped = (sessions: number, stopMs: number, expiryMs: number) =>
  Effect.gen(function* () {
    const environment = { PERDURE_HEARTBEAT: "250 millis", PERDURE_HEARTBEAT_EXPIRY: `${expiryMs} millis` }
    const { doubled, lines, moved, sql, victim } = yield* stage({
      sessions,
      pauseMs: 2000,
      runners: three(environment)
    })
    const at = Date.now()
    victim.kill("SIGSTOP")
    const result = yield* moved(at)
    yield* Effect.sleep(Math.max(0, stopMs - (Date.now() - at)))
    const continued = Date.now()
    victim.kill("SIGCONT")
    const code = yield* victim.ended
    const ended = Date.now() - continued
    const calls = lines().filter((line) => line.at >= continued && line.pid === victim.pid).length
    const [stale] = yield* sql<{ readonly n: number }>`SELECT count(*)::int AS n FROM (
      SELECT epoch, lag(epoch) OVER (PARTITION BY namespace, session ORDER BY seq) AS before FROM perdure_journal
    ) AS rows WHERE epoch < before`
    const twice = doubled()
    const name = `SIGSTOP for ${stopMs / 1000} s, expiry ${expiryMs} ms: its sessions' next step`
    const note = `the zombie wrote ${stale!.n} entries, began ${calls} calls and ended with ${code} after ${ended} ms; ${twice} calls doubled`
    return [sound(goal(report(name, result, note), "p50_ms", "<=", expiryMs + 500), result, twice, stale!.n)]
  })

/** Nobody hangs here: a thousand sessions that begin at once must not look like it. */
const patient = { PERDURE_HEARTBEAT_EXPIRY: "30 seconds" }

const drained = (sessions: number) =>
  Effect.gen(function* () {
    // All but a few live on the one that leaves.
    const { doubled, lines, moved, sql, victim } = yield* stage({
      sessions: Math.ceil(sessions * 1.12),
      pauseMs: 8000,
      runners: [{ ...patient, PERDURE_WEIGHT: "20" }, patient, patient]
    })
    const at = Date.now()
    victim.kill("SIGTERM")
    const code = yield* victim.ended
    const left = Date.now() - at
    const result = yield* moved(at)
    const late = lines().filter((line) => line.pid === victim.pid && line.at > at).length
    const [doubt] = yield* sql<{ readonly n: number }>`
      SELECT count(*)::int AS n FROM perdure_journal WHERE tag = 'StepInDoubt'`
    const name = `SIGTERM with ${result.sessions} live sessions`
    const twice = doubled()
    const exit: Row = { name: `${name}: exit`, store: "postgres", p50_ms: left, note: `code ${code}` }
    const note = `tools of 8 s: ${doubt!.n} cut off and in doubt; ${late} calls begun while leaving, ${twice} doubled`
    return [
      sound(goal(exit, "p50_ms", "<=", 2000), result, twice, code === 0 ? 0 : 1),
      report(`${name}: their next step elsewhere`, result, note)
    ]
  })

export const measure = (driver: Driver, quick: boolean): Effect.Effect<ReadonlyArray<Row>, unknown> =>
  driver !== "postgres"
    ? Effect.succeed([])
    : Effect.gen(function* () {
        const rows: Array<Row> = []
        const run = (effect: Effect.Effect<ReadonlyArray<Row>, unknown, Scope.Scope>) =>
          Effect.gen(function* () {
            const stolen = Stolen.since()
            const found = yield* Effect.scoped(effect)
            const others = `other machines of this host took ${(stolen() * 100).toFixed(0)} % of its processors`
            for (const { name, p50_ms, p99_ms } of found)
              process.stderr.write(`        ${name}: ${p50_ms ?? p99_ms} ms (${others})\n`)
            rows.push(...found.map((row) => ({ ...row, note: `${row.note}; ${others}` })))
          })
        yield* run(killed(200))
        if (!quick) yield* run(killed(200, 60_000))
        yield* run(stopped(200, quick ? 5_000 : 30_000, 2_000))
        yield* run(drained(quick ? 200 : 1_000))
        return rows
      })
