/**
 * B1. There is no line between code that is replayed and code that is not: nothing is. A runner killed at each step of a
 * session asks the model again only for the answer that it did not get, and asks it the same. Cites I2, I5.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Client } from "../../src/client/index.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"
import * as Runners from "../support/Runners.ts"
import { answered, clientOf, directory, entriesOf, problemsOf, tagged, toolResults, until } from "../support/World.ts"

/** What the model says when everything goes well: look, act, done. */
const answers: ReadonlyArray<Anthropic.Block> = [
  Anthropic.tool("c1", "look", JSON.stringify({ n: 1, pauseMs: 60_000 })),
  Anthropic.tool("c2", "act", JSON.stringify({ n: 2, pauseMs: 60_000 })),
  Anthropic.text("done")
]

describe("B1: model calls", () => {
  it.scopedLive(
    "killed with -9 in each of five steps: each answer is got once, what was cut is asked for again in the same words",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const home = yield* directory
        // The first time that an answer is asked for it does not come to its end.
        fake.script((request) => {
          const due = answered(request)
          const first = fake.requests.filter((other) => answered(other) === due).length === 1
          const beats = Anthropic.message([answers[due]!])
          return first ? Fake.hangAfter(3, beats) : Fake.whole(beats)
        })
        const runners = yield* Runners.make({ directory: home }, "test/fixtures/hands.main.ts")
        const moments = [
          () => fake.requests.length === 1,
          () => runners.witness().length === 1,
          () => fake.requests.length === 3,
          () => runners.witness().length === 3,
          () => fake.requests.length === 5
        ]
        let runner = yield* runners.start({ MODEL_URL: fake.url })
        const accepted = yield* Effect.gen(function* () {
          const session = yield* Client.session({ name: "hands", version: "1" }, "s")
          return yield* session.send("Go", { id: "m1" })
        }).pipe(Effect.provide(clientOf({ directory: home })))
        for (const [i, moment] of moments.entries()) {
          yield* until(`moment ${i + 1}`, moment)
          runner.kill("SIGKILL")
          yield* runner.ended
          runner = yield* runners.start({ MODEL_URL: fake.url })
        }
        yield* Effect.gen(function* () {
          const session = yield* Client.existing("s")
          expect(yield* session.result(accepted)).toEqual({ _tag: "Completed", output: "done" })
          // Three answers, each cut once: six calls, and not one more, with five restarts.
          expect(fake.requests.map(answered)).toEqual([0, 0, 1, 1, 2, 2])
          for (const i of [0, 2, 4]) expect(fake.requests[i + 1]!.body).toEqual(fake.requests[i]!.body)
          // The harmless tool ran again as the same call; the other one was not repeated, and the model knows.
          const lines = runners.witness()
          expect(lines.map(({ tool }) => tool)).toEqual(["look", "look", "act"])
          expect(lines[1]!.key).toBe(lines[0]!.key)
          const [looked, acted] = toolResults(fake.requests[5]!)
          expect(looked).toContain("look 1 done")
          expect(acted).toContain("unknown: the process that ran it died")
          const entries = yield* entriesOf("s")
          expect(tagged(entries, "StepSucceeded")).toHaveLength(4)
          expect(tagged(entries, "StepInDoubt")).toHaveLength(1)
          expect(tagged(entries, "AttemptFailed").map(({ failure }) => failure.class)).toEqual(
            Array(4).fill("RunnerLost")
          )
          expect(yield* problemsOf("s")).toEqual([])
        }).pipe(Effect.provide(clientOf({ directory: home })))
      }),
    90_000
  )
})
