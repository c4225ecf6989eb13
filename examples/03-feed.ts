/** A feed: tokens as they come, and a cursor to come back with. Closing it never stops the work. */
import { Effect, Layer, Stream } from "effect"
import { Agent, Client, type FeedEvent, Runner } from "perdure"
import { ScriptedModel } from "perdure/testing"

const Poet = Agent.make("poet")

const Model = ScriptedModel.make([
  ScriptedModel.text("Shall I compare thee to a summer's day?", {
    tokens: ["Shall I ", "compare ", "thee to ", "a summer's ", "day?"],
    delay: "20 millis"
  })
])

const Live = Runner.layerEmbedded({ agents: [Poet], directory: process.argv[2] ?? ".perdure/feed" }).pipe(
  Layer.provide(Model)
)

const isText = (event: FeedEvent) => event._tag === "Delta" && event.channel === "text"
const isEnd = (event: FeedEvent) => event._tag === "Entry" && event.recorded.entry._tag === "TurnEnded"

const program = Effect.gen(function* () {
  const session = yield* Client.session(Poet, "sonnet")
  const { cursor } = yield* session.send("A line, please.", { id: "m1" })

  // A reader that goes away in the middle of the answer …
  const first = yield* session.feed({ after: cursor }).pipe(
    Stream.takeUntil(isText),
    Stream.runCollect,
    Effect.map((events) => [...events])
  )
  // … comes back with its cursor and gets the rest: no token twice, none lost.
  const rest = yield* session.feed({ after: first.at(-1)!.cursor }).pipe(
    Stream.takeUntil(isEnd),
    Stream.runCollect,
    Effect.map((events) => [...events])
  )
  const text = [...first, ...rest].map((event) => (event._tag === "Delta" ? event.text : "")).join("")
  console.log(text)
})

await Effect.runPromise(program.pipe(Effect.provide(Live)))
