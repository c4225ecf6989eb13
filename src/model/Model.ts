/**
 * One model call: the only use of `@effect/ai`'s `LanguageModel`.
 *
 * What it makes of that package's habits, for its callers:
 * - an answer is complete or a failure: a stream without its `finish` was cut, however well it seemed to end;
 * - a bad tool call spoils only itself: it becomes a part with `invalid` set, and all others stand;
 * - nothing of a provider's error goes on but a class, a sentence of ours, a status and a code (I12);
 * - metadata (thinking signatures, item ids) comes out with the parts and goes back in with the next request;
 * - arguments stay encoded, as the model wrote them.
 */
import type * as AiError from "@effect/ai/AiError"
import * as LanguageModel from "@effect/ai/LanguageModel"
import { ProviderName } from "@effect/ai/Model"
import type * as Response from "@effect/ai/Response"
import type * as Toolkit from "@effect/ai/Toolkit"
import { Duration, Effect, Option, type Stream } from "effect"
import { type Failure, StepFailure } from "../domain/Failure.ts"
import type { AssistantPart, Message } from "../domain/Message.ts"
import type { Usage } from "../domain/Usage.ts"
import * as Classify from "./Classify.ts"
import * as Direct from "./Direct.ts"
import { Collector, type Delta, type Finish } from "./internal/Collector.ts"
import type { OnResponse } from "./internal/Ear.ts"
import { lenient } from "./internal/Leniency.ts"
import { type Part, type Reading, read, readAll, silent } from "./internal/Reading.ts"
import { continued, toPrompt } from "./internal/ToPrompt.ts"
import { estimate, normalise } from "./internal/Usage.ts"
import * as Prices from "./Prices.ts"

export type { Delta } from "./internal/Collector.ts"

export interface Request {
  /** The system prompt. */
  readonly instructions?: string | undefined
  /** The conversation, claims resolved. Messages are converted once each, by identity: do not change them. */
  readonly messages: ReadonlyArray<Message>
  /** What the model may call. Only names, descriptions and schemas are used: calls are returned, never run. */
  readonly toolkit: Toolkit.Any
  /** `auto` unless told. */
  readonly toolChoice?: LanguageModel.ToolChoice<string> | undefined
  /**
   * What came of an answer that was cut, as a failure's `partial` gave it: the model is asked to go on from its text.
   * The answer has what is new; `join` of `domain/Message.ts` makes one of both.
   */
  readonly prefix?: ReadonlyArray<AssistantPart> | undefined
  /** How long the provider may say nothing, before its first part or between two, until the call is `TimedOut`. */
  readonly silence: Duration.DurationInput
  /** Called with text as it comes, in order; the next part is read when it returns. */
  readonly onDelta: (delta: Delta) => Effect.Effect<void>
  /** Called when a response of the provider begins, whatever it is. */
  readonly onResponse?: OnResponse | undefined
  /** Called when the call is interrupted in the middle of an answer: what has come of it is to be paid (I8). */
  readonly onInterrupted?: ((usage: Usage) => void) | undefined
}

export interface Answer {
  /** Empty only where a prefix needed no more. */
  readonly parts: ReadonlyArray<AssistantPart>
  readonly usage: Usage
  /** `usage` is a guess by the length of the texts: the provider's figures were lost behind a broken tool call. */
  readonly estimated: boolean
  readonly finish: Exclude<Response.FinishReason, "content-filter" | "error">
  /** The model as the provider names it. */
  readonly model: string | null
  /** `anthropic`, `openai`, … */
  readonly provider: string | null
}

/** What a finished answer is, if it is not an answer. */
const flaw = (collector: Collector, finish: Finish, empty: boolean): Failure | null => {
  if (finish.reason === "content-filter") {
    return { class: "Refused", message: "the model, or the provider's filter, refused to answer" }
  }
  // OpenAI's package makes a plain `finish` of `response.failed`, in which only the usage is missing.
  const mute = finish.usage.inputTokens === undefined && finish.usage.outputTokens === undefined
  if (finish.reason === "error" || (collector.provider === "openai" && mute)) {
    return { class: "Overloaded", message: "the provider gave up in the middle of the answer" }
  }
  if (!empty) return null
  // Its package drops the events of a refusal as well, and leaves a message without a word.
  if (collector.provider === "openai" && collector.saidNothing) {
    return { class: "Refused", message: "the model refused to answer" }
  }
  return finish.reason === "length"
    ? {
        class: "InvalidRequest",
        message: "the model reached its output limit before it said anything: allow it more tokens",
        code: "empty_answer"
      }
    : { class: "Interrupted", message: "the model answered with nothing at all", code: "empty_answer" }
}

/** Calls the model once. Interrupting it aborts the provider's HTTP request. */
export const call = (request: Request): Effect.Effect<Answer, StepFailure, LanguageModel.LanguageModel> =>
  Effect.gen(function* () {
    const languageModel = yield* LanguageModel.LanguageModel
    const clock = yield* Effect.clock
    const table = yield* Prices.Prices
    const tools = yield* attempt(() => lenient(request.toolkit), noSchema)
    const prefix = continued(request.prefix)
    const collector = new Collector(prefix)
    let response: { readonly status: number; readonly type: string | undefined } | null = null
    const reading: Reading = {
      collector,
      tools,
      clock,
      onDelta: request.onDelta,
      onResponse: (status, headers) => {
        response = { status, type: headers["content-type"] }
        request.onResponse?.(status, headers)
      },
      since: 0n,
      waiting: false
    }

    const prompt = yield* attempt(() => toPrompt(request.instructions, request.messages, prefix), noAddress)
    const parts =
      Direct.of(languageModel)?.(prompt) ??
      (languageModel.streamText({
        prompt,
        ...(tools.toolkit === undefined ? {} : { toolkit: tools.toolkit, toolChoice: request.toolChoice ?? "auto" }),
        disableToolCallResolution: true
        // The lenient tools' schemas need no services, which their type cannot say.
      }) as Stream.Stream<Part, AiError.AiError>)
    const guess = () => estimate(request, prefix, collector.characters, table, collector.model)
    const end = yield* Array.isArray(parts)
      ? readAll(parts, reading)
      : Effect.raceFirst(
          read(parts as Stream.Stream<Part, AiError.AiError>, reading),
          silent(reading, Duration.decode(request.silence))
        ).pipe(
          Effect.onInterrupt(() =>
            Effect.sync(() => (collector.hasBegun ? request.onInterrupted?.(guess()) : undefined))
          )
        )

    const { finish, model } = collector
    const used = finish === null ? undefined : normalise(finish, table, model)
    if (end._tag === "Failed") {
      const { failure } = end
      // A provider that broke off does not say what it takes for it.
      if (collector.hasBegun) return yield* fail(failure, collector, used ?? guess())
      return yield* fail(failure.class === "Interrupted" ? strange(response, failure) : failure, collector, used)
    }
    const answer = collector.parts(tools)
    const failure = finish === null ? null : flaw(collector, finish, prefix === "" && answer.length === 0)
    if (failure !== null) return yield* fail(failure, collector, used)
    return {
      parts: answer,
      usage: used ?? guess(),
      estimated: used === undefined,
      finish: finish === null ? "tool-calls" : (finish.reason as Answer["finish"]),
      model,
      provider: collector.provider ?? Option.getOrNull(yield* Effect.serviceOption(ProviderName))
    }
  })

/**
 * The partial is the text alone: reasoning whose signature was cut off, item ids of a response that the provider threw
 * away, and calls that nobody will answer must not be in the next request.
 */
const fail = (failure: Failure, { text }: Collector, usage: Usage | undefined) =>
  new StepFailure({
    failure,
    ...(text === "" ? {} : { partial: [{ type: "text", text }] satisfies ReadonlyArray<AssistantPart> }),
    ...(usage === undefined ? {} : { usage })
  })

const strange = (
  response: { readonly status: number; readonly type: string | undefined } | null,
  otherwise: Failure
): Failure => (response === null ? otherwise : (Classify.fromStranger(response.status, response.type) ?? otherwise))

const noSchema = "a tool's parameters have no JSON schema: annotate them with `jsonSchema`, or use types that have one"
const noAddress = "a file of the conversation is neither base64 nor an address that can be read"

const attempt = <A>(f: () => A, message: string): Effect.Effect<A, StepFailure> =>
  Effect.try({ try: f, catch: () => new StepFailure({ failure: { class: "InvalidRequest", message } }) })
