/** What must not compile. An expectation that is not met is an error itself. */
import { Tool, Toolkit } from "@effect/ai"
import { Effect, Layer, Schema } from "effect"
import { Agent, Reconcile, Transform } from "perdure/agent"
import { Client } from "perdure/client"
import { Id } from "perdure/domain"
import { Runner } from "perdure/runner"
import { ScriptedModel } from "perdure/testing"

const Book = Tool.make("book", { parameters: { id: Schema.String }, success: Schema.String })
const Tools = Toolkit.make(Book)
const Booker = Agent.make("booker", { toolkit: Tools })
const Talker = Agent.make("talker")

const handlers = Tools.toLayer({ book: ({ id }) => Effect.succeed(id) })
const model = ScriptedModel.make([ScriptedModel.text("hello")])
const program = Effect.flatMap(Client.session(Booker, "s1"), (session) => session.ask("book f1"))

const runner = Runner.layerEmbedded({ agents: [Booker] })
const run = (live: Layer.Layer<Runner.Provided, unknown>) => Effect.runPromise(Effect.provide(program, live))

export const works = run(runner.pipe(Layer.provide([handlers, model])))

// @ts-expect-error: nobody handles the tool "book"
export const noHandler = run(runner.pipe(Layer.provide(model)))

// @ts-expect-error: there is no model
export const noModel = run(runner.pipe(Layer.provide(handlers)))

// @ts-expect-error: an agent without tools needs a model all the same
export const noModelEither = run(Runner.layerEmbedded({ agents: [Talker] }))

// @ts-expect-error: of several agents, each must have what it needs
export const oneOfTwo = run(Runner.layerEmbedded({ agents: [Talker, Booker] }).pipe(Layer.provide(model)))

// @ts-expect-error: a handler answers what its tool says it does
export const wrongAnswer = Tools.toLayer({ book: () => Effect.succeed(42) })

// @ts-expect-error: a timeout is of a tool that there is
export const noSuchTool = Agent.make("booker", { toolkit: Tools, tools: { bok: { timeout: "1 minute" } } })

const Titles = Transform.make("titles", {
  input: Schema.String,
  output: Schema.String,
  apply: (title) => title.toUpperCase()
})
const Count = Transform.make("count", { input: Schema.Number, output: Schema.Number, apply: (n) => n + 1 })

export const transformed = Agent.make("booker", {
  toolkit: Tools,
  transforms: [Titles, Count],
  tools: {
    book: {
      transform: "titles",
      timeout: "1 minute",
      reconcile: ({ idempotencyKey, params: { id } }) => Effect.succeed(Reconcile.happened(`${id} ${idempotencyKey}`))
    }
  }
})

export const noSuchTransform = Agent.make("booker", {
  toolkit: Tools,
  transforms: [Titles],
  // @ts-expect-error: a transform is named that is not registered
  tools: { book: { transform: "tilte" } }
})

export const wrongTransform = Agent.make("booker", {
  toolkit: Tools,
  transforms: [Titles, Count],
  // @ts-expect-error: "count" takes numbers, and `book` returns texts
  tools: { book: { transform: "count" } }
})

export const wrongFinding = Agent.make("booker", {
  toolkit: Tools,
  // @ts-expect-error: what a call is found to have given is what its tool gives
  tools: { book: { reconcile: () => Effect.succeed(Reconcile.happened(42)) } }
})

// @ts-expect-error: a transform gives what its output says
export const wrongOutput = Transform.make("t", { input: Schema.String, output: Schema.Number, apply: (s) => s })

// @ts-expect-error: a limit that does not exist limits nothing
export const noSuchLimit = Agent.make("booker", { toolkit: Tools, budget: { dollars: 1 } })

// @ts-expect-error: the program needs a runner
export const noRunner = Effect.runPromise(program)

// @ts-expect-error: one id cannot be passed for another
export const id: Id.SessionId = Id.CommandId.make("c1")
