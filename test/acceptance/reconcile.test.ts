/** I5 over real processes: what became of a call whose runner was killed with -9 is found out, through further kills. */
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Client } from "../../src/client/index.ts"
import { Broker, linesOf } from "../fixtures/broker.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"
import * as Runners from "../support/Runners.ts"
import { answered, clientOf, directory, entriesOf, problemsOf, tagged, toolResults, until } from "../support/World.ts"

const program = "test/fixtures/broker.main.ts"

/** Kills the first runner while it orders, the second while it asks what became of that; the third one answers. */
const scenario = (what: string) =>
  Effect.gen(function* () {
    const home = yield* directory
    const ledger = join(home, "ledger.jsonl")
    const fake = yield* Fake.make
    fake.script((request) =>
      Fake.whole(
        Anthropic.message(
          answered(request) === 0
            ? [Anthropic.tool("c1", "order", JSON.stringify({ what }))]
            : [Anthropic.text("Done.")]
        )
      )
    )
    const runners = yield* Runners.make({ directory: home }, program)
    const seen = (event: "ordered" | "asked") => linesOf(ledger).filter((line) => line.event === event)

    const first = yield* runners.start({ MODEL_URL: fake.url, LEDGER: ledger })
    const accepted = yield* Effect.gen(function* () {
      const session = yield* Client.session(Broker, "s")
      const accepted = yield* session.send("Order it.", { id: "m1" })
      if (what === "nothing") yield* Effect.repeat(session.state, { until: ({ open }) => open[0]?.kind === "tool" })
      else yield* until("it orders", () => seen("ordered").length > 0)
      return accepted
    }).pipe(Effect.provide(clientOf({ directory: home })))
    first.kill("SIGKILL")
    yield* first.ended

    const second = yield* runners.start({ MODEL_URL: fake.url, LEDGER: ledger, MUTE: "1" })
    yield* until("it asks what became of it", () => seen("asked").length > 0)
    second.kill("SIGKILL")
    yield* second.ended

    yield* runners.start({ MODEL_URL: fake.url, LEDGER: ledger })
    return yield* Effect.gen(function* () {
      const session = yield* Client.existing("s")
      expect(yield* session.result(accepted)).toEqual({ _tag: "Completed", output: "Done." })
      const entries = yield* entriesOf("s")
      expect(tagged(entries, "StepInDoubt")).toEqual([])
      expect(yield* problemsOf("s")).toEqual([])
      expect(new Set(linesOf(ledger).map(({ key }) => key)).size).toBe(1)
      expect(seen("asked")).toHaveLength(2)
      const told = toolResults(fake.requests.at(-1)!).join()
      return { entries, told, ordered: seen("ordered").length }
    }).pipe(Effect.provide(clientOf({ directory: home })))
  })

describe("a call that must not be repeated, its runner killed, and the next one killed while it asks about it", () => {
  it.scopedLive(
    "happened: it is not repeated, and the model gets what it gave",
    () =>
      Effect.gen(function* () {
        const { entries, ordered, told } = yield* scenario("a book")
        expect(ordered).toBe(1)
        expect(told).toContain("a book, ordered before")
        expect(tagged(entries, "AttemptFailed").map(({ nextInput }) => nextInput)).toEqual(["reconcile", "reconcile"])
        expect(tagged(entries, "StepSucceeded").map(({ reconciled }) => reconciled)).toContain("happened")
      }),
    120_000
  )

  it.scopedLive(
    "had not happened: it is run once more, with the same key",
    () =>
      Effect.gen(function* () {
        const { entries, ordered, told } = yield* scenario("nothing")
        expect(ordered).toBe(0)
        expect(told).toContain("nothing, ordered now")
        expect(tagged(entries, "AttemptFailed").map(({ nextInput }) => nextInput)).toEqual([
          "reconcile",
          "reconcile",
          "original"
        ])
      }),
    120_000
  )
})
