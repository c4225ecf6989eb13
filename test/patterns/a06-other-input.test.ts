/**
 * A6. A retry's input is chosen by what went wrong and by what reached the model: the same words where nothing did, what
 * came so far where an answer was cut, a shorter conversation where it was too long, a word about the fault where the
 * answer was no use. What was chosen is in the journal, and is what is sent, also after a crash. Cites I2, I6.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Client } from "../../src/client/index.ts"
import type { Session } from "../../src/client/index.ts"
import { Models } from "../../src/model/index.ts"
import { Policy } from "../../src/resilience/index.ts"
import { TestRunner } from "../../src/testing/index.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"
import * as Runners from "../support/Runners.ts"
import { clientOf, directory, entriesOf, isTurnEnd, Reader, tagged, until } from "../support/World.ts"

const soon = Policy.make("soon", [
  Policy.rule(["Overloaded", "Unreachable"], Policy.retry({ attempts: 5 })),
  Policy.rule("Interrupted", Policy.retry({ attempts: 10 }))
])
const Talker = Agent.make("talker", { policy: { model: soon } })

const tokens = Array.from({ length: 12 }, (_, i) => `word${i} `)
const whole = tokens.join("")

/** What a request has of an answer that was cut: the text of its last message of the assistant. */
const partOf = (request: Fake.Recorded): string => {
  const last = request.body.messages.filter((one: { role: string }) => one.role === "assistant").at(-1)
  return last === undefined ? "" : typeof last.content === "string" ? last.content : last.content[0].text
}

/** Says what is missing of the whole, three words at a time, and is cut off each time. */
const cutting: Fake.Scripted = (request) => {
  const done = tokens.findIndex((_, i) => tokens.slice(0, i).join("") === partOf(request))
  const beats = Anthropic.message([Anthropic.text(...tokens.slice(Math.max(0, done)))])
  return tokens.length - done <= 3 ? Fake.whole(beats) : Fake.cutAfter(3 + 3, beats)
}

const read = (session: Session) =>
  Effect.gen(function* () {
    const reader = new Reader()
    yield* session.feed().pipe(
      Stream.takeUntil(isTurnEnd),
      Stream.runForEach((event) => Effect.sync(() => reader.take(event)))
    )
    return reader
  })

const attemptsOf = (world: TestRunner.World<any>) =>
  Effect.map(world.journal("s"), (entries) =>
    tagged(
      entries.map(({ entry }) => entry),
      "AttemptFailed"
    )
  )

/** Tells the model, and returns what a reader has heard and the provider was asked. */
const talk = (model: ReturnType<typeof Anthropic.layer>, agent: Agent.Any = Talker) =>
  Effect.gen(function* () {
    const world = yield* TestRunner.make({ agents: [agent], model: model as Layer.Layer<any> })
    const session = yield* world.session(agent, "s")
    yield* session.send("Speak.")
    const reader = yield* read(session).pipe(Effect.timeout("20 seconds"))
    return { reader, attempts: yield* attemptsOf(world), end: (yield* world.journal("s")).at(-1)!.entry }
  })

describe("A6: a retry with another input", () => {
  it.scopedLive(
    "an answer that is cut each time is continued: its reader sees neither a gap nor a repeat nor a restart",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        fake.script(cutting)
        const { attempts, end, reader } = yield* talk(Anthropic.layer(fake))
        expect(end).toMatchObject({ outcome: { _tag: "Completed", output: whole } })
        expect(reader.text("1")).toBe(whole)
        expect(reader.rewinds).toBe(0)
        // Each request has what came before it, and not a word more or less.
        expect(fake.requests.map(partOf)).toEqual([0, 3, 6, 9].map((n) => tokens.slice(0, n).join("")))
        expect(attempts.map(({ nextInput }) => nextInput)).toEqual(["continue", "continue", "continue"])
        expect(new Set(attempts.map(({ decided }) => decided?.inputHash)).size).toBe(3)
      })
  )

  it.scopedLive("where a model begins anew whatever it is told, its reader is told to rewind once a cut", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const beats = Anthropic.message([Anthropic.text(...tokens)])
      fake.script(Fake.cutAfter(8, beats), Fake.whole(beats))
      const { attempts, reader } = yield* talk(Layer.merge(Anthropic.layer(fake), Models.startsOver))
      expect(reader.text("1")).toBe(whole)
      expect(reader.rewinds).toBe(1)
      expect(fake.requests[1]!.body).toEqual(fake.requests[0]!.body)
      expect(attempts).toMatchObject([{ nextInput: "original" }])
      expect(attempts[0]!.partial).toBeUndefined()
    })
  )

  it.scopedLive("where nothing reached the model it is asked the same, in the same bytes", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      fake.script(Fake.reset, Fake.status(529, "{}"), Fake.whole(Anthropic.message([Anthropic.text("yes")])))
      const { attempts, reader } = yield* talk(Anthropic.layer(fake))
      expect(reader.text("1")).toBe("yes")
      expect(fake.requests.map(({ body }) => body)).toEqual(Array(3).fill(fake.requests[0]!.body))
      expect(attempts.map(({ nextInput }) => nextInput)).toEqual(["original", "original"])
      // The same input has the same hash.
      expect(new Set(attempts.map(({ decided }) => decided?.inputHash)).size).toBe(1)
    })
  )

  it.scopedLive("where its call could not be read, the model is told so, and no one else ever is", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const unread = { error: { code: "tool_use_failed", message: "Failed to call a function" } }
      fake.script(
        Fake.status(400, unread),
        Fake.whole(Anthropic.message([Anthropic.text("better")])),
        Fake.whole(Anthropic.message([Anthropic.text("good")]))
      )
      const world = yield* TestRunner.make({ agents: [Talker], model: Anthropic.layer(fake) })
      const session = yield* world.session(Talker, "s")
      expect(yield* session.ask("Speak.")).toBe("better")
      expect(yield* session.ask("And again.")).toBe("good")
      const said = fake.requests.map(({ body }) => JSON.stringify(body.messages))
      expect(said[1]).toContain("could not be used: the model called a tool in a way that its provider could not read")
      expect(said[0]).not.toContain("could not be used")
      expect(said[2]).not.toContain("could not be used")
      expect(yield* attemptsOf(world)).toMatchObject([{ nextInput: "repaired" }])
    })
  )

  it.scopedLive("another model is told what the first one has said, where the policy wants that", () =>
    Effect.gen(function* () {
      const first = yield* Fake.make
      const second = yield* Fake.make
      first.script(Fake.cutAfter(6, Anthropic.message([Anthropic.text(...tokens)])))
      second.script(cutting)
      const turn = Policy.make("turn", [
        Policy.rule("Interrupted", Policy.fallback({ input: "continue" }), Policy.retry({ attempts: 10 }))
      ])
      const Chain = Agent.make("chain", { model: "a", fallbacks: ["b"], policy: { model: turn } })
      const models = Models.layer({ a: Anthropic.layer(first), b: Anthropic.layer(second) })
      const { end, reader } = yield* talk(models as never, Chain)
      expect(end).toMatchObject({ outcome: { _tag: "Completed", output: whole } })
      expect(reader.text("1")).toBe(whole)
      expect(reader.rewinds).toBe(0)
      expect(first.requests).toHaveLength(1)
      expect(partOf(second.requests[0]!)).toBe(tokens.slice(0, 3).join(""))
    })
  )

  it.scopedLive(
    "what was chosen is what is sent after kill -9 of the runner during the wait, by the runner that takes over (I2)",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const home = yield* directory
        const beats = Anthropic.message([Anthropic.text(...tokens)])
        // Cut twice: the second time the runner waits for half a second or more, and dies meanwhile.
        fake.script(Fake.cutAfter(6, beats), cutting, cutting)
        const runners = yield* Runners.make({ directory: home }, "test/fixtures/hands.main.ts")
        const runner = yield* runners.start({ MODEL_URL: fake.url })
        yield* Effect.gen(function* () {
          const session = yield* Client.session({ name: "hands", version: "1" }, "s")
          yield* session.send("Speak.")
          const seen = new Reader()
          yield* session.feed().pipe(
            Stream.tap((event) => Effect.sync(() => seen.take(event))),
            Stream.filter((event) => event._tag === "Entry" && event.recorded.entry._tag === "AttemptFailed"),
            Stream.take(2),
            Stream.runDrain
          )
          runner.kill("SIGKILL")
          yield* runner.ended
          yield* runners.start({ MODEL_URL: fake.url })
          yield* until("it is asked again", () => fake.requests.length >= 3)
        }).pipe(Effect.provide(clientOf({ directory: home })))
        yield* Effect.gen(function* () {
          const session = yield* Client.existing("s")
          const reader = yield* read(session).pipe(Effect.timeout("20 seconds"))
          expect(reader.text("1")).toBe(whole)
          expect(partOf(fake.requests[2]!)).toBe(tokens.slice(0, 6).join(""))
          const attempts = tagged(yield* entriesOf("s"), "AttemptFailed")
          const cuts = attempts.filter(({ failure }) => failure.class === "Interrupted")
          expect(cuts[1]).toMatchObject({ nextInput: "continue", decided: { plan: "retry", policy: "modelDefault" } })
        }).pipe(Effect.provide(clientOf({ directory: home })))
      }),
    60_000
  )
})
