/** A session leaves its runner whatever its steps do. */
import { Tool, Toolkit } from "@effect/ai"
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Schema } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { ScriptedModel, TestRunner } from "../../src/testing/index.ts"

const Stubborn = Tool.make("stubborn", { parameters: { n: Schema.Int }, success: Schema.String })
const tools = Toolkit.make(Stubborn)
const agent = Agent.make("stubborn", { toolkit: tools })

it.scopedLive("a tool that cannot be interrupted holds up nobody: it is left behind, and in doubt (I5)", () =>
  Effect.gen(function* () {
    const begun = yield* Deferred.make<void>()
    const world = yield* TestRunner.make({
      agents: [agent],
      model: ScriptedModel.make([
        ScriptedModel.calls("stubborn", { n: 1 }),
        ScriptedModel.reply((prompt) =>
          ScriptedModel.text(JSON.stringify(prompt.content.at(-1)).includes("unknown") ? "Unsure." : "Done.")
        )
      ]),
      tools: tools.toLayer({
        stubborn: () => Effect.uninterruptible(Effect.zipRight(Deferred.succeed(begun, void 0), Effect.never))
      }),
      sessions: { drain: "50 millis" }
    })
    const session = yield* world.session(agent, "s")
    const accepted = yield* session.send("Go.")
    yield* Deferred.await(begun)
    yield* world.restart.pipe(Effect.timeout("10 seconds"))
    expect(yield* session.result(accepted)).toMatchObject({ _tag: "Completed", output: "Unsure." })
    const tags = (yield* world.journal("s")).map(({ entry }) => entry._tag)
    expect(tags.filter((tag) => tag === "StepInDoubt")).toHaveLength(1)
  })
)
