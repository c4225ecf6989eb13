/**
 * Every class of failure under every default policy, against a real HTTP server: what is asked how often, what is waited,
 * how it ends, and what a fallback changes. Waiting is virtual, the network is not.
 */
import { Tool, Toolkit } from "@effect/ai"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema, TestClock, TestServices } from "effect"
import { Agent } from "../../src/agent/index.ts"
import type { Entry } from "../../src/domain/Entry.ts"
import { type FailureClass, StepFailure } from "../../src/domain/Failure.ts"
import { Models } from "../../src/model/index.ts"
import type { Session } from "../../src/client/index.ts"
import { ScriptedModel, TestRunner } from "../../src/testing/index.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"

const { errorBody, message, text } = Anthropic

type OfModel = Exclude<FailureClass, "ToolFailed" | "RunnerLost" | "Stopped" | "BlobMissing" | "Defect">

/** What makes each class come of a request. */
const behaviours: Readonly<Record<OfModel, Fake.Behaviour>> = {
  RateLimited: Fake.status(429, errorBody("rate_limit_error", "slow"), { "retry-after": "20" }),
  Overloaded: Fake.status(529, errorBody("overloaded_error", "Overloaded")),
  Unreachable: Fake.reset,
  Interrupted: Fake.cutAfter(4, message([text("", "Half")])),
  ContextOverflow: Fake.status(400, errorBody("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum")),
  Refused: Fake.whole(message([text("I would rather not")], { stop: "refusal" })),
  MalformedToolCall: Fake.status(400, { error: { code: "tool_use_failed", message: "Failed to call a function" } }),
  InvalidRequest: Fake.status(400, errorBody("invalid_request_error", "max_tokens: must be positive")),
  Unauthorized: Fake.status(401, errorBody("authentication_error", "invalid x-api-key")),
  TimedOut: Fake.hangAfter(2, message([text("Half")]))
}

interface Row {
  readonly class: OfModel
  /** How often a model is asked that always fails so, alone. */
  readonly alone: number
  /** How often before another model is, where there is one; `null`: never. */
  readonly before: number | null
  /** The least and the most that is waited in all, in seconds, alone. */
  readonly waits: readonly [number, number]
  /** What all next attempts are given. */
  readonly given: "original" | "continue" | "repaired" | null
}

const model: ReadonlyArray<Row> = [
  { class: "RateLimited", alone: 12, before: 4, waits: [220, 243], given: "original" },
  { class: "Overloaded", alone: 10, before: 4, waits: [60, 125], given: "original" },
  { class: "Unreachable", alone: 10, before: 4, waits: [60, 125], given: "original" },
  { class: "TimedOut", alone: 10, before: 4, waits: [60, 125], given: "original" },
  { class: "Interrupted", alone: 8, before: 8, waits: [15, 31], given: "original" },
  { class: "Refused", alone: 1, before: 1, waits: [0, 0], given: null },
  { class: "Unauthorized", alone: 1, before: 1, waits: [0, 0], given: null },
  { class: "MalformedToolCall", alone: 3, before: null, waits: [0, 0], given: "repaired" },
  { class: "InvalidRequest", alone: 1, before: null, waits: [0, 0], given: null }
]

const silence = "5 seconds"
/** Each moment of virtual time takes a few of real time, and the machine may be busy. */
const patience_ms = 120_000

/** A pause in which the network gets its turn. */
const aMoment = TestServices.provideLive(Effect.sleep("2 millis"))

/** Lets virtual time pass until the turn has ended: to each attempt's time, and over silences. */
const drive = (world: TestRunner.World<any>, session: Session): Effect.Effect<ReadonlyArray<Entry>, unknown> =>
  Effect.gen(function* () {
    for (let idle = 0; ; idle++) {
      yield* aMoment
      const entries = (yield* world.journal("s")).map(({ entry }) => entry)
      if (entries.some(({ _tag }) => _tag === "TurnEnded")) return entries
      const { open, waiting } = yield* session.state
      const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      // For its time; or for what its provider is taken to allow, which is no matter of policies.
      const dueAt = Math.max(0, ...open.map(({ dueAt }) => dueAt))
      const wait = dueAt > now ? dueAt - now : waiting.length > 0 && idle % 5 === 4 ? 60_000 : 0
      // Nothing has come for a while: the provider is silent.
      if (wait > 0 || idle % 60 === 59) yield* TestClock.adjust(wait > 0 ? wait : silence)
      if (wait > 0) idle = 0
    }
  })

const failuresOf = (entries: ReadonlyArray<Entry>) =>
  entries.flatMap((entry) => (entry._tag === "AttemptFailed" || entry._tag === "StepFailed" ? [entry] : []))

const waitsOf = (entries: ReadonlyArray<Entry>) =>
  entries.reduce((sum, entry) => sum + (entry._tag === "AttemptFailed" ? (entry.decided?.delayMs ?? 0) : 0), 0)

describe("modelDefault", () => {
  it.scoped.each(model)(
    "$class, alone: asked $alone times",
    (row) =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        fake.script(behaviours[row.class])
        const Alone = Agent.make("alone", { silence })
        const world = yield* TestRunner.make({ agents: [Alone], model: Anthropic.layer(fake) })
        const session = yield* world.session(Alone, "s")
        yield* session.send("Go on.")
        const entries = yield* drive(world, session)
        expect(entries.at(-1)).toMatchObject({ outcome: { _tag: "Failed", failure: { class: row.class } } })
        expect(fake.requests).toHaveLength(row.alone)
        const failures = failuresOf(entries)
        expect(failures.map(({ failure }) => failure.class)).toEqual(Array(row.alone).fill(row.class))
        expect(failures.map(({ decided }) => decided?.policy)).toEqual(Array(row.alone).fill("modelDefault"))
        expect(failures.at(-1)).toMatchObject({ _tag: "StepFailed", decided: { plan: "fail" } })
        const given = new Set(failures.flatMap((entry) => (entry._tag === "AttemptFailed" ? [entry.nextInput] : [])))
        expect([...given]).toEqual(row.given === null ? [] : [row.given])
        expect(waitsOf(entries) / 1_000).toBeGreaterThanOrEqual(row.waits[0])
        expect(waitsOf(entries) / 1_000).toBeLessThanOrEqual(row.waits[1])
        expect((yield* world.verify("s")).problems).toEqual([])
      }),
    patience_ms
  )

  it.scoped.each(model)(
    "$class, with another model behind it",
    (row) =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const other = yield* Fake.make
        fake.script(behaviours[row.class])
        other.script(Fake.whole(message([text("Done.")])))
        const Chain = Agent.make("chain", { model: "first", fallbacks: ["second"], silence })
        const models = Models.layer({ first: Anthropic.layer(fake), second: Anthropic.layer(other) })
        const world = yield* TestRunner.make({ agents: [Chain], model: models })
        const session = yield* world.session(Chain, "s")
        yield* session.send("Go on.")
        const entries = yield* drive(world, session)
        expect(fake.requests).toHaveLength(row.before ?? row.alone)
        expect(other.requests).toHaveLength(row.before === null ? 0 : 1)
        expect(entries.at(-1)).toMatchObject({
          outcome:
            row.before === null
              ? { _tag: "Failed", failure: { class: row.class } }
              : { _tag: "Completed", output: "Done." }
        })
        if (row.before === null) return
        expect(failuresOf(entries).at(-1)).toMatchObject({ decided: { plan: "fallback", model: "second" } })
      }),
    patience_ms
  )

  it.scoped("ContextOverflow: the conversation is made shorter, or fails and says so", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(behaviours.ContextOverflow)
      const Alone = Agent.make("alone")
      const world = yield* TestRunner.make({ agents: [Alone], model: Anthropic.layer(fake) })
      const session = yield* world.session(Alone, "s")
      yield* session.send("Go on.")
      const entries = yield* drive(world, session)
      expect(failuresOf(entries)[0]).toMatchObject({ decided: { plan: "compact", rule: "ContextOverflow" } })
      expect(entries.at(-1)).toMatchObject({ outcome: { _tag: "Failed", failure: { class: "ContextOverflow" } } })
      expect(fake.requests.length).toBeLessThanOrEqual(3)
    })
  )

  it.scoped("RunnerLost: a call that kills its runner each time is parked after ten, until a human has looked", () =>
    Effect.gen(function* () {
      const Alone = Agent.make("alone")
      const crashes = Array.from({ length: 10 }, (_, i) => ({
        step: "model",
        point: "before-effect" as const,
        occurrence: i + 1
      }))
      const world = yield* TestRunner.make({
        agents: [Alone],
        model: ScriptedModel.make([ScriptedModel.text("x")]),
        crashes
      })
      const session = yield* world.session(Alone, "s")
      yield* session.send("Go on.")
      const entries = yield* Effect.repeat(Effect.zipRight(aMoment, world.journal("s")), {
        until: (all) => all.some(({ entry }) => entry._tag === "Paused")
      })
      const failures = failuresOf(entries.map(({ entry }) => entry))
      expect(failures.map(({ failure }) => failure.class)).toEqual(Array(10).fill("RunnerLost"))
      expect(failures.at(-1)).toMatchObject({ decided: { plan: "ask", policy: "modelDefault" } })
      expect((yield* session.state).status).toBe("paused")
    })
  )
})

const Safe = Tool.make("safe", { parameters: { n: Schema.Int }, success: Schema.String }).annotate(
  Tool.Idempotent,
  true
)
const Pay = Tool.make("pay", { parameters: { n: Schema.Int }, success: Schema.String })
const tools = Toolkit.make(Safe, Pay)
const Worker = Agent.make("worker", { toolkit: tools })

const passing: ReadonlyArray<FailureClass> = ["Unreachable", "TimedOut", "RateLimited", "Overloaded", "Interrupted"]
const others: ReadonlyArray<FailureClass> = [
  "ContextOverflow",
  "Refused",
  "MalformedToolCall",
  "InvalidRequest",
  "Unauthorized",
  "ToolFailed",
  "BlobMissing",
  "Defect"
]

describe("toolDefault", () => {
  const run = (name: "safe" | "pay", failure: StepFailure["failure"]) =>
    Effect.gen(function* () {
      const server = yield* Fake.make
      server.script(Fake.status(500, ""))
      const call = () =>
        Effect.zipRight(
          Effect.promise((signal) => fetch(server.url, { signal, method: "POST", body: "{}" }).then((it) => it.text())),
          Effect.fail(new StepFailure({ failure }))
        ).pipe(Effect.orDieWith((error) => error)) as never
      const world = yield* TestRunner.make({
        agents: [Worker],
        model: ScriptedModel.make([ScriptedModel.calls(name, { n: 1 }), ScriptedModel.text("told")]),
        tools: tools.toLayer({ safe: call, pay: call })
      })
      const session = yield* world.session(Worker, "s")
      yield* session.send("Go on.")
      return { entries: yield* drive(world, session), requests: server.requests.length }
    })

  it.scoped.each([...passing.map((one) => [one, 4] as const), ...others.map((one) => [one, 1] as const)])(
    "%s of a tool that may be repeated: called %i times, and the model is told",
    ([failureClass, times]) =>
      Effect.gen(function* () {
        const { entries, requests } = yield* run("safe", { class: failureClass, message: "no" })
        expect(requests).toBe(times)
        const failures = failuresOf(entries)
        expect(failures).toHaveLength(times)
        expect(failures.at(-1)).toMatchObject({ decided: { plan: "fail", policy: "toolDefault" } })
        expect(entries.at(-1)).toMatchObject({ outcome: { _tag: "Completed", output: "told" } })
      })
  )

  it.scoped.each([...passing, "ToolFailed", "Defect"] as const)(
    "%s of a tool that may not be repeated: called once (I5)",
    (failureClass) =>
      Effect.gen(function* () {
        const { requests } = yield* run("pay", { class: failureClass, message: "no" })
        expect(requests).toBe(1)
      })
  )

  it.scoped("but four times where nothing of it was sent", () =>
    Effect.gen(function* () {
      const { requests } = yield* run("pay", { class: "Unreachable", message: "no", reached: "nothing" })
      expect(requests).toBe(4)
    })
  )
})
