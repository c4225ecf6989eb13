/**
 * B2. A slow answer is not taken for a dead worker. What counts is the silence of the stream; a step does not run again
 * while its runner lives; who stops a step aborts its HTTP request. A runner that was stopped, and goes on after another has
 * taken its sessions, is fenced.
 */
import { describe, expect, it } from "@effect/vitest"
import { Tool, Toolkit } from "@effect/ai"
import { Effect, Layer, Schema, Stream } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Client, type Session } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"
import { Journal } from "../../src/journal/index.ts"
import { SessionKey } from "../../src/domain/Id.ts"
import { handlers, toolkit as hands } from "../fixtures/hands.ts"
import { mark } from "../process/suites.ts"
import { Ticker } from "../fixtures/ticker.ts"
import { survivors } from "../support/Orphans.ts"
import * as Postgres from "../support/Postgres.ts"
import * as Runners from "../support/Runners.ts"
import { clientOf, directory, entriesOf, problemsOf, tagged, until } from "../support/World.ts"

const Talker = Agent.make("talker", { silence: "600 millis" })

const runner = (home: string, fake: Fake.FakeProvider) =>
  Runner.layerEmbedded({ agents: [Talker], directory: home }).pipe(Layer.provide(Anthropic.layer(fake)))

const tokens = Array.from({ length: 30 }, (_, i) => `t${i} `)

/** Asks, and sends the same message again and again until it is answered: as whoever takes slow for dead does. */
const askHastily = (session: Session) =>
  Effect.raceFirst(
    session.ask("Go", { id: "m1" }),
    Effect.forever(Effect.zipRight(session.send("Go", { id: "m1" }), Effect.sleep("40 millis")))
  )

/** When such entries were written, in milliseconds since the epoch. */
const endOf = (session: string, tag: string) =>
  Effect.flatMap(Journal, (journal) => Stream.runCollect(journal.read(SessionKey.parse(`default/${session}`), 0))).pipe(
    Effect.map((all) => [...all].filter(({ entry }) => entry._tag === tag).map(({ at }) => at))
  )

describe("B2: heartbeats", () => {
  it.scopedLive("an answer three times as long as the deadline of silence, but never silent, is asked for once", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const home = yield* directory
      fake.script(Fake.whole(Fake.paced(60, Anthropic.message([Anthropic.text(...tokens)]))))
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Talker, "s")
        expect(yield* askHastily(session)).toBe(tokens.join(""))
        expect(fake.requests).toHaveLength(1)
        expect(tagged(yield* entriesOf("s"), "AttemptFailed")).toEqual([])
      }).pipe(Effect.provide(runner(home, fake)))
    })
  )

  it.scopedLive("a tool that takes its time runs once, however often its client sends the message", () =>
    Effect.gen(function* () {
      const home = yield* directory
      const Slow = Tool.make("slow", { success: Schema.String }).annotate(Tool.Readonly, true)
      const toolkit = Toolkit.make(Slow)
      const Patient = Agent.make("patient", { toolkit })
      let runs = 0
      const live = Runner.layerEmbedded({ agents: [Patient], directory: home }).pipe(
        Layer.provide(toolkit.toLayer({ slow: () => Effect.delay(Effect.succeed(`run ${++runs}`), "1200 millis") })),
        Layer.provide(ScriptedModel.make([ScriptedModel.calls("slow", {}), ScriptedModel.text("done")]))
      )
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Patient, "s")
        expect(yield* askHastily(session)).toBe("done")
        expect(runs).toBe(1)
      }).pipe(Effect.provide(live))
    })
  )

  it.scopedLive(
    "a tool's process is silent for too long when it says nothing, not when it takes long; its whole tree ends (I7)",
    () =>
      Effect.gen(function* () {
        const home = yield* directory
        const marker = mark()
        const Timed = Agent.make("timed", { toolkit: hands, tools: { shell: { silence: "1 second" } } })
        // It speaks for two seconds, then leaves a child behind that is deaf, and waits for it.
        const script = `for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.25; done
          trap '' TERM HUP; setsid nohup sleep 1000 >/dev/null 2>&1 & wait`
        const live = Runner.layerEmbedded({ agents: [Timed], directory: home }).pipe(
          Layer.provide(handlers),
          Layer.provide(
            ScriptedModel.make([ScriptedModel.calls("shell", { script, mark: marker }), ScriptedModel.text("I see")])
          )
        )
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Timed, "s")
          expect(yield* session.ask("Go")).toBe("I see")
          expect(yield* survivors(marker)).toEqual([])
          const [failed] = tagged(yield* entriesOf("s"), "StepFailed")
          expect(failed).toMatchObject({ failure: { class: "TimedOut", code: "silence" } })
          const [ended] = yield* endOf("s", "StepFailed")
          expect(ended! - failed!.startedAt).toBeGreaterThan(2_500)
        }).pipe(Effect.provide(live))
      })
  )

  it.scopedLive(
    "a stream that falls silent is ended by the deadline, its request aborted, and the answer goes on from its text",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const home = yield* directory
        fake.script(
          Fake.hangAfter(5, Anthropic.message([Anthropic.text("One ", "two ")])),
          Fake.whole(Anthropic.message([Anthropic.text("three")]))
        )
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Talker, "s")
          const accepted = yield* session.send("Go")
          yield* fake.hungUp.pipe(Effect.timeout("10 seconds"))
          expect(yield* session.result(accepted)).toEqual({ _tag: "Completed", output: "One two three" })
          expect(fake.requests).toHaveLength(2)
          const [failed] = tagged(yield* entriesOf("s"), "AttemptFailed")
          expect(failed).toMatchObject({ failure: { class: "TimedOut" }, nextInput: "continue" })
        }).pipe(Effect.provide(runner(home, fake)))
      })
  )

  it.scopedLive.each(["interrupt", "cancel"] as const)(
    "%s aborts the request at the provider, which is not asked again",
    (how) =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const home = yield* directory
        fake.script(Fake.hangAfter(5, Anthropic.message([Anthropic.text("One ", "two ")])))
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Talker, "s")
          const accepted = yield* session.send("Go")
          yield* session.feed({ after: accepted.cursor }).pipe(
            Stream.filter(({ _tag }) => _tag === "Delta"),
            Stream.runHead
          )
          yield* session.stop(how, { reason: "enough" })
          yield* fake.hungUp.pipe(Effect.timeout("1 second"))
          const outcome = yield* session.result(accepted)
          expect(outcome._tag).toBe("Interrupted")
          expect(fake.requests).toHaveLength(1)
        }).pipe(Effect.provide(runner(home, fake)))
      })
  )

  it.scopedLive(
    "a runner that is stopped and revived appends nothing, repeats nothing and ends itself: another has its session",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database)
        const expiry = { PERDURE_HEARTBEAT: "200 millis", PERDURE_HEARTBEAT_EXPIRY: "2 seconds" }
        const both = yield* Effect.all([runners.start(expiry), runners.start(expiry)], { concurrency: 2 })
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Ticker, "stopped")
          const accepted = yield* session.send("140 30 tick")
          yield* until("it is at work", () => runners.witness().length >= 60)
          const host = both.find((runner) => runner.pid === runners.witness().at(-1)!.pid)!
          const stoppedAt = Date.now()
          host.kill("SIGSTOP")
          const next = () => runners.witness().find((line) => line.at >= stoppedAt && line.pid !== host.pid)
          yield* until("another has taken it", () => next() !== undefined)
          console.log(`next call elsewhere ${next()!.at - stoppedAt} ms after SIGSTOP`)
          host.kill("SIGCONT")
          expect(yield* host.ended.pipe(Effect.timeout("5 seconds"))).toBe(75)

          expect(yield* session.result(accepted)).toMatchObject({ _tag: "Completed" })
          const journal = yield* Journal
          const entries = yield* Stream.runCollect(journal.read(SessionKey.parse("default/stopped"), 0))
          const epochs = [...entries].map(({ epoch }) => epoch)
          expect(epochs.toSorted((a, b) => a - b)).toEqual(epochs)
          expect(new Set(epochs).size).toBeGreaterThanOrEqual(2)
          expect(yield* problemsOf("stopped")).toEqual([])
          const keys = runners.witness().map(({ key }) => key)
          expect(new Set(keys).size).toBe(keys.length)
        }).pipe(Effect.provide(clientOf(database)))
      }),
    60_000
  )
})
