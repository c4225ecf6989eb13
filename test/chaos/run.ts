/** One run: real runners, a real Postgres, real clients, and faults from a plan; then what is wrong with what is left. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Cause, ConfigProvider, Effect, Exit, Fiber, Layer, type Scope } from "effect"
import { Client } from "../../src/client/index.ts"
import { Journal } from "../../src/journal/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { check, type Violation } from "../../src/testing/internal/sim/checks/index.ts"
import { Prng } from "../../src/testing/internal/sim/Prng.ts"
import { unseen } from "./awake.ts"
import { build } from "./built.ts"
import { Children } from "./Children.ts"
import { shop, type Weather, whyOpen } from "./Customers.ts"
import * as Database from "./Database.ts"
import { gather } from "./Evidence.ts"
import { Fleet } from "./Fleet.ts"
import { inject } from "./inject.ts"
import * as Log from "./Log.ts"
import type { Fault } from "./Plan.ts"
import * as Provider from "./Provider.ts"
import { Proxy } from "./Proxy.ts"
import { table } from "./Table.ts"

export interface Options {
  readonly seed: string
  readonly faults: ReadonlyArray<Fault>
  /** How many runners there are at first, and never fewer are wanted. */
  readonly runners: number
  readonly most: number
  /** Sessions at a time: of the clients in this process, and of those in one of their own. */
  readonly here: number
  readonly away: number
  /** How long everything may take when no fault comes any more, in milliseconds. */
  readonly boundMs: number
  readonly tell: (line: string) => void
  /** A file for all that happened, and for what the processes said. */
  readonly keep?: string | undefined
}

export interface Injected {
  readonly fault: Fault
  /** What was done; `null`: there was nobody to do it to. */
  readonly what: string | null
}

export interface Report {
  readonly violations: ReadonlyArray<Violation>
  /** What would not have been found. */
  readonly unseen: ReadonlyArray<string>
  readonly injected: ReadonlyArray<Injected>
  readonly table: string
  /** The last words of the processes, for a run that failed. */
  readonly words: () => string
}

const every_ms = 100

/** Few enough that a takeover is not all that the machine does. */
const shards = 60

/** Waits for something that other processes do. */
const until = (test: () => boolean, withinMs: number): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const deadline = performance.now() + withinMs
    const look: Effect.Effect<boolean> = Effect.suspend(() =>
      test()
        ? Effect.succeed(true)
        : performance.now() > deadline
          ? Effect.succeed(false)
          : Effect.zipRight(Effect.sleep(every_ms), look)
    )
    return look
  })

const clientOf = (url: string) =>
  Layer.orDie(
    Runner.layerClient({ runner: { shards } }).pipe(
      Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["PERDURE_DATABASE_URL", url]]))))
    )
  )

export const run = (options: Options): Effect.Effect<Report, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const random = new Prng(options.seed)
    const name = `${process.pid}-${options.seed}`
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "perdure-chaos-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    const programs = yield* Effect.acquireRelease(Effect.sync(build), ({ remove }) => Effect.sync(remove))
    const log = Log.memory()
    const database = yield* Database.make
    const provider = yield* Provider.make(log, random.fork("provider"))
    const children = yield* Effect.acquireRelease(
      Effect.sync(() => new Children(name, log, 250)),
      (children) => Effect.sync(() => children.close())
    )
    const fleet = yield* Effect.acquireRelease(
      Effect.sync(
        () =>
          new Fleet({
            log,
            directory,
            runner: programs.runner,
            client: programs.client,
            database: database.url,
            environment: {
              MODEL_URL: provider.url,
              CHAOS_RUN: name,

              CHAOS_AT_ONCE: String(options.away),
              PERDURE_SHARDS: String(shards),
              PERDURE_HEARTBEAT: "500 millis",
              PERDURE_HEARTBEAT_EXPIRY: "4 seconds"
            }
          })
      ),
      (fleet) => Effect.promise(() => fleet.close())
    )
    // A Postgres that stands still cannot be stopped.
    yield* Effect.addFinalizer(() => Effect.sync(() => database.signal("SIGCONT")))

    yield* Effect.promise(() => Promise.all(Array.from({ length: options.runners }, () => fleet.add())))
    const isUp = yield* until(() => fleet.running.every(({ life }) => life.isUp), 60_000)
    const words = () => fleet.lives.map(({ name, output }) => `--- ${name}\n${output.slice(-3000)}`).join("\n")
    if (!isUp) return yield* Effect.dieMessage(`the runners did not start:\n${words()}`)

    const weather: Weather = { calm: false }
    const ours = yield* Effect.acquireRelease(
      Effect.promise(() =>
        Proxy.listen({ host: "127.0.0.1", port: Number(database.url.port) }, { host: "127.0.0.1", port: 0 })
      ),
      (proxy) => Effect.sync(() => proxy.close())
    )
    const url = new URL(database.url)
    url.port = String(ours.port)
    const shopping = yield* Effect.fork(
      Effect.flatMap(Client.Client, (api) => shop({ api, log, client: "here", weather }, "here", options.here)).pipe(
        Effect.provide(clientOf(url.toString()))
      )
    )
    yield* Effect.promise(() => fleet.start(fleet.clients))

    // --- Trouble ---
    const start = performance.now()
    const injected: Array<Injected> = []
    const stage = { fleet, database, provider, children, least: options.runners, most: options.most }
    for (const fault of options.faults) {
      const failed = shopping.unsafePoll()
      if (failed !== null) return yield* Effect.dieMessage(`the clients ended in the middle: ${failed}`)
      yield* Effect.sleep(Math.max(0, fault.at - (performance.now() - start)))
      const since = ((performance.now() - start) / 1000).toFixed(1)
      log.record({ _tag: "Fault", fault: JSON.stringify(fault) })
      const what = yield* inject(stage, fault)
      injected.push({ fault, what })
      options.tell(`${since.padStart(7)} s  ${fault._tag}: ${what ?? "nobody to do it to"}`)
    }
    // The last of them pass by themselves.
    yield* Effect.sleep(500)

    // --- Calm ---
    database.signal("SIGCONT")
    provider.mood = "well"
    fleet.calm(options.runners)
    weather.calm = true
    log.record({ _tag: "Calm" })
    options.tell("calm")
    const calm = performance.now()
    const isDone = () => fleet.lives.some(({ output }) => output.includes("done\n"))
    const served = yield* until(() => {
      const { life } = fleet.clients
      if (life?.isUp === true && !life.isOver && !isDone()) life.child.kill("SIGUSR2")
      return isDone() && shopping.unsafePoll() !== null
    }, options.boundMs)
    let open = yield* database.unfinished
    while (open.length > 0 && performance.now() - calm < options.boundMs) {
      yield* Effect.sleep(every_ms)
      open = yield* database.unfinished
    }
    const calmMs = performance.now() - calm
    const failed = shopping.unsafePoll()
    const why = Effect.flatMap(Client.Client, (api) => whyOpen(api, log.events(), "here")).pipe(
      Effect.provide(clientOf(database.url.toString()))
    )
    const stuck =
      served && open.length === 0
        ? null
        : `after ${Math.round(calmMs)} ms of calm ${open.length} sessions are not at rest (${open.slice(0, 10).join()}); clients here ${failed === null ? "wait" : "are done"}, clients away ${isDone() ? "are done" : "wait"}; ${yield* database.dump}\n${failed === null ? yield* why : ""}`
    yield* Fiber.interrupt(shopping)

    // --- What is left ---
    yield* until(() => {
      children.look()
      return children.ids.length === 0
    }, 1000)
    const left = children.ids
    const lostAcks = fleet.lives.reduce((sum, { database }) => sum + database.lost, 0)
    yield* Effect.promise(() => fleet.close())
    const logs = [...new Set(fleet.lives.map(({ log }) => log))]
    const finished = yield* gather({
      database,
      events: [...log.events(), ...logs.flatMap(Log.read)],
      runners: new Map(fleet.lives.map(({ address, name }) => [address, name])),
      processes: left,
      stuck
    }).pipe(Effect.provide(Layer.provideMerge(Journal.layer, database.store)))
    if (options.keep !== undefined) {
      const lines = finished.events.map((event) => JSON.stringify(event))
      writeFileSync(options.keep, [...lines, words()].join("\n"))
    }
    const broken =
      failed !== null && Exit.isFailure(failed)
        ? [{ invariant: "liveness" as const, session: null, what: Cause.pretty(failed.cause) }]
        : []
    return {
      violations: [...check(finished), ...broken],
      unseen: unseen(finished),
      injected,
      words,
      table: table(finished, {
        seed: options.seed,
        injected,
        calmMs,
        lostAcks,
        lives: fleet.lives.length,
        children: children.born
      })
    }
  })
