/** An answer that its model's limit of output cut off: whoever looks can see it. */
import { Tool, Toolkit } from "@effect/ai"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { ScriptedModel, TestRunner } from "../../src/testing/index.ts"

const { calls, make, reply, text } = ScriptedModel
const Teller = Agent.make("teller")
const cut = { cut: true }

describe("an answer that is cut off by the model's limit of output", () => {
  it.scoped("ends its turn with a sign of it, and the next whole one without", () =>
    Effect.gen(function* () {
      const model = make([text("Once upon a", cut), text("time.")])
      const world = yield* TestRunner.make({ agents: [Teller], model })
      const session = yield* world.session(Teller, "s")
      const first = yield* session.send("A story!")
      expect(yield* session.result(first)).toEqual({ _tag: "Completed", output: "Once upon a", cut: "length" })
      const second = yield* session.result(yield* session.send("Go on."))
      expect(second).toEqual({ _tag: "Completed", output: "time." })
      expect(second).not.toHaveProperty("cut")
      expect(yield* session.result(first)).toMatchObject({ cut: "length" })
    })
  )

  it.scoped("is no sign of its turn's where an answer after it is whole", () =>
    Effect.gen(function* () {
      const toolkit = Toolkit.make(Tool.make("look"))
      const Looker = Agent.make("looker", { toolkit })
      const world = yield* TestRunner.make({
        agents: [Looker],
        model: make([{ ...calls("look", {}), options: cut }, text("Seen.")]),
        tools: toolkit.toLayer({ look: () => Effect.void })
      })
      const session = yield* world.session(Looker, "s")
      const outcome = yield* session.result(yield* session.send("Look!"))
      expect(outcome).toEqual({ _tag: "Completed", output: "Seen." })
      expect(outcome).not.toHaveProperty("cut")
    })
  )

  it.scoped("of another agent is said to the model that asked it", () =>
    Effect.gen(function* () {
      const Boss = Agent.make("boss", { agents: { ask: Agent.asTool(Teller) } })
      const model = reply((prompt) => {
        const said = JSON.stringify(prompt.content)
        if (said.includes("a task")) return said.includes('"tool-call"') ? text(said) : text("Once upon a", cut)
        return calls("ask", { task: "a task" })
      })
      const world = yield* TestRunner.make({ agents: [Boss, Teller], model: make([model]) })
      const session = yield* world.session(Boss, "s")
      const told = yield* session.ask("Go")
      expect(told).toContain("Once upon a")
      expect(told).toContain("cut off here: the agent's model reached its limit of output")
    })
  )
})
