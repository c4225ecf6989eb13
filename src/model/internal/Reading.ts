/** A provider's stream, read to its end, whatever that is. */
import type * as AiError from "@effect/ai/AiError"
import type * as Response from "@effect/ai/Response"
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
import type { Failure } from "../../domain/Failure.ts"
import * as Classify from "../Classify.ts"
import type { Collector, Delta } from "./Collector.ts"
import { listening, type OnResponse } from "./Ear.ts"
import type { Lenient } from "./Leniency.ts"

/** How the reading of a stream ended. */
type End =
  | { readonly _tag: "Finished" }
  /** By a tool call that the provider's package could not read: the answer ends there. */
  | { readonly _tag: "Broken" }
  | { readonly _tag: "Failed"; readonly failure: Failure }

export type Part = Response.AnyPart | Response.StreamPartEncoded

const failed = (failure: Failure): End => ({ _tag: "Failed", failure })

/** A provider's package may not trace, log or report what its errors hold: request headers and bodies (I12). */
const muffled = <A, E, R>(effect: Effect.Effect<A, E, R>, onResponse: OnResponse): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) => {
    const level = fiber.getFiberRef(FiberRef.currentMinimumLogLevel)
    return effect.pipe(
      listening(onResponse),
      Effect.withUnhandledErrorLogLevel(Option.none()),
      LogLevel.lessThan(level, LogLevel.Info)
        ? Effect.locally(FiberRef.currentMinimumLogLevel, LogLevel.Info)
        : identity
    )
  })

/** Feeds the parts to the collector; returns what the feed should see, neighbours of one channel joined. */
const take = (collector: Collector, parts: Iterable<Part>): ReadonlyArray<Delta> => {
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

export interface Reading {
  readonly collector: Collector
  readonly tools: Lenient
  readonly clock: Clock.Clock
  readonly onDelta: (delta: Delta) => Effect.Effect<void>
  readonly onResponse: OnResponse
  /** When the provider was last asked for more, by the monotonic clock, and whether its answer is still out. */
  since: bigint
  waiting: boolean
}

const emit = ({ onDelta }: Reading, deltas: ReadonlyArray<Delta>): Effect.Effect<void> =>
  deltas.length === 0
    ? Effect.void
    : deltas.length === 1
      ? onDelta(deltas[0]!)
      : Effect.forEach(deltas, onDelta, { discard: true })

/** No model's answer is as long, in characters: many times what the largest can say at once. */
export const longest = 20_000_000

const endless: Failure = {
  class: "InvalidRequest",
  message: `the answer was longer than ${longest.toLocaleString("en")} characters, and was not read on: the model, or what answers in its place, does not come to an end`,
  code: "answer_too_long"
}

/** Whether what has come ends the answer. */
const endedBy = ({ clock, collector }: Reading): End | null =>
  collector.error !== null
    ? failed(Classify.fromErrorEvent(collector.error.value, clock.unsafeCurrentTimeMillis()))
    : collector.characters > longest
      ? failed(endless)
      : collector.finish !== null
        ? { _tag: "Finished" }
        : null

/** The end of a stream that did not say that it was complete. */
const brokenOff = (reading: Reading, cause: Cause.Cause<Option.Option<AiError.AiError>>): Effect.Effect<End> => {
  const { clock, collector, tools } = reading
  const now = clock.unsafeCurrentTimeMillis()
  const error = Option.flatten(Cause.failureOption(cause))
  if (Option.isNone(error)) {
    const defect = Cause.dieOption(cause)
    return Effect.succeed(failed(Option.isSome(defect) ? Classify.fromUnknown(defect.value, now) : Classify.cutOff))
  }
  return Effect.map(emit(reading, take(collector, unread(error.value))), (): End => {
    const syntax = error.value._tag === "MalformedOutput" && error.value.cause instanceof SyntaxError
    const badCall = collector.calledMissing(tools) || (syntax && collector.unfinishedCall)
    return endedBy(reading) ?? (badCall ? { _tag: "Broken" } : failed(Classify.fromAiError(error.value, now)))
  })
}

/** Reads the stream to its end, whatever that is. Interruption closes the stream, and with it the connection. */
export const read = (parts: Stream.Stream<Part, AiError.AiError>, reading: Reading): Effect.Effect<End> =>
  Stream.toPull(parts).pipe(
    Effect.flatMap((pull) => {
      const next: Effect.Effect<End> = Effect.suspend(() => {
        reading.since = reading.clock.unsafeCurrentTimeNanos()
        reading.waiting = true
        return Effect.matchCauseEffect(muffled(pull, reading.onResponse), {
          onFailure: (cause) => {
            reading.waiting = false
            return brokenOff(reading, cause)
          },
          onSuccess: (chunk) => {
            reading.waiting = false
            return Effect.zipRight(
              emit(reading, take(reading.collector, chunk)),
              Effect.suspend(() => {
                const end = endedBy(reading)
                return end === null ? next : Effect.succeed(end)
              })
            )
          }
        })
      })
      return next
    }),
    Effect.scoped
  )

/** Ends the wait when the provider has said nothing for too long. Time that the feed takes does not count (B2). */
export const silent = (reading: Reading, silence: Duration.Duration): Effect.Effect<End> => {
  const { clock } = reading
  const limit = Duration.toMillis(silence)
  const watch: Effect.Effect<End> = Effect.suspend(() => {
    const quiet = reading.waiting ? Number(clock.unsafeCurrentTimeNanos() - reading.since) / 1_000_000 : 0
    if (quiet >= limit) {
      const seconds = `${limit / 1000} seconds`
      return Effect.succeed(failed({ class: "TimedOut", message: `the provider has said nothing for ${seconds}` }))
    }
    // Timers take no more than 24 days; a whole millisecond, so that rounding never makes this spin.
    return Effect.zipRight(clock.sleep(Duration.millis(Math.min(Math.ceil(limit - quiet), 86_400_000))), watch)
  })
  return watch
}

/** All parts are there. */
export const readAll = (parts: ReadonlyArray<Part>, reading: Reading): Effect.Effect<End> =>
  Effect.map(emit(reading, take(reading.collector, parts)), () => endedBy(reading) ?? failed(Classify.cutOff))
