/** A budget that is shared with other agents, and that somebody raises when it is met. */
import { Console, Effect, Layer, Stream } from "effect"
import { Agent, Client, Runner } from "perdure"
import { ScriptedModel } from "perdure/testing"

// What a clerk uses is drawn from the editor's budget: at most 25 cents a call of it.
const Clerk = Agent.make("clerk", { instructions: "Find one fact." })
const Editor = Agent.make("editor", {
  instructions: "Write an article.",
  agents: { clerk: Agent.asTool(Clerk, { description: "Finds a fact.", budget: { usd: 0.25 } }) },
  budget: {
    usd: 1,
    session: { usd: 5 }, // over all turns
    onLimit: { ask: { deadline: "1 day" } } // pause until somebody allows more; nobody does for a day: the turn ends
  }
})

/** Thirty cents an answer of the editor, fifteen one of a clerk. */
const Model = ScriptedModel.make(
  ScriptedModel.reply((prompt) => {
    const isClerk = JSON.stringify(prompt.content).includes("Find one fact.")
    if (isClerk) return ScriptedModel.text("It is so.", { usage: { inputTokens: 0, outputTokens: 10_000 } })
    const said = prompt.content.filter(({ role }) => role === "assistant").length
    const usage = { inputTokens: 0, outputTokens: 20_000 }
    if (said === 0) {
      const calls = ["flour", "salt"].map((task) => ScriptedModel.calls("clerk", { task }))
      return { ...ScriptedModel.parallel(calls), options: { usage } }
    }
    if (said < 3) return { ...ScriptedModel.calls("clerk", { task: `more ${said}` }), options: { usage } }
    return ScriptedModel.text("Bread is flour, salt, water and time.", { usage })
  }),
  { model: "claude-sonnet-4-5" }
)

const Live = Runner.layerEmbedded({ agents: [Editor, Clerk], directory: process.argv[2] ?? ".perdure/budget" }).pipe(
  Layer.provide(Model)
)

const program = Effect.gen(function* () {
  const session = yield* Client.session(Editor, "article")
  const sent = yield* session.send("Write about bread", { id: "m1" })

  // The turn says that it waits, in the feed and in its state, for as long as it takes.
  yield* session.feed().pipe(
    Stream.takeUntil((event) => event._tag === "Entry" && event.recorded.entry._tag === "Paused"),
    Stream.runForEach((event) => {
      const entry = event._tag === "Entry" ? event.recorded.entry : null
      return entry?._tag === "Paused" ? Console.log(`${entry.pause} waits, for want of ${entry.kind}`) : Effect.void
    })
  )

  // Here, or in a shell: perdure raise article --usd 2
  yield* session.raise({ usd: 2 }, { id: "r1" })
  const outcome = yield* session.result(sent)
  console.log(outcome._tag === "Completed" ? outcome.output : outcome)

  const clerks = yield* Client.sessions({ attributes: { "perdure.parent": "article" } })
  const { usage } = yield* session.state
  console.log(`${clerks.length} clerks, $${usage.usd?.toFixed(2)} in all`)
})

await Effect.runPromise(program.pipe(Effect.provide(Live)))
