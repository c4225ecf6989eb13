/**
 * A7. Size is nothing special: a long answer, an output that does not fit in memory, a session of thousands of steps.
 * Cites I11. `PERDURE_SOAK` makes it 300 MB and 10,000 steps.
 */
import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Tool, Toolkit } from "@effect/ai"
import { Effect, Layer, Schema, Stream } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Client, type Session } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"
import { Hands, handlers } from "../fixtures/hands.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"
import * as Runners from "../support/Runners.ts"
import { answered, clientOf, directory, entriesOf, problemsOf, tagged } from "../support/World.ts"

const soak = process.env["PERDURE_SOAK"] !== undefined
const megabytes = soak ? 300 : 64
const steps = soak ? 10_000 : 2_000

/** What a process has in memory now, or had at most since `forgetPeak`, in megabytes. */
const memory = (pid: number, what: "VmRSS" | "VmHWM"): number =>
  Number(new RegExp(`${what}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024

const forgetPeak = (pid: number) => writeFileSync(`/proc/${pid}/clear_refs`, "5")

const sha256Of = (session: Session, claim: string) =>
  Stream.runFold(session.content(claim), createHash("sha256"), (hash, bytes) => hash.update(bytes)).pipe(
    Effect.map((hash) => hash.digest("hex"))
  )

describe("A7: size", () => {
  it.scopedLive("I11: an answer of 4 MB is an answer", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const home = yield* directory
      const pieces = Array.from({ length: 1_000 }, (_, i) => `${i} ${"y".repeat(4_096)}`)
      fake.script(Fake.whole(Anthropic.message([Anthropic.text(...pieces)])))
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Hands, "s")
        expect((yield* session.ask("Go")) === pieces.join("")).toBe(true)
        expect(yield* problemsOf("s")).toEqual([])
      }).pipe(
        Effect.provide(
          Runner.layerEmbedded({ agents: [Hands], directory: home }).pipe(
            Layer.provide([handlers, Anthropic.layer(fake)])
          )
        )
      )
    })
  )

  it.scopedLive.skipIf(process.platform !== "linux")(
    `I11: outputs of ${megabytes} MB, attached by a tool and written by a process, pass through a runner that does not grow with them`,
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const home = yield* directory
        const lines = megabytes * 65_536
        // Each line has sixteen bytes.
        const script = (count: number) => `seq -f '%015.0f' 1 ${count}`
        const ask = (tool: string, params: unknown) =>
          Fake.whole(Anthropic.message([Anthropic.tool(`c-${tool}`, tool, JSON.stringify(params))]))
        fake.script((request) => {
          const last = JSON.stringify(request.body.messages.at(-1))
          if (last.includes("tool_result")) return Fake.whole(Anthropic.message([Anthropic.text("done")]))
          if (last.includes("warm up")) return ask("shell", { script: script(500_000), mark: "none" })
          return last.includes("attach")
            ? ask("write", { megabytes })
            : ask("shell", { script: script(lines), mark: "none" })
        })
        const runners = yield* Runners.make({ directory: home }, "test/fixtures/hands.main.ts")
        const runner = yield* runners.start({ MODEL_URL: fake.url })
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Hands, "s")
          yield* session.ask("warm up")
          forgetPeak(runner.pid)
          const before = memory(runner.pid, "VmRSS")
          yield* session.ask("attach")
          const attached = memory(runner.pid, "VmHWM") - before
          yield* session.ask("run")
          const ran = memory(runner.pid, "VmHWM") - before
          console.log(`${megabytes} MB attached: ${attached.toFixed(0)} MB added; run: ${ran.toFixed(0)} MB added`)
          expect(ran).toBeLessThan(soak ? 200 : 150)

          const outputs = tagged(yield* entriesOf("s"), "StepSucceeded").flatMap(({ output }) =>
            "result" in (output as object) ? [(output as { result: any }).result] : []
          )
          const [, written, printed] = outputs
          expect(yield* sha256Of(session, written.content)).toBe(written.sha256)
          const expected = createHash("sha256")
          for (let i = 1; i <= lines; i++) expected.update(`${String(i).padStart(15, "0")}\n`)
          expect(yield* sha256Of(session, printed.stdout)).toBe(expected.digest("hex"))
        }).pipe(Effect.provide(clientOf({ directory: home })))
        expect(fake.requests.map(answered)).toEqual([0, 1, 2, 3, 4, 5])
        for (const { body } of fake.requests) expect(JSON.stringify(body).length).toBeLessThan(200_000)
      }),
    240_000
  )

  it.scopedLive(
    `I11, I4: a turn of ${steps} steps is a turn, and the next life of the runner goes on from it`,
    () =>
      Effect.gen(function* () {
        const home = yield* directory
        const Add = Tool.make("add", { parameters: { n: Schema.Int }, success: Schema.Int })
        const toolkit = Toolkit.make(Add)
        const limits = { steps: 1e6, modelCalls: 1e6, toolCalls: 1e6, tokens: 1e12 }
        const Adder = Agent.make("adder", { toolkit, budget: limits })
        const calls = steps / 2
        const model = ScriptedModel.make(
          ScriptedModel.reply(({ content }) => {
            // A message of ours, and two for each call.
            const done = (content.length - 1) / 2
            return done < calls
              ? ScriptedModel.calls("add", { n: done }, { id: `call-${done}` })
              : ScriptedModel.text(`${content.length} messages`)
          }),
          { direct: true }
        )
        const live = Runner.layerEmbedded({ agents: [Adder], directory: home }).pipe(
          Layer.provide([toolkit.toLayer({ add: ({ n }) => Effect.succeed(n + 1) }), model])
        )
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Adder, "s")
          expect(yield* session.ask("Go")).toBe(`${steps + 1} messages`)
          expect(yield* problemsOf("s")).toEqual([])
          expect(tagged(yield* entriesOf("s"), "StepSucceeded")).toHaveLength(steps + 1)
        }).pipe(Effect.provide(live))
        yield* Effect.gen(function* () {
          const session = yield* Client.existing("s")
          expect(yield* session.ask("And now?")).toBe(`${steps + 3} messages`)
        }).pipe(Effect.provide(live))
      }),
    240_000
  )
})
