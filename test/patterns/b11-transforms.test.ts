/**
 * B11. Functions between what a tool returns and what the model sees are named, typed, registered with the agent and
 * checked when its runner starts; what the tool returned is kept beside what was made of it. What was left out can be read on.
 */
import { Tool, Toolkit } from "@effect/ai"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Schema, Stream } from "effect"
import { Agent, Transform } from "../../src/agent/index.ts"
import { Client } from "../../src/client/index.ts"
import { AgentUnfit } from "../../src/session/index.ts"
import { Runner } from "../../src/runner/index.ts"
import * as Trace from "../../src/cli/Trace.ts"
import { Journal } from "../../src/journal/index.ts"
import { SessionKey } from "../../src/domain/Id.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"
import { answered, directory, entriesOf, tagged, toolResults } from "../support/World.ts"

const Page = Schema.Struct({ title: Schema.String, at: Schema.DateFromString })
const Search = Tool.make("search", { success: Schema.Array(Page) })
const Report = Tool.make("report", { success: Schema.String })
const toolkit = Toolkit.make(Search, Report)

const Titles = Transform.make("titles", {
  input: Schema.Array(Page),
  output: Schema.Array(Schema.String),
  apply: (pages) => pages.map(({ at, title }) => `${title} (${at.getUTCFullYear()})`)
})

const Reader = Agent.make("reader", {
  toolkit,
  transforms: [Titles],
  tools: { search: { transform: "titles" }, report: { output: 1_000 } }
})

const lines = Array.from({ length: 2_000 }, (_, i) => `line ${i} — ${"é".repeat(i % 7)}`).join("\n")

const handlers = toolkit.toLayer({
  search: () => Effect.succeed([{ title: "One", at: new Date("2021-03-04") }]),
  report: () => Effect.succeed(lines)
})

const runner = (home: string, fake: Fake.FakeProvider, agent: Agent.Any = Reader) =>
  Runner.layerEmbedded({ agents: [agent as typeof Reader], directory: home }).pipe(
    Layer.provide([handlers, Anthropic.layer(fake)])
  )

const says = (text: string) => Fake.whole(Anthropic.message([Anthropic.text(text)]))
const calls = (name: string, params: object = {}) =>
  Fake.whole(Anthropic.message([Anthropic.tool("c1", name, JSON.stringify(params))]))

/** What a result says about going on. */
const gapOf = (result: string): { readonly ref: string; readonly from: number } => {
  const found = /go on with read_more (\{.*?\})/.exec(result)
  return JSON.parse(found![1]!) as { readonly ref: string; readonly from: number }
}

const traceOf = (session: string) =>
  Effect.flatMap(Journal, (journal) =>
    Effect.map(Stream.runCollect(journal.read(SessionKey.parse(`default/${session}`), 0)), (all) => Trace.of(all))
  )

describe("B11: transforming tool output", () => {
  it.scopedLive(
    "the model sees what the transform made; the original is in the journal, with the transform's name",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const home = yield* directory
        fake.script((request) => (answered(request) === 0 ? calls("search") : says("read")))
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Reader, "s")
          expect(yield* session.ask("Go")).toBe("read")
          const [result] = toolResults(fake.requests[1]!)
          expect(result).toContain("One (2021)")
          expect(result).not.toContain("title")
          const output = tagged(yield* entriesOf("s"), "StepSucceeded")[1]!.output
          expect(output).toEqual({
            result: ["One (2021)"],
            isError: false,
            transform: { name: "titles", original: [{ title: "One", at: "2021-03-04T00:00:00.000Z" }] }
          })
          const steps = (yield* traceOf("s")).turns[0]!.steps
          expect(steps.map(({ transform }) => transform)).toEqual([undefined, "titles", undefined])
        }).pipe(Effect.provide(runner(home, fake)))
      })
  )

  it.scopedLive.each([
    [
      "a name that nobody registered",
      { search: { transform: "tilte" } },
      /transform "tilte" of tool "search" is not reg/
    ],
    ["one that takes something else", { report: { transform: "titles" } }, /"titles" of tool "report" does not take/],
    ["a tool that there is not", { serach: { transform: "titles" } }, /the tool "serach"/]
  ] as const)("%s stops the runner at its start, not a session at night", ([, tools, reason]) =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const home = yield* directory
      const broken = Agent.make("reader", { toolkit, transforms: [Titles], tools: tools as never })
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(runner(home, fake, broken))))
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : null
      expect(error).toBeInstanceOf(AgentUnfit)
      expect((error as AgentUnfit).agent).toBe("reader")
      expect((error as AgentUnfit).message).toMatch(reason)
    })
  )

  it.scopedLive("what was left out of a long result is read on piece by piece, until the end, without a gap", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const home = yield* directory
      let shown = ""
      let ref = ""
      fake.script((request) => {
        const results = toolResults(request)
        const last = results.at(-1)
        if (last === undefined) return calls("report")
        const text = JSON.parse(last) as string
        if (results.length === 1) {
          const gap = gapOf(text)
          ref = gap.ref
          shown = text.slice(0, text.indexOf("\n[…"))
          return calls("read_more", { ...gap, bytes: 10_000 })
        }
        const piece = /\[bytes (\d+) to (\d+) of (\d+); .*?\]\n([\s\S]*)$/.exec(text)!
        expect(Number(piece[1])).toBe(Buffer.byteLength(shown))
        shown += piece[4]!
        return piece[2] === piece[3] ? says("read") : calls("read_more", { ref, from: Number(piece[2]), bytes: 10_000 })
      })
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Reader, "s")
        expect(yield* session.ask("Go")).toBe("read")
        expect(shown === lines).toBe(true)
        // It is offered when there is something to read on in, and no sooner.
        const offered = fake.requests.map(({ body }) => body.tools.map(({ name }: { name: string }) => name))
        expect(offered[0]).not.toContain("read_more")
        expect(offered[1]).toContain("read_more")
        // What the model was shown of it at first is about as long as it was told.
        expect(toolResults(fake.requests[1]!)[0]!.length).toBeLessThan(1_500)
        // Another session's content is nobody else's.
        fake.script((request) =>
          answered(request) === 0
            ? calls("report")
            : answered(request) === 1
              ? calls("read_more", { ref: "0".repeat(16) })
              : says("no")
        )
        const other = yield* Client.session(Reader, "other", { namespace: "elsewhere" })
        expect(yield* other.ask("Go")).toBe("no")
        expect(toolResults(fake.requests.at(-1)!).at(-1)).toContain("Nothing in this conversation has the ref")
      }).pipe(Effect.provide(runner(home, fake)))
    })
  )

  it.scopedLive("nothing can be read on in what another session was shown, though its ref is known", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const home = yield* directory
      let ref = ""
      fake.script((request) => {
        const last = toolResults(request).at(-1)
        if (last === undefined) return calls("report")
        ref = gapOf(JSON.parse(last) as string).ref
        return says("mine")
      })
      yield* Effect.gen(function* () {
        expect(yield* (yield* Client.session(Reader, "first")).ask("Go")).toBe("mine")
        const Small = { from: 0, bytes: 100 }
        fake.script((request) =>
          answered(request) === 0
            ? calls("search")
            : answered(request) === 1
              ? calls("read_more", { ref, ...Small })
              : says("refused")
        )
        const second = yield* Client.session(Reader, "second")
        expect(yield* second.ask("Go")).toBe("refused")
        const told = toolResults(fake.requests.at(-1)!).at(-1)!
        expect(told).not.toContain("line 0")
        expect(told).toMatch(/There is no tool \\?"read_more\\?"|Nothing in this conversation/)
      }).pipe(Effect.provide(runner(home, fake)))
    })
  )
})
