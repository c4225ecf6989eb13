/** A5. Decisions are journaled and code is never replayed; a tool may start processes and whole sessions. Cites I2, I5. */
import { describe, expect, it } from "@effect/vitest"
import { Tool, Toolkit } from "@effect/ai"
import { Deferred, Effect, Layer, Schema } from "effect"
import { Agent, ToolContext } from "../../src/agent/index.ts"
import { Client } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"
import * as Runners from "../support/Runners.ts"
import { answered, clientOf, directory, entriesOf, problemsOf, tagged, toolResults, until } from "../support/World.ts"

const program = "test/fixtures/hands.main.ts"
const hands = { name: "hands", version: "1" }

/** A model that never says the same twice: what it is asked again, it answers otherwise. */
const moody = (tool: string) => {
  let mood = 0
  return (request: Fake.Recorded): Fake.Behaviour => {
    const text = Anthropic.text(`mood ${++mood}`)
    return answered(request) === 0
      ? Fake.whole(
          Anthropic.message([text, Anthropic.tool(`call-${mood}`, tool, JSON.stringify({ n: mood, pauseMs: 60_000 }))])
        )
      : Fake.whole(Anthropic.message([text]))
  }
}

describe("A5: no replay", () => {
  it.scopedLive(
    "I2: killed with -9 in a tool, the session goes on from the model's journaled decision, which is not asked for again",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const home = yield* directory
        fake.script(moody("look"))
        const runners = yield* Runners.make({ directory: home }, program)
        const first = yield* runners.start({ MODEL_URL: fake.url })
        const accepted = yield* Effect.gen(function* () {
          const session = yield* Client.session(hands, "s")
          const accepted = yield* session.send("Look")
          yield* until("the tool runs", () => runners.witness().length === 1)
          return accepted
        }).pipe(Effect.provide(clientOf({ directory: home })))
        first.kill("SIGKILL")
        yield* first.ended
        yield* runners.start({ MODEL_URL: fake.url })
        yield* Effect.gen(function* () {
          const session = yield* Client.existing("s")
          const outcome = yield* session.result(accepted)
          expect(outcome).toEqual({ _tag: "Completed", output: "mood 2" })
          // One call for each answer: two, with a crash between them.
          expect(fake.requests).toHaveLength(2)
          // The second one holds the first one's words and call, not others.
          const [decision] = fake.requests[1]!.body.messages.filter((m: { role: string }) => m.role === "assistant")
          expect(JSON.stringify(decision)).toContain("mood 1")
          expect(JSON.stringify(decision)).toContain("call-1")
          // A read-only tool ran again, as the same call.
          const [one, again] = runners.witness()
          expect(again).toMatchObject({ tool: "look", n: 1, key: one!.key })
          expect(tagged(yield* entriesOf("s"), "StepSucceeded")).toHaveLength(3)
          expect(yield* problemsOf("s")).toEqual([])
        }).pipe(Effect.provide(clientOf({ directory: home })))
      }),
    60_000
  )

  it.scopedLive(
    "a deploy between two lives of a runner (other prompt, other version, tools gone) does not break a session in flight",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const home = yield* directory
        const turn = moody("look")
        fake.script((request) =>
          JSON.stringify(request.body.messages).includes("Again")
            ? Fake.whole(Anthropic.message([Anthropic.text("and again")]))
            : turn(request)
        )
        const runners = yield* Runners.make({ directory: home }, program)
        const first = yield* runners.start({ MODEL_URL: fake.url })
        const accepted = yield* Effect.gen(function* () {
          const session = yield* Client.session(hands, "s")
          const accepted = yield* session.send("Look")
          yield* until("the tool runs", () => runners.witness().length === 1)
          return accepted
        }).pipe(Effect.provide(clientOf({ directory: home })))
        first.kill("SIGKILL")
        yield* first.ended
        yield* runners.start({ MODEL_URL: fake.url, DEPLOYED: "anew" })
        yield* Effect.gen(function* () {
          const session = yield* Client.existing("s")
          expect(yield* session.result(accepted)).toEqual({ _tag: "Completed", output: "mood 2" })
          expect(yield* session.ask("Again")).toBe("and again")
          const [before, after] = fake.requests
          expect(JSON.stringify(before!.body.system)).toContain("You have hands.")
          expect(JSON.stringify(after!.body.system)).toContain("You have one hand.")
          expect(after!.body.tools.map((tool: { name: string }) => tool.name)).toEqual(["act"])
          // What became of the call is told to the model; nothing is guessed.
          expect(toolResults(after!).join()).toContain('no tool \\"look\\" any more')
          // The decision that the old code made stands in the conversation of the new one.
          expect(JSON.stringify(after!.body.messages)).toContain("call-1")
          expect(yield* problemsOf("s")).toEqual([])
        }).pipe(Effect.provide(clientOf({ directory: home })))
      }),
    60_000
  )

  it.scopedLive(
    "I2, I5: a tool starts a process and asks another session; both are there once, however often they are asked for",
    () =>
      Effect.gen(function* () {
        const home = yield* directory
        const client = yield* Deferred.make<Client.Client["Type"]>()
        const Delegate = Tool.make("delegate", {
          parameters: { task: Schema.String },
          success: Schema.String,
          failure: Schema.String,
          dependencies: [ToolContext]
        }).annotate(Tool.Idempotent, true)
        const toolkit = Toolkit.make(Delegate)
        const Boss = Agent.make("boss", { toolkit })
        const Clerk = Agent.make("clerk", {})
        let runs = 0
        const live = Runner.layerEmbedded({ agents: [Boss, Clerk], directory: home }).pipe(
          Layer.provide(
            toolkit.toLayer({
              delegate: ({ task }) =>
                Effect.gen(function* () {
                  runs++
                  const context = yield* ToolContext
                  const { stdout } = yield* context.run({ command: "sh", args: ["-c", "printf %s from-a-process"] })
                  const clerk = yield* (yield* Deferred.await(client)).session(
                    Clerk,
                    `clerk-of-${context.idempotencyKey}`
                  )
                  const answer = yield* clerk.ask(`${task} ${stdout}`, { id: context.idempotencyKey })
                  // A second time is what a runner does that took over and does not know.
                  expect(yield* clerk.ask(`${task} ${stdout}`, { id: context.idempotencyKey })).toBe(answer)
                  return answer
                }).pipe(Effect.mapError((error) => error.message))
            })
          ),
          Layer.provide(
            ScriptedModel.make(
              ScriptedModel.reply((prompt) => {
                const text = JSON.stringify(prompt.content)
                if (text.includes("sum up from-a-process")) return ScriptedModel.text("summed up")
                return prompt.content.some(({ role }) => role === "tool")
                  ? ScriptedModel.text("done")
                  : ScriptedModel.calls("delegate", { task: "sum up" }, { id: "d1" })
              })
            )
          )
        )
        yield* Effect.gen(function* () {
          yield* Deferred.succeed(client, yield* Client.Client)
          const boss = yield* Client.session(Boss, "boss")
          expect(yield* boss.ask("Work")).toBe("done")
          expect(runs).toBe(1)
          const [call] = tagged(yield* entriesOf("boss"), "StepSucceeded").filter(
            ({ output }) => "result" in (output as object)
          )
          expect(call!.output).toMatchObject({ result: "summed up" })
          const [clerk] = yield* Client.sessions({ agent: "clerk" as never })
          const turns = tagged(yield* entriesOf(clerk!.session), "TurnStarted")
          expect(turns).toHaveLength(1)
        }).pipe(Effect.provide(live))
      })
  )
})
