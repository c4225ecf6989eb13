/** A session of everything that can be interrupted by a crash, and what must hold of it whatever died when. */
import { Tool, Toolkit } from "@effect/ai"
import { Chunk, Deferred, Effect, Fiber, Schema, Stream } from "effect"
import { Agent, type Conversation, ToolContext } from "../../src/agent/index.ts"
import type { Accepted } from "../../src/client/index.ts"
import type { Recorded } from "../../src/domain/Entry.ts"
import type { FeedEvent } from "../../src/feed/index.ts"
import { State } from "../../src/session/index.ts"
import { ScriptedModel, TestRunner } from "../../src/testing/index.ts"
import { expect } from "vitest"
import { texts } from "../feed/reader.ts"

const params = { id: Schema.String }
const Book = Tool.make("book", { parameters: params, success: Schema.String })
const Pay = Tool.make("pay", { parameters: params, success: Schema.String, dependencies: [ToolContext] }).annotate(
  Tool.Idempotent,
  true
)
const Look = Tool.make("look", { parameters: params, success: Schema.String }).annotate(Tool.Readonly, true)
const Break = Tool.make("break", { parameters: params, success: Schema.String, failure: Schema.String })
const Hang = Tool.make("hang", { success: Schema.String }).annotate(Tool.Readonly, true)

const tools = Toolkit.make(Book, Pay, Look, Break, Hang)
export const Busy = Agent.make("busy", { toolkit: tools })

const small = Toolkit.make(Book)
const Small = Agent.make("small", { toolkit: small })

/** A planted fault: its tool may not be repeated, and is declared as if it might. */
export const Liar = {
  ...Small,
  behaviour: {
    ...Small.behaviour,
    decide: (state: Conversation.Conversation, session: State.SessionState<Conversation.Conversation>) =>
      Small.behaviour
        .decide(state, session)
        .map((action) => (action._tag === "Step" ? { ...action, repeatable: "idempotent" as const } : action))
  }
}

const { calls, says, text } = ScriptedModel

const script = [
  says(
    "On it: ",
    calls("book", { id: "b" }, { id: "book" }),
    calls("pay", { id: "p" }, { id: "pay" }),
    calls("look", { id: "l" }, { id: "look" }),
    calls("break", { id: "x" }, { id: "break" }),
    calls("look", { id: 7 }, { id: "misfit" }),
    // The last one: what a provider's stream says after a call of a tool that does not exist is lost (see model/).
    calls("nonsense", { id: "n" }, { id: "nonsense" })
  ),
  text("The first is done, one way or another.", { tokens: 4 }),
  calls("hang", {}, { id: "hang" }),
  text("The third is done.", { tokens: 3 })
]

/** Runs the workload in a world, and checks it. Returns how many crashes there were. */
export const run = (crashes: ReadonlyArray<TestRunner.Crash>) =>
  Effect.gen(function* () {
    const witness: Array<string> = []
    const saw = (what: string) => Effect.sync(() => void witness.push(what))
    const world = yield* TestRunner.make({
      agents: [Busy],
      crashes,
      model: ScriptedModel.make(script, { tokenDelay: "1 millis" }),
      tools: tools.toLayer({
        book: ({ id }) => Effect.as(saw(`book ${id}`), "booked"),
        pay: ({ id }) =>
          Effect.flatMap(ToolContext, ({ idempotencyKey }) => Effect.as(saw(`pay ${id} ${idempotencyKey}`), "paid")),
        look: ({ id }) => Effect.as(saw(`look ${id}`), "seen"),
        break: ({ id }) => Effect.zipRight(saw(`break ${id}`), Effect.fail("it is broken")),
        hang: () => Effect.zipRight(saw("hang"), Effect.never)
      })
    })
    const session = yield* world.session(Busy, "s")
    const hanging = yield* Deferred.make<void>()
    const reading = yield* session.feed().pipe(
      Stream.tap((event) =>
        event._tag === "Entry" && event.recorded.entry._tag === "StepIntended" && event.recorded.entry.name === "hang"
          ? Deferred.succeed(hanging, undefined)
          : Effect.void
      ),
      Stream.takeUntil(
        (event) =>
          event._tag === "Entry" && event.recorded.entry._tag === "TurnEnded" && event.recorded.entry.turn === 3
      ),
      Stream.runCollect,
      Effect.fork
    )
    const first = yield* session.send("one", { id: "m1" })
    const second = yield* session.send("two", { id: "m2" })
    const third = yield* session.send("three", { id: "m3" })
    yield* Deferred.await(hanging)
    const stop = yield* session.stop("interrupt", { id: "i1", reason: "enough" })
    const again = yield* session.send("one", { id: "m1" })
    expect(again.seq, "a command that was sent twice has its first answer (I1)").toBe(first.seq)
    const outcome = yield* session.result(third)
    const events = Chunk.toReadonlyArray(yield* Fiber.join(reading))
    const entries = yield* world.journal("s")
    const { problems } = yield* world.verify("s")
    const anew = yield* session.feed().pipe(Stream.take(entries.length), Stream.runCollect)
    const view = yield* session.state

    expect(outcome).toEqual({ _tag: "Completed", output: "The third is done." })
    expect(problems).toEqual([])
    checkTurns(entries)
    checkAcks(entries, [first, second, third, stop])
    checkEffects(entries, witness)
    checkFeed(entries, events, Chunk.toReadonlyArray(anew))
    checkConversation(entries)
    expect({ status: view.status, queued: view.queued, open: view.open, turn: view.turn, seq: view.seq }).toEqual({
      status: "resting",
      queued: 0,
      open: [],
      turn: null,
      seq: entries.length
    })
    return { crashes: yield* world.crashes, calls: yield* world.storeCalls }
  }).pipe(
    Effect.scoped,
    Effect.timeoutFail({ duration: "30 seconds", onTimeout: () => new Error("it never came to rest") })
  )

/** A session of one tool that may not be repeated: short enough for crashes in all pairs. */
export const runSmall = (crashes: ReadonlyArray<TestRunner.Crash>, agent = Small) =>
  Effect.gen(function* () {
    const witness: Array<string> = []
    const world = yield* TestRunner.make({
      agents: [agent],
      crashes,
      model: ScriptedModel.make([calls("book", { id: "b" }), text("Done.")]),
      tools: small.toLayer({
        book: ({ id }) =>
          Effect.as(
            Effect.sync(() => void witness.push(`book ${id}`)),
            "booked"
          )
      })
    })
    const session = yield* world.session(agent, "s")
    const accepted = yield* session.send("one", { id: "m1" })
    expect(yield* session.result(accepted)).toEqual({ _tag: "Completed", output: "Done." })
    const entries = yield* world.journal("s")
    expect((yield* world.verify("s")).problems).toEqual([])
    expect(
      entries.map(({ seq }) => seq),
      "no gap (I4)"
    ).toEqual(entries.map((_, i) => i + 1))
    checkAcks(entries, [accepted])
    checkOnce(entries, witness, "book", "StepSucceeded")
    return { crashes: yield* world.crashes, calls: yield* world.storeCalls }
  }).pipe(
    Effect.scoped,
    Effect.timeoutFail({ duration: "30 seconds", onTimeout: () => new Error("it never came to rest") })
  )

const endsOf = (entries: ReadonlyArray<Recorded>, name: string) => {
  const steps = entries.flatMap(({ entry }) =>
    entry._tag === "StepIntended" && entry.name === name ? [entry.step] : []
  )
  expect(steps.length, `${name} is intended once`).toBe(1)
  return entries.flatMap(({ entry }) =>
    (entry._tag === "StepSucceeded" || entry._tag === "StepFailed" || entry._tag === "StepInDoubt") &&
    entry.step === steps[0]
      ? [entry._tag]
      : []
  )
}

/** A step that may not be repeated: it ran once and says so, or nobody knows (I5). */
const checkOnce = (
  entries: ReadonlyArray<Recorded>,
  witness: ReadonlyArray<string>,
  name: string,
  outcome: "StepSucceeded" | "StepFailed"
) => {
  const times = witness.filter((one) => one.startsWith(name)).length
  const ends = endsOf(entries, name)
  expect(ends.length, `${name} has one outcome (I2)`).toBe(1)
  expect(times, `${name} ran at most once (I5)`).toBeLessThanOrEqual(1)
  expect(times === 1 ? [outcome, "StepInDoubt"] : ["StepInDoubt"], `the outcome of ${name}`).toContain(ends[0])
}

const checkTurns = (entries: ReadonlyArray<Recorded>) => {
  expect(
    entries.map(({ seq }) => seq),
    "no gap (I4)"
  ).toEqual(entries.map((_, i) => i + 1))
  const outcomes = entries.flatMap(({ entry }) => (entry._tag === "TurnEnded" ? [entry.outcome] : []))
  expect(outcomes).toEqual([
    { _tag: "Completed", output: "The first is done, one way or another." },
    { _tag: "Interrupted", reason: "enough" },
    { _tag: "Completed", output: "The third is done." }
  ])
}

const checkAcks = (entries: ReadonlyArray<Recorded>, acks: ReadonlyArray<Accepted>) => {
  const accepted = entries.flatMap(({ entry, seq }) =>
    entry._tag === "CommandAccepted" ? [{ id: entry.id as string, seq: seq as number }] : []
  )
  expect(accepted, "what was acknowledged is in the journal, once (I1)").toEqual(
    acks.map(({ id, seq }) => ({ id, seq }))
  )
}

const checkEffects = (entries: ReadonlyArray<Recorded>, witness: ReadonlyArray<string>) => {
  const times = (what: string) => witness.filter((one) => one.startsWith(what)).length
  checkOnce(entries, witness, "book", "StepSucceeded")
  checkOnce(entries, witness, "break", "StepFailed")
  // One that may: at least once, and once for whoever knows its key.
  expect(endsOf(entries, "pay")).toEqual(["StepSucceeded"])
  expect(new Set(witness.filter((one) => one.startsWith("pay"))).size).toBe(1)
  expect(endsOf(entries, "look")).toEqual(["StepSucceeded"])
  expect(times("look l")).toBeGreaterThanOrEqual(1)
  expect(times("look 7"), "a call that does not fit is never run").toBe(0)
}

const checkFeed = (
  entries: ReadonlyArray<Recorded>,
  events: ReadonlyArray<FeedEvent>,
  anew: ReadonlyArray<FeedEvent>
) => {
  for (const seen of [events, anew]) {
    const seqs = seen.flatMap((event) => (event._tag === "Entry" ? [event.recorded.seq] : []))
    expect(seqs, "each entry once, in order (I6)").toEqual(entries.map(({ seq }) => seq).slice(0, seqs.length))
  }
  const read = texts(events)
  for (const { entry } of entries) {
    if (entry._tag !== "StepSucceeded" || !("parts" in (entry.output as object))) continue
    const { parts } = entry.output as unknown as Conversation.ModelOutput
    const text = parts.map((part) => (part.type === "text" ? part.text : "")).join("")
    expect(read.get(entry.step)?.text ?? "", "the text is the text (I6)").toBe(text)
  }
}

const checkConversation = (entries: ReadonlyArray<Recorded>) => {
  const { messages } = State.fold(Busy.behaviour, State.empty(Busy.behaviour), entries).behaviour
  const shape = messages
    .flat()
    .map((message) => (message.role === "tool" ? `${message.callId}${message.isError ? "!" : ""}` : message.role))
  const loose = shape.map((one) => (one.startsWith("book") ? "book" : one))
  expect(loose, "each call has one result, in order").toEqual([
    "user",
    "assistant",
    ...["book", "pay", "look", "break!", "misfit!", "nonsense!"],
    "assistant",
    "user",
    "assistant",
    "hang!",
    "user",
    "assistant"
  ])
}
