/** An agent on one machine: its session survives the process, its store is a file. */
import { Effect, Layer } from "effect"
import { Agent, Client, Runner } from "perdure"
import { ScriptedModel } from "perdure/testing"

const Greeter = Agent.make("greeter", { instructions: "Greet briefly." })

// A scripted model needs no key. A real one is another layer:
// AnthropicLanguageModel.layer({ model: "claude-sonnet-4-5" })
const Model = ScriptedModel.make([ScriptedModel.text("Hello, Ada!"), ScriptedModel.text("You said hello, Ada.")])

const Live = Runner.layerEmbedded({ agents: [Greeter], directory: process.argv[2] ?? ".perdure/hello" }).pipe(
  Layer.provide(Model)
)

const program = Effect.gen(function* () {
  // The id is yours: creating a session twice is one session, and a message id sent twice is one message.
  const session = yield* Client.session(Greeter, "ada")
  console.log(yield* session.ask("Hello, I am Ada.", { id: "m1" }))
  console.log(yield* session.ask("What did I say?", { id: "m2" }))
})

await Effect.runPromise(program.pipe(Effect.provide(Live)))
