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
import {
  Cause,
  Chunk,
  type Clock,
  Duration,
  Effect,
  FiberRef,
  identity,
  LogLevel,
  Option,
  ParseResult,
  Predicate,
  Stream
} from "effect"
import { type Failure, StepFailure } from "../domain/Failure.ts"
import type { AssistantPart, Message } from "../domain/Message.ts"
import type { Usage } from "../domain/Usage.ts"
import * as Classify from "./Classify.ts"
import { Collector, type Delta, type Finish } from "./internal/Collector.ts"
import { type Lenient, lenient } from "./internal/Leniency.ts"
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

/** How the reading of a stream ended. */
type End =
  | { readonly _tag: "Finished" }
  /** By a tool call that the provider's package could not read: the answer ends there. */
  | { readonly _tag: "Broken" }
  | { readonly _tag: "Failed"; readonly failure: Failure }

const failed = (failure: Failure): End => ({ _tag: "Failed", failure })

/** A provider's package may not trace, log or report what its errors hold: request headers and bodies (I12). */
const muffled = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) => {
    const level = fiber.getFiberRef(FiberRef.currentMinimumLogLevel)
    return effect.pipe(
      Effect.withTracerEnabled(false),
      Effect.withUnhandledErrorLogLevel(Option.none()),
      LogLevel.lessThan(level, LogLevel.Info)
        ? Effect.locally(FiberRef.currentMinimumLogLevel, LogLevel.Info)
        : identity
    )
  })

/** Feeds the parts to the collector; returns what the feed should see, neighbours of one channel joined. */
const take = (
  collector: Collector,
  parts: Iterable<Response.AnyPart | Response.StreamPartEncoded>
): ReadonlyArray<Delta> => {
  const deltas: Array<Delta> = []
  for (const part of parts) {
    const delta = collector.take(part)
    if (delta === null) continue
    const last = deltas.at(-1)
    if (last?.channel === delta.channel) {
      deltas[deltas.length - 1] = { channel: last.channel, text: last.text + delta.text }
    } else deltas.push(delta)
  }
  return deltas
}

/** The parts of the chunk in which a call of an unknown tool was: the only way to them is through the error. */
const unread = (error: AiError.AiError): ReadonlyArray<Response.StreamPartEncoded> => {
  if (error._tag !== "MalformedOutput" || !ParseResult.isParseError(error.cause)) return []
  const actual = error.cause.issue.actual
  return Chunk.isChunk(actual)
    ? Chunk.toReadonlyArray(actual as Chunk.Chunk<Response.StreamPartEncoded>).filter((part) =>
        Predicate.hasProperty(part, "type")
      )
    : []
}

/** Ends the wait when the provider has said nothing for too long. Time that the feed takes does not count (B2). */
const silent = (
  clock: Clock.Clock,
  state: { readonly waiting: boolean; readonly since: bigint },
  silence: Duration.Duration
): Effect.Effect<End> => {
  const limit = Duration.toMillis(silence)
  const watch: Effect.Effect<End> = Effect.suspend(() => {
    const quiet = state.waiting ? Number(clock.unsafeCurrentTimeNanos() - state.since) / 1_000_000 : 0
    if (quiet >= limit) {
      const seconds = `${limit / 1000} seconds`
      return Effect.succeed(failed({ class: "TimedOut", message: `the provider has said nothing for ${seconds}` }))
    }
    // Timers take no more than 24 days; a whole millisecond, so that rounding never makes this spin.
    return Effect.zipRight(clock.sleep(Duration.millis(Math.min(Math.ceil(limit - quiet), 86_400_000))), watch)
  })
  return watch
}

/** Reads the stream to its end, whatever that is. Interruption closes the stream, and with it the connection. */
const read = (
  parts: Stream.Stream<Response.AnyPart, AiError.AiError>,
  collector: Collector,
  tools: Lenient,
  clock: Clock.Clock,
  state: { waiting: boolean; since: bigint },
  onDelta: Request["onDelta"]
): Effect.Effect<End> => {
  const emit = (deltas: ReadonlyArray<Delta>) =>
    deltas.length === 0
      ? Effect.void
      : deltas.length === 1
        ? onDelta(deltas[0]!)
        : Effect.forEach(deltas, onDelta, { discard: true })

  const atEnd = (cause: Cause.Cause<Option.Option<AiError.AiError>>): Effect.Effect<End> => {
    state.waiting = false
    const now = clock.unsafeCurrentTimeMillis()
    const error = Option.flatten(Cause.failureOption(cause))
    if (Option.isNone(error)) {
      const defect = Cause.dieOption(cause)
      return Effect.succeed(failed(Option.isSome(defect) ? Classify.fromUnknown(defect.value, now) : Classify.cutOff))
    }
    return Effect.map(emit(take(collector, unread(error.value))), (): End => {
      if (collector.finish !== null) return { _tag: "Finished" }
      const syntax = error.value._tag === "MalformedOutput" && error.value.cause instanceof SyntaxError
      if (collector.calledMissing(tools) || (syntax && collector.unfinishedCall)) return { _tag: "Broken" }
      return failed(Classify.fromAiError(error.value, now))
    })
  }

  return Stream.toPull(parts).pipe(
    Effect.flatMap((pull) => {
      const next: Effect.Effect<End> = Effect.matchCauseEffect(muffled(pull), {
        onFailure: atEnd,
        onSuccess: (chunk) => {
          state.waiting = false
          return Effect.zipRight(
            emit(take(collector, chunk)),
            Effect.suspend(() => {
              if (collector.error !== null) {
                const now = clock.unsafeCurrentTimeMillis()
                return Effect.succeed(failed(Classify.fromErrorEvent(collector.error.value, now)))
              }
              if (collector.finish !== null) return Effect.succeed<End>({ _tag: "Finished" })
              state.since = clock.unsafeCurrentTimeNanos()
              state.waiting = true
              return next
            })
          )
        }
      })
      return next
    }),
    Effect.scoped
  )
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
    const tools = yield* Effect.try({ try: () => lenient(request.toolkit), catch: unusable })
    const prefix = continued(request.prefix)
    const collector = new Collector(prefix)
    const state = { since: clock.unsafeCurrentTimeNanos(), waiting: true }

    const parts = languageModel.streamText({
      prompt: toPrompt(request.instructions, request.messages, prefix),
      ...(tools.toolkit === undefined ? {} : { toolkit: tools.toolkit, toolChoice: request.toolChoice ?? "auto" }),
      disableToolCallResolution: true
      // The lenient tools' schemas need no services, which their type cannot say.
    }) as Stream.Stream<Response.AnyPart, AiError.AiError>

    const end = yield* Effect.raceFirst(
      read(parts, collector, tools, clock, state, request.onDelta),
      silent(clock, state, Duration.decode(request.silence))
    )

    const { finish, model } = collector
    const usage =
      finish !== null
        ? normalise(finish, table, model)
        : estimate(request.instructions, request.messages, collector.characters, table, model)
    if (end._tag !== "Failed") {
      const answer = collector.parts(tools)
      const failure = finish === null ? null : flaw(collector, finish, prefix === "" && answer.length === 0)
      if (failure === null) {
        return {
          parts: answer,
          usage,
          estimated: finish === null,
          finish: finish === null ? "tool-calls" : (finish.reason as Answer["finish"]),
          model,
          provider: collector.provider ?? Option.getOrNull(yield* Effect.serviceOption(ProviderName))
        }
      }
      return yield* fail(failure, collector, usage)
    }
    return yield* fail(end.failure, collector, finish === null ? undefined : usage)
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

const unusable = () =>
  new StepFailure({
    failure: {
      class: "InvalidRequest",
      message: "a tool's parameters have no JSON schema: annotate them with `jsonSchema`, or use types that have one"
    }
  })
