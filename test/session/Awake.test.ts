/** A session with work to do stays awake, though nobody asks it anything. */
import { Tool, Toolkit } from "@effect/ai"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema, TestClock } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { ScriptedModel, TestRunner } from "../../src/testing/index.ts"

const Work = Tool.make("work", { parameters: { n: Schema.Int }, success: Schema.String })
const tools = Toolkit.make(Work)

describe("a session that nobody asks anything", () => {
  it.scoped("waits for a provider's minutes awake, and goes on by itself when that is over", () =>
    Effect.gen(function* () {
      const Waiter = Agent.make("waiter")
      const world = yield* TestRunner.make({
        agents: [Waiter],
        model: ScriptedModel.make([
          ScriptedModel.fails("RateLimited", { retryAfter: "4 minutes" }, ScriptedModel.text("at last"))
        ])
      })
      const session = yield* world.session(Waiter, "s")
      yield* session.send("please")
      yield* settled(world.journal("s"), "AttemptFailed")
      yield* TestClock.adjust("3 minutes")
      expect((yield* world.journal("s")).at(-1)!.entry._tag).toBe("AttemptFailed")
      yield* TestClock.adjust("2 minutes")
      yield* settled(world.journal("s"), "TurnEnded")
      expect((yield* world.journal("s")).filter(({ entry }) => entry._tag === "AttemptFailed")).toHaveLength(1)
    })
  )

  it.scoped("is not put to sleep in the middle of a long call: nothing of it is in doubt (I5)", () =>
    Effect.gen(function* () {
      const Worker = Agent.make("worker", { toolkit: tools })
      const world = yield* TestRunner.make({
        agents: [Worker],
        model: ScriptedModel.make([ScriptedModel.calls("work", { n: 1 }), ScriptedModel.text("done")]),
        tools: tools.toLayer({ work: () => Effect.as(Effect.sleep("3 minutes"), "worked") })
      })
      const session = yield* world.session(Worker, "s")
      yield* session.send("please")
      yield* settled(world.journal("s"), "StepSucceeded")
      yield* TestClock.adjust("4 minutes")
      yield* settled(world.journal("s"), "TurnEnded")
      expect((yield* world.journal("s")).filter(({ entry }) => entry._tag === "StepInDoubt")).toEqual([])
    })
  )
})

/** Waits until the journal has such an entry. */
const settled = <E>(
  journal: Effect.Effect<ReadonlyArray<{ readonly entry: { readonly _tag: string } }>, E>,
  tag: string
): Effect.Effect<void, E> =>
  Effect.flatMap(journal, (entries) =>
    entries.some(({ entry }) => entry._tag === tag)
      ? Effect.void
      : Effect.zipRight(Effect.yieldNow(), settled(journal, tag))
  )
