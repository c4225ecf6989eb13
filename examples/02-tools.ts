/** Tools are `@effect/ai` tools. One more thing is worth saying of each: whether it may run twice. */
import { Tool, Toolkit } from "@effect/ai"
import { Effect, Layer, Schema } from "effect"
import { Agent, Client, Runner, ToolContext } from "perdure"
import { ScriptedModel } from "perdure/testing"

const GetWeather = Tool.make("get_weather", {
  description: "The weather in a city",
  parameters: { city: Schema.String },
  success: Schema.String
}).annotate(Tool.Readonly, true) // a runner that takes over after a crash just runs it again

const Book = Tool.make("book", {
  description: "Books a flight",
  parameters: { flight: Schema.String },
  success: Schema.Struct({ booking: Schema.String }),
  failure: Schema.String,
  dependencies: [ToolContext]
}) // nothing said: never repeated silently. After a crash in the middle, the model is told that nobody knows.

const tools = Toolkit.make(GetWeather, Book)

const Tools = tools.toLayer({
  get_weather: ({ city }) => Effect.succeed(`${city}: 21C`),
  book: ({ flight }) =>
    Effect.gen(function* () {
      const { idempotencyKey, progress } = yield* ToolContext
      yield* progress(`booking ${flight}`)
      if (flight === "XX1") return yield* Effect.fail("no such flight")
      return { booking: `${flight}/${idempotencyKey.length}` }
    })
})

const Travel = Agent.make("travel", { toolkit: tools, budget: { usd: 0.5, toolCalls: 10, wall: "10 minutes" } })

const Model = ScriptedModel.make([
  ScriptedModel.parallel([
    ScriptedModel.calls("get_weather", { city: "Paris" }),
    ScriptedModel.calls("book", { flight: "XX1" })
  ]),
  ScriptedModel.calls("book", { flight: "AF7" }),
  ScriptedModel.text("Paris has 21C; you are booked on AF7.")
])

const Live = Runner.layerEmbedded({ agents: [Travel], directory: process.argv[2] ?? ".perdure/tools" }).pipe(
  Layer.provide([Tools, Model])
)

const program = Effect.gen(function* () {
  const session = yield* Client.session(Travel, "trip")
  console.log(yield* session.ask("Book me to Paris", { id: "m1" }))
  const { usage } = yield* session.state
  console.log(`tokens: ${usage.inputTokens + usage.outputTokens > 0}`)
})

await Effect.runPromise(program.pipe(Effect.provide(Live)))
