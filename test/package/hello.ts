/** What a stranger writes first, in a project of their own: an agent with a tool, a runner in a directory, a client. */
import { Tool, Toolkit } from "@effect/ai"
import { Effect, Layer, Schema } from "effect"
import { Agent } from "perdure/agent"
import { Client } from "perdure/client"
import { Runner } from "perdure/runner"
import { ScriptedModel } from "perdure/testing"

const GetWeather = Tool.make("get_weather", {
  description: "The weather of a city",
  parameters: { city: Schema.String },
  success: Schema.String
}).annotate(Tool.Readonly, true)

const Tools = Toolkit.make(GetWeather)

const Weather = Agent.make("weather", {
  version: "1",
  instructions: "Answer briefly.",
  toolkit: Tools,
  budget: { usd: 0.5, modelCalls: 20, wall: "10 minutes" }
})

const Live = Runner.layerEmbedded({ agents: [Weather], directory: "./store" }).pipe(
  Layer.provide(Tools.toLayer({ get_weather: ({ city }) => Effect.succeed(`${city}: 21C`) })),
  Layer.provide(
    ScriptedModel.make([ScriptedModel.calls("get_weather", { city: "Paris" }), ScriptedModel.text("It is 21C.")])
  )
)

const program: Effect.Effect<string, unknown, Client.Client> = Effect.gen(function* () {
  const session = yield* Client.session(Weather, "user-42")
  return yield* session.ask("Paris?", { id: "msg-1" })
})

// What a program says on standard output is what it is for: the answer, and nothing else.
console.log(await Effect.runPromise(Effect.provide(program, Live)))
