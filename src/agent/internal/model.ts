/** Asks the model once: the conversation goes out, the answer comes back as journaled parts. */
import type { LanguageModel, Toolkit } from "@effect/ai"
import { Clock, type Duration, Effect, Option } from "effect"
import { type Blobs, Claim } from "../../blob/index.ts"
import { BlobMissing, type StoreUnavailable } from "../../domain/Errors.ts"
import { StepFailure } from "../../domain/Failure.ts"
import type { Json } from "../../domain/Json.ts"
import { type AssistantPart, join, type Message, textOf } from "../../domain/Message.ts"
import type { Usage } from "../../domain/Usage.ts"
import { Model, Models, RateHeaders } from "../../model/index.ts"
import { type Limiter, RateLimits } from "../../resilience/index.ts"
import type { OpenStep, StepContext, StepOutput } from "../../session/index.ts"
import { Metrics, Spans } from "../../telemetry/index.ts"
import * as Compaction from "../Compaction.ts"
import type { CompactOutput, Conversation, ModelInput, ModelOutput } from "../Conversation.ts"
import { resolve } from "./shown.ts"
import { repaired } from "./repaired.ts"

export interface Options {
  readonly instructions: string | undefined
  readonly toolkit: Toolkit.Any
  /** The model that is asked first, by name; the runner's own where there is none. */
  readonly model: string | undefined
  /** The model that summarises, by name. */
  readonly summariser: string | undefined
  readonly silence: Duration.DurationInput
  /** How much of a result that is not shown whole is shown, by tool. */
  readonly shownOf: (tool: string) => Claim.Preview
  /** The tools there are where something was not shown whole. */
  readonly toolkitToReadOn: Toolkit.Any
}

/** The model that the journal says, else the first one: a definition may have changed since a step fell back. */
const withModel =
  (first: string | undefined, step: Pick<OpenStep, "model">) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | StepFailure, R> =>
    Effect.suspend((): Effect.Effect<A, E | StepFailure, R> => {
      if (step.model === undefined && first === undefined) return effect
      return Effect.flatMap(Effect.serviceOption(Models.Models), (models) => {
        const find = (name: string | undefined) =>
          name === undefined || Option.isNone(models) ? undefined : models.value.find(name)
        const found = find(step.model)
        const model = found ?? find(first)
        const told =
          step.model === undefined || found !== undefined
            ? Effect.void
            : Effect.logWarning(`there is no model "${step.model}" any more: the first of the agent's is asked`)
        return model === undefined
          ? Effect.zipRight(told, effect)
          : Effect.zipRight(told, Effect.provide(effect, model))
      })
    })

/** The model that the call was let through to: where one is left alone for a while, the next of the chain. */
const chosen = (first: string | undefined, step: OpenStep, context: StepContext): Pick<OpenStep, "model"> => {
  const model = context.call?.model ?? step.model
  return first === undefined && model === RateLimits.unnamed ? {} : { model }
}

/** What a response says of its provider's limits. Where there is no word of both together, what goes in is the measure. */
const heard = (headers: Readonly<Record<string, string>>, now: number): Limiter.Heard => {
  const all = RateHeaders.limits(headers, now)
  const left = (...kinds: ReadonlyArray<RateHeaders.Limit["of"]>): Limiter.Left | undefined => {
    for (const kind of kinds) {
      const found = all.find((one) => one.of === kind)
      if (found === undefined || found.remaining === null || found.resetMs === null) continue
      const { limit, remaining, resetMs } = found
      return { remaining, resetMs, ...(limit === null ? {} : { limit }) }
    }
    return undefined
  }
  return { requests: left("requests"), tokens: left("tokens", "input-tokens") }
}

/** What the journal keeps of a cut answer: `parts` is text that readers of the feed see, a summary's `draft` is not. */
interface Partial {
  readonly parts?: ReadonlyArray<AssistantPart>
  readonly draft?: ReadonlyArray<AssistantPart>
}

/** Performs a model step. */
export const perform =
  (options: Options) =>
  (
    step: OpenStep,
    state: Conversation,
    context: StepContext
  ): Effect.Effect<StepOutput, StepFailure, LanguageModel.LanguageModel | Blobs> =>
    Effect.gen(function* () {
      const { namespace } = context.key
      const compact = (step.input as unknown as ModelInput | null)?.compact
      const conversation = yield* resolve(namespace, state.messages, options.shownOf)
      const messages = compact === undefined ? conversation : [...conversation.slice(0, compact), Compaction.task]
      const partial =
        step.nextInput === "continue" && step.partial !== undefined
          ? ((yield* Claim.resolve(namespace, step.partial)) as Partial)
          : undefined
      const kept = compact === undefined ? "parts" : "draft"
      const prefix = partial?.[kept] ?? []
      const { call } = context
      const clock = yield* Effect.clock
      const started = clock.unsafeCurrentTimeMillis()
      const asked = Model.call({
        instructions: options.instructions,
        messages: repaired(step, messages),
        toolkit: isEmpty(state.refs) ? options.toolkit : options.toolkitToReadOn,
        ...(compact === undefined && !state.final ? {} : { toolChoice: "none" as const }),
        prefix,
        silence: options.silence,
        onInterrupted: context.spent,
        onResponse:
          call === undefined
            ? undefined
            : (status, headers) => call.heard(heard(headers, clock.unsafeCurrentTimeMillis()), status < 400),
        onDelta: (delta) =>
          delta.channel === "params" || compact !== undefined ? Effect.void : context.emit(delta.channel, delta.text)
      }).pipe(
        Effect.tap((answer) => see(answer, messages)),
        Effect.catchAll((error) =>
          Effect.flatMap(Models.Continues, (continues) =>
            Effect.fail(withPrefix(continues ? prefix : null, error, kept))
          )
        )
      )
      const first = compact === undefined ? options.model : (options.summariser ?? options.model)
      const answer = yield* withModel(first, chosen(first, step, context))(Spans.modelCall(of(step, context))(asked))
      const { usage } = answer
      yield* Metrics.modelCalled({
        provider: answer.provider ?? "_OTHER",
        model: answer.model ?? "_OTHER",
        usage,
        durationMs: (yield* Clock.currentTimeMillis) - started
      })
      const { finish, model, provider } = answer
      const parts = join(prefix, answer.parts)
      if (compact !== undefined) {
        const summary = textOf(parts).trim()
        if (summary === "") return yield* withoutSummary(usage)
        const output: CompactOutput = { summary, finish, model, provider }
        return { output: output as unknown as Json, usage }
      }
      const output: ModelOutput = { parts, finish, model, provider }
      return { output: output as unknown as Json, usage }
    }).pipe(Effect.mapError(toStepFailure))

const withoutSummary = (usage: Usage) =>
  new StepFailure({
    failure: {
      class: "Interrupted",
      message: "the model was asked for a summary, and gave none",
      code: "empty_answer"
    },
    usage
  })

const isEmpty = (record: object): boolean => {
  for (const _ in record) return false
  return true
}

/**
 * What has been produced by all attempts so far: a next one goes on from there, though the last one added nothing. Of a
 * model that does not go on from anything (`null`) it is nothing.
 */
const withPrefix = (
  prefix: ReadonlyArray<AssistantPart> | null,
  error: StepFailure,
  kept: keyof Partial
): StepFailure => {
  const parts = prefix === null ? [] : join(prefix, (error.partial ?? []) as ReadonlyArray<AssistantPart>)
  return parts.length === 0
    ? error.partial === undefined
      ? error
      : new StepFailure({ failure: error.failure, usage: error.usage })
    : new StepFailure({ failure: error.failure, usage: error.usage, partial: { [kept]: parts } })
}

/** What names an attempt on a span. */
const of = (step: OpenStep, context: StepContext): Spans.Attempt => ({
  namespace: context.key.namespace,
  session: context.key.session,
  step: step.step,
  attempt: step.attempt
})

const see = (answer: Model.Answer, messages: ReadonlyArray<Message>) =>
  Effect.zipRight(
    Spans.modelResult({
      model: answer.model ?? undefined,
      finishReason: answer.finish,
      usage: answer.usage
    }),
    Spans.content(() => ({ input: messages, output: answer.parts }))
  )

const toStepFailure = (error: StepFailure | BlobMissing | StoreUnavailable): StepFailure =>
  error instanceof StepFailure
    ? error
    : new StepFailure({
        failure: { class: error instanceof BlobMissing ? "BlobMissing" : "Unreachable", message: error.message }
      })
