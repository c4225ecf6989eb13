/**
 * The agent under fire. Its model does what a message says (`Plan` in it, read by the provider of the test); its tools
 * have their effects where no kill of a runner reaches: each attempt of a step leaves lines in a log outside.
 */
import { Tool, Toolkit } from "@effect/ai"
import * as AnthropicClient from "@effect/ai-anthropic/AnthropicClient"
import * as AnthropicLanguageModel from "@effect/ai-anthropic/AnthropicLanguageModel"
import { FetchHttpClient } from "@effect/platform"
import { Effect, Exit, Layer, Redacted, Schema } from "effect"
import { Agent, ToolContext } from "../../src/agent/index.ts"
import type { Behaviour } from "../../src/session/index.ts"
import * as Log from "./Log.ts"

/** Of this process, as a history names it. */
const name = process.env["CHAOS_PROCESS"] ?? "none"
const log = Log.file(process.env["CHAOS_LOG"] ?? "/dev/null")

/** In the environment of each OS process that a step starts: `MARK=run|process|session|step|attempt`. */
export const markOf = (run: string, parts: ReadonlyArray<string | number>) => [`chaos-${run}`, ...parts].join("|")

const parameters = { n: Schema.Int, ms: Schema.Int }
const dependencies = [ToolContext]

/** It may not be repeated. */
export const Act = Tool.make("act", { parameters, success: Schema.String, dependencies })
export const Look = Tool.make("look", { parameters, success: Schema.String, dependencies }).annotate(
  Tool.Readonly,
  true
)
export const Book = Tool.make("book", { parameters, success: Schema.String, dependencies }).annotate(
  Tool.Idempotent,
  true
)
/** A tree of processes, one of which leaves its session and would outlive it by a minute. It may not be repeated. */
export const Shell = Tool.make("shell", {
  parameters,
  success: Schema.String,
  failure: Schema.String,
  dependencies
})

/** What each of them really allows. */
export const natures = { act: "never", look: "readonly", book: "idempotent", shell: "never" } as const

const toolkit = Toolkit.make(Act, Look, Book, Shell)

const effect = (tool: string) =>
  Effect.map(ToolContext, ({ attempt, idempotencyKey, namespace, session, step }) => {
    const at = { process: name, session: `${namespace}/${session}`, step, attempt }
    log.record({ _tag: "Effect", ...at, tool, key: idempotencyKey })
    return at
  })

const witnessed =
  (tool: string) =>
  ({ ms, n }: { readonly n: number; readonly ms: number }) =>
    Effect.gen(function* () {
      yield* Effect.sleep(ms / 2)
      yield* effect(tool)
      yield* Effect.sleep(ms / 2)
      return `${tool} ${n}`
    })

export const handlers = toolkit.toLayer({
  act: witnessed("act"),
  look: witnessed("look"),
  book: witnessed("book"),
  shell: ({ ms, n }) =>
    Effect.gen(function* () {
      const context = yield* ToolContext
      const { attempt, session, step } = yield* effect("shell")
      const MARK = markOf(process.env["CHAOS_RUN"] ?? "", [name, session, step, attempt])
      const { exit } = yield* context.run({
        command: "sh",
        args: ["-c", `setsid sleep 60 & sleep ${ms / 1000}; echo done`],
        env: { MARK }
      })
      return exit.code === 0 ? `shell ${n}` : yield* Effect.fail(`ended with ${exit.code ?? exit.signal}`)
    }).pipe(Effect.mapError((error) => (typeof error === "string" ? error : error.message)))
})

const made = Agent.make("worker", {
  toolkit,
  silence: "2 seconds",
  budget: { steps: 200, modelCalls: 100, toolCalls: 100 }
})

export const limits = made.behaviour.limits

const outcomeOf = (exit: Exit.Exit<unknown, { readonly failure?: { readonly class: string } }>): string =>
  Exit.isSuccess(exit)
    ? "succeeded"
    : Exit.isInterrupted(exit)
      ? "interrupted"
      : ((exit.cause._tag === "Fail" ? exit.cause.error.failure?.class : undefined) ?? "Defect")

/** Writes down when attempts begin and end, as the simulator does. */
const watched = (behaviour: Behaviour): Behaviour => ({
  ...behaviour,
  perform: (step, state, context) =>
    Effect.suspend(() => {
      const what = {
        process: name,
        session: String(context.key),
        step: step.step,
        attempt: step.attempt,
        kind: step.kind,
        name: step.name
      }
      log.record({ _tag: "Began", ...what })
      return behaviour
        .perform(step, state, context)
        .pipe(
          Effect.onExit((exit) =>
            Effect.sync(() => log.record({ _tag: "Performed", ...what, outcome: outcomeOf(exit) }))
          )
        )
    })
})

export const Worker = { ...made, behaviour: watched(made.behaviour) } as typeof made

export const model = Layer.unwrapEffect(
  Effect.sync(() =>
    AnthropicLanguageModel.layer({ model: "claude-sonnet-4-5-20250929" }).pipe(
      Layer.provide(AnthropicClient.layer({ apiUrl: process.env["MODEL_URL"]!, apiKey: Redacted.make("sk-ant-fake") })),
      Layer.provide(FetchHttpClient.layer)
    )
  )
)
