/** What people do about steps in doubt, and about those that are parked (I5, I9, I13). */
import { Tool, Toolkit } from "@effect/ai"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Schema, type Scope, Stream } from "effect"
import { Agent } from "../../src/agent/index.ts"
import type { Session } from "../../src/client/index.ts"
import type { Entry, Recorded } from "../../src/domain/Entry.ts"
import { ScriptedModel, TestRunner } from "../../src/testing/index.ts"

type Of<Tag extends Entry["_tag"]> = Extract<Entry, { readonly _tag: Tag }>
const tagged = <Tag extends Entry["_tag"]>(entries: ReadonlyArray<Recorded>, tag: Tag): ReadonlyArray<Of<Tag>> =>
  entries.map(({ entry }) => entry).filter((entry): entry is Of<Tag> => entry._tag === tag)

const Book = Tool.make("book", { success: Schema.String })
const Look = Tool.make("look", { success: Schema.String }).annotate(Tool.Readonly, true)
const tools = Toolkit.make(Book, Look)
const Telling = Agent.make("telling", { toolkit: tools })
const Asking = Agent.make("asking", { toolkit: tools, tools: { book: { inDoubt: "ask" } } })
const { calls, reply, text } = ScriptedModel

/** Calls a tool at the first message; else it says what it was given last. */
const model = (tool: "book" | "look") =>
  reply((prompt) => {
    const said = JSON.stringify(prompt.content)
    const last = JSON.stringify(prompt.content.slice(-2))
    return said.includes('"tool-call"') ? text(last) : calls(tool, {})
  })

const making = (tool: "book" | "look", onCall: () => void) =>
  TestRunner.make({
    agents: [Telling, Asking],
    model: ScriptedModel.make([model(tool)]),
    tools: tools.toLayer({
      book: () => Effect.as(Effect.sync(onCall), "booked"),
      look: () => Effect.as(Effect.sync(onCall), "seen")
    })
  })

/** A session whose booking had its effect, and then lost its runner. */
const doubtful = (agent: typeof Telling | typeof Asking) =>
  Effect.gen(function* () {
    const seen = { calls: 0 }
    const world = yield* making("book", () => {
      seen.calls++
    })
    yield* world.crashAt({ step: "tool:book", point: "after-effect-before-commit" })
    const session = yield* world.session(agent, "s")
    const sent = yield* session.send("Book it.", { id: "m1" })
    yield* world.crashed(1)
    return { seen, sent, session, world }
  })

/** Waits until it is, and says how it is then. */
const paused = (session: Session) =>
  session.feed().pipe(
    Stream.filter((event) => event._tag === "Entry" && event.recorded.entry._tag === "Paused"),
    Stream.runHead,
    Effect.zipRight(session.state),
    Effect.tap(({ status }) => Effect.sync(() => expect(status).toBe("paused")))
  )
const outputOf = (session: Session, sent: Effect.Effect.Success<ReturnType<Session["send"]>>) =>
  Effect.map(session.result(sent), (outcome) => JSON.stringify(outcome))

describe("a step in doubt whose model was told (I5)", () => {
  it.scoped("is seen, and settled once: the model learns it with the next message", () =>
    Effect.gen(function* () {
      const { seen, sent, session, world } = yield* doubtful(Telling)
      expect(yield* outputOf(session, sent)).toContain("outcome of this call is unknown")
      const { doubts } = yield* session.state
      expect(doubts).toMatchObject([{ name: "book", kind: "tool", turn: 1 }])
      const { step } = doubts[0]!

      const first = yield* session.settle(step, "happened", { id: "s1", result: "b-17" })
      expect(yield* session.settle(step, "happened", { id: "s1", result: "b-17" })).toEqual(first)
      expect((yield* Effect.flip(session.settle(step, "did not happen", { id: "s2" }))).message).toMatch(/not in doubt/)
      expect((yield* session.state).doubts).toEqual([])

      expect(yield* session.ask("And?")).toMatch(/known now what became of the call book.*It happened.*b-17/)
      expect(seen.calls).toBe(1)
      expect(tagged(yield* world.journal("s"), "DoubtSettled")).toMatchObject([{ step, verdict: "happened" }])
      expect((yield* world.verify("s")).problems).toEqual([])
    })
  )

  it.scoped("is not run again by a verdict, nor given what its tool never returns", () =>
    Effect.gen(function* () {
      const { sent, session } = yield* doubtful(Telling)
      yield* session.result(sent)
      const { step } = (yield* session.state).doubts[0]!
      const refused = (effect: ReturnType<Session["settle"]>) =>
        Effect.map(Effect.flip(effect), ({ message }) => message)
      expect(yield* refused(session.settle(step, "retry"))).toMatch(/was told: send a message/)
      expect(yield* refused(session.settle(step, "happened", { result: 42 }))).toMatch(/"book" never returns that/)
      expect(yield* refused(session.settle(step, "happened"))).toMatch(/say what/)
      expect(yield* refused(session.settle("99", "did not happen"))).toMatch(/step 99 is not in doubt/)
      expect((yield* session.state).doubts).toHaveLength(1)
      yield* session.settle(step, "did not happen")
      expect(yield* session.ask("And?")).toMatch(/It did not happen/)
    })
  )

  it.scoped("is remembered through another crash", () =>
    Effect.gen(function* () {
      const { sent, session, world } = yield* doubtful(Telling)
      yield* session.result(sent)
      yield* world.kill
      const { doubts } = yield* session.state
      expect(doubts).toMatchObject([{ name: "book" }])
    })
  )
})

describe("a step in doubt whose agent wants to be told first", () => {
  it.scoped("holds its turn until somebody says that it happened: that is its outcome", () =>
    Effect.gen(function* () {
      const { seen, sent, session, world } = yield* doubtful(Asking)
      const { doubts, pauses } = yield* paused(session)
      expect(doubts).toEqual([])
      expect(pauses).toMatchObject([{ kind: "doubt", detail: { name: "book" } }])
      const { step } = pauses[0]!.detail as { readonly step: string }
      // It survives the next crash, and nothing runs meanwhile.
      yield* world.kill
      yield* paused(session)
      yield* session.settle(step, "happened", { result: "b-17" })
      expect(yield* outputOf(session, sent)).toContain("b-17")
      expect(seen.calls).toBe(1)
      const entries = yield* world.journal("s")
      expect(tagged(entries, "StepInDoubt")).toEqual([])
      expect(tagged(entries, "StepSucceeded").filter(({ settled }) => settled !== undefined)).toMatchObject([{ step }])
      expect((yield* Effect.flip(session.settle(step, "retry"))).message).toMatch(/not in doubt/)
    })
  )

  it.scoped("says that it did not happen, and the model hears it", () =>
    Effect.gen(function* () {
      const { seen, sent, session } = yield* doubtful(Asking)
      const { step } = (yield* paused(session)).pauses[0]!.detail as { readonly step: string }
      yield* session.settle(step, "did not happen")
      expect(yield* outputOf(session, sent)).toContain("it had no effect")
      expect(seen.calls).toBe(1)
    })
  )

  it.scoped("runs again where somebody says that it may", () =>
    Effect.gen(function* () {
      const { seen, sent, session } = yield* doubtful(Asking)
      const { step } = (yield* paused(session)).pauses[0]!.detail as { readonly step: string }
      yield* session.settle(step, "retry")
      expect(yield* outputOf(session, sent)).toContain("booked")
      expect(seen.calls).toBe(2)
    })
  )

  it.scoped("is in doubt still where its turn is stopped, or whoever was asked does not know", () =>
    Effect.gen(function* () {
      for (const how of ["interrupt", "discard"] as const) {
        const { seen, sent, session, world } = yield* doubtful(Asking)
        const { step } = (yield* paused(session)).pauses[0]!.detail as { readonly step: string }
        yield* how === "interrupt" ? session.interrupt : session.discard({ step })
        yield* session.result(sent)
        expect(tagged(yield* world.journal("s"), "StepInDoubt")).toMatchObject([{ step }])
        expect((yield* session.state).doubts).toMatchObject([{ step }])
        expect(seen.calls).toBe(1)
      }
    })
  )
})

describe("what kills its runner each time (I13)", () => {
  const poisoned = Effect.gen(function* () {
    const seen = { calls: 0 }
    const world = yield* making("look", () => {
      seen.calls++
    })
    for (let life = 1; life <= 10; life++) {
      yield* world.crashAt({ step: "tool:look", point: "after-effect-before-commit", occurrence: life })
    }
    const session = yield* world.session(Telling, "s")
    const sent = yield* session.send("Look.", { id: "m1" })
    yield* world.crashed(10)
    yield* paused(session)
    return { seen, sent, session, world }
  })

  it.scoped("is parked with its reason, is seen in the list, and harms no other session", () =>
    Effect.gen(function* () {
      const { session, world } = yield* poisoned
      expect(yield* world.client.sessions({ status: "paused" })).toMatchObject([{ session: "s" }])
      const { pauses } = yield* session.state
      expect(pauses).toMatchObject([
        { kind: "parked", detail: { name: "look", question: expect.stringMatching(/Revive/) } }
      ])
      // Another one, and a message to this one: it waits, and is not lost.
      yield* session.send("And then?", { id: "m2" })
      expect(yield* (yield* world.session(Telling, "other")).ask("Look.")).toContain("seen")
      yield* world.kill
      expect((yield* paused(session)).queued).toBe(1)
    })
  )

  it.scoped("is revived by a command, once, and goes on with the same key", () =>
    Effect.gen(function* () {
      const { seen, sent, session, world } = yield* poisoned
      const accepted = yield* session.revive({ id: "r1" })
      expect(yield* session.revive({ id: "r1" })).toEqual(accepted)
      expect(yield* outputOf(session, sent)).toContain("seen")
      expect(seen.calls).toBe(11)
      expect(yield* world.crashes).toBe(10)
      expect(Exit.isFailure(yield* Effect.exit(session.discard()))).toBe(true)
    })
  )

  it.scoped("is given up by a command: the model is told, and what waited goes on", () =>
    Effect.gen(function* () {
      const { seen, sent, session } = yield* poisoned
      const second = yield* session.send("And then?", { id: "m2" })
      yield* session.discard({ reason: "it is broken" })
      expect(yield* outputOf(session, sent)).toContain("The call failed")
      expect(yield* session.result(second)).toMatchObject({ _tag: "Completed" })
      expect(seen.calls).toBe(10)
    })
  )

  it.scoped(
    "there is nothing to give up where nothing is parked; to revive does no harm",
    () =>
      Effect.gen(function* () {
        const world = (yield* making("look", () => {})) as TestRunner.World
        const session = yield* world.session(Telling, "s")
        expect(yield* Effect.flip(session.discard())).toMatchObject({ _tag: "NothingToDecide" })
        expect(yield* Effect.flip(session.revive({ step: "7" }))).toMatchObject({ _tag: "NothingToDecide" })
        yield* session.revive()
        expect((yield* session.state).status).toBe("resting")
      }) as Effect.Effect<void, unknown, Scope.Scope>
  )
})
