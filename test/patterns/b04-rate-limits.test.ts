/**
 * B4. Rate limits are kept to by all together, not met by each alone: whatever number of sessions wants to call, the
 * provider gets as many requests as it allows, and a refusal is one wait for all. One that fails is left alone, and the next
 * in the chain is asked at once. (The arithmetic: test/resilience; storms with runners that die: test/simulation.)
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, type Redacted, Schedule } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Client, type Session } from "../../src/client/index.ts"
import { Models } from "../../src/model/index.ts"
import { RateLimits } from "../../src/resilience/index.ts"
import { Runner } from "../../src/runner/index.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"
import * as Limited from "../support/LimitedProvider.ts"
import * as Postgres from "../support/Postgres.ts"
import * as Runners from "../support/Runners.ts"
import { clientOf, directory, entriesOf, tagged, until } from "../support/World.ts"

const Talker = Agent.make("talker", { budget: { wall: "10 minutes" } })

const embedded = (home: string, fake: Fake.FakeProvider, limits: RateLimits.Limits = {}) =>
  Runner.layerEmbedded({ agents: [Talker], directory: home }).pipe(
    Layer.provide([Anthropic.layer(fake), RateLimits.layer(limits)])
  )

const outcomeOf = (session: Session) =>
  Effect.flatMap(session.send("Go", { id: "m" }), (accepted) => session.result(accepted)).pipe(
    // Hundreds come at once, and the machine may be busy with others.
    Effect.retry({
      times: 20,
      schedule: Schedule.spaced("200 millis"),
      while: ({ _tag }) => _tag === "StoreUnavailable"
    })
  )

/** Sends a word to each of so many sessions, and waits for all answers. */
const talk = (sessions: number) =>
  Effect.forEach(
    Array.from({ length: sessions }, (_, n) => `s${n}`),
    (id) => Effect.flatMap(Client.session(Talker, id), outcomeOf),
    { concurrency: "unbounded" }
  )

const often = Schedule.spaced("5 millis")
const perMs = 500
const allowed = 50
const known: RateLimits.Limits = { default: { requests: allowed, per: perMs } }
const whole = Fake.whole(Anthropic.message([Anthropic.text("done")]))
const failing = Fake.status(529, Anthropic.errorBody("overloaded_error", "busy"))

describe("B4: rate limits", () => {
  it.scopedLive(
    "500 sessions and a server that allows 50 requests in a window: it gets no more than it allows, and all sessions end",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const server = Limited.keep(fake, { limit: allowed, perMs })
        const outcomes = yield* Effect.provide(talk(500), embedded(yield* directory, fake, known))
        expect(outcomes.every(({ _tag }) => _tag === "Completed")).toBe(true)
        expect(server.taken()).toBe(500)
        expect(server.refusals.length).toBe(0)
        expect(server.most()).toBeLessThanOrEqual(allowed)
      }),
    120_000
  )

  it.scopedLive(
    "two runners keep to one limit, and go on keeping to it when one of them is killed with -9",
    () =>
      Effect.gen(function* () {
        // Few, because there are two processes more, and a database, on the machine.
        const few = 20
        const fake = yield* Fake.make
        const server = Limited.keep(fake, { limit: few, perMs })
        const database: Redacted.Redacted = yield* Postgres.database
        const runners = yield* Runners.make(database, "test/fixtures/talker.main.ts")
        const environment = { MODEL_URL: fake.url, LIMITS: JSON.stringify({ default: { requests: few, per: perMs } }) }
        const first = yield* runners.start(environment)
        yield* runners.start(environment)
        yield* Effect.gen(function* () {
          const talking = yield* Effect.fork(talk(120))
          yield* until("a third of it is said", () => server.taken() > 40)
          first.kill("SIGKILL")
          const outcomes = yield* talking
          expect(outcomes.every(({ _tag }) => _tag === "Completed")).toBe(true)
        }).pipe(Effect.provide(clientOf(database)))
        expect(server.taken()).toBeGreaterThanOrEqual(120)
        // What the one that died was about to send, nobody knows.
        expect(server.arrivals.length).toBeLessThanOrEqual(1.1 * server.taken())
        expect(server.most()).toBeLessThanOrEqual(1.1 * few)
      }),
    180_000
  )

  it.scopedLive(
    "a limit that nobody has told is learned from refusals: each is one wait for all",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const server = Limited.keep(fake, { limit: allowed, perMs: 1_000, headers: false })
        const minute: RateLimits.Limits = { default: { per: 1_000 } }
        const outcomes = yield* Effect.provide(talk(400), embedded(yield* directory, fake, minute))
        expect(outcomes.every(({ _tag }) => _tag === "Completed")).toBe(true)
        expect(server.taken()).toBe(400)
        // Those that were under way when it was met first; each alone would have met it several times.
        expect(server.refusals.length).toBeLessThanOrEqual(400 * 0.5)
        const [met = 0, ...later] = server.refusals
        expect(later.filter((at) => at > met + 2_000).length).toBeLessThanOrEqual(400 * 0.1)
      }),
    120_000
  )

  it.scopedLive(
    "what an answer says is left is not exceeded, though others use the same key",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        // Others take as many as we do.
        const server = Limited.keep(fake, { limit: allowed, perMs, others: () => 1 })
        const outcomes = yield* Effect.provide(talk(100), embedded(yield* directory, fake, { default: { per: perMs } }))
        expect(outcomes.every(({ _tag }) => _tag === "Completed")).toBe(true)
        expect(server.refusals.length).toBeLessThanOrEqual(10)
      }),
    120_000
  )

  it.scopedLive(
    "a call that waits says for what and until when, is not intended, and leaves at once when it is interrupted",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        fake.script(
          Fake.status(429, Anthropic.errorBody("rate_limit_error", "slow down"), { "retry-after": "60" }),
          whole
        )
        yield* Effect.gen(function* () {
          const one = yield* Client.session(Talker, "one")
          yield* one.send("Go", { id: "m" })
          const started = Date.now()
          yield* Effect.repeat(one.state, {
            schedule: often,
            until: ({ open }) => open.some(({ attempt }) => attempt === 2)
          })
          const other = yield* Client.session(Talker, "other")
          const accepted = yield* other.send("Go", { id: "m" })
          yield* Effect.repeat(other.state, { schedule: often, until: ({ waiting }) => waiting.length > 0 })
          const [waits] = (yield* other.state).waiting
          expect(waits).toMatchObject({ kind: "model", step: null, provider: { lane: "default", reason: "blocked" } })
          expect(waits!.provider!.until! - started).toBeGreaterThan(50_000)
          yield* other.interrupt
          expect((yield* other.result(accepted))._tag).toBe("Interrupted")
          expect(fake.requests).toHaveLength(1)
          const entries = yield* entriesOf("other")
          expect(tagged(entries, "StepIntended")).toEqual([])
        }).pipe(Effect.provide(embedded(yield* directory, fake)))
      })
  )
})

const Careful = Agent.make("careful", { model: "first", fallbacks: ["second"], budget: { wall: "10 minutes" } })

describe("B4: providers that fail", () => {
  it.scopedLive(
    "one that fails half of its calls gets few more than it would, and all sessions end",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        fake.script((_, n) => (n % 2 === 0 ? failing : whole))
        const outcomes = yield* Effect.provide(talk(60), embedded(yield* directory, fake))
        expect(outcomes.every(({ _tag }) => _tag === "Completed")).toBe(true)
        expect(fake.requests.length).toBeLessThanOrEqual(60 * 2 + 20)
      }),
    120_000
  )

  it.scopedLive("one that wants to be left alone for hours is, by all: the next in the chain is asked at once", () =>
    Effect.gen(function* () {
      const first = yield* Fake.make
      const second = yield* Fake.make
      first.script(Fake.status(429, Anthropic.errorBody("rate_limit_error", "tomorrow"), { "retry-after": "7200" }))
      second.script(whole)
      const models = Models.layer({ first: Anthropic.layer(first), second: Anthropic.layer(second) })
      const runner = Runner.layerEmbedded({ agents: [Careful], directory: yield* directory }).pipe(
        Layer.provide(models)
      )
      yield* Effect.gen(function* () {
        for (const id of ["one", "two", "three"]) {
          const outcome = yield* Effect.flatMap(Client.session(Careful, id), outcomeOf)
          expect(outcome._tag).toBe("Completed")
        }
      }).pipe(Effect.provide(runner))
      expect(first.requests).toHaveLength(1)
      expect(second.requests).toHaveLength(3)
    })
  )

  it.scopedLive(
    "one that is down is left alone, the next is asked at once, and when it is back it is asked again",
    () =>
      Effect.gen(function* () {
        const first = yield* Fake.make
        const second = yield* Fake.make
        let isDown = true
        first.script(() => (isDown ? failing : whole))
        second.script(whole)
        const breaker = { failures: 4, openMs: 400, openMostMs: 400 }
        const runner = Runner.layerEmbedded({ agents: [Careful], directory: yield* directory }).pipe(
          Layer.provide([
            Models.layer({ first: Anthropic.layer(first), second: Anthropic.layer(second) }),
            RateLimits.layer({ first: { breaker } })
          ])
        )
        yield* Effect.gen(function* () {
          const ask = (id: string) => Effect.flatMap(Client.session(Careful, id), outcomeOf)
          const ids = (name: string, count: number) => Array.from({ length: count }, (_, n) => `${name}${n}`)
          yield* Effect.forEach(ids("a", 12), ask, { concurrency: "unbounded" })
          // Open: what comes now does not even try, but for a probe now and then.
          const before = first.requests.length
          const started = Date.now()
          yield* Effect.forEach(ids("b", 20), ask)
          const probes = Math.ceil((Date.now() - started) / breaker.openMs) + 1
          expect(first.requests.length - before).toBeLessThanOrEqual(probes)
          expect(second.requests.length).toBeGreaterThanOrEqual(30 - probes)
          isDown = false
          const answered = first.requests.length
          yield* Effect.repeat(
            Effect.suspend(() => ask(`c${first.requests.length}-${second.requests.length}`)),
            { until: () => first.requests.length >= answered + 3 }
          )
          const settled = second.requests.length
          yield* Effect.forEach(ids("d", 5), ask)
          expect(second.requests.length).toBe(settled)
        }).pipe(Effect.provide(runner))
      }),
    120_000
  )
})
