/**
 * Why an attempt of a step failed, as data: journaled, shown, and what a policy decides on.
 *
 * The union of classes is closed. A provider's or a tool's error is turned into one of them once, at the boundary.
 */
import { Schema } from "effect"
import { Text } from "./Json.ts"
import { Usage } from "./Usage.ts"

export const FailureClass = Schema.Literal(
  /** The provider said to slow down; `retryAfterMs` when it said for how long. */
  "RateLimited",
  /** The provider is overloaded or failing (5xx, 529). */
  "Overloaded",
  /** No answer began: the request never left, its connection was refused, or lost before the first word came back. */
  "Unreachable",
  /** The answer was cut in the middle; what had come is in the attempt's `partial`. */
  "Interrupted",
  /** The conversation is too long for the model. */
  "ContextOverflow",
  /** The model or its filter refused to answer. */
  "Refused",
  /** The model named a tool that does not exist, or its arguments do not fit. */
  "MalformedToolCall",
  /** The request is wrong and stays wrong (4xx). */
  "InvalidRequest",
  /** The key is missing, wrong or not allowed (401, 403). */
  "Unauthorized",
  /** A deadline passed: no answer, or silence in the middle of one. */
  "TimedOut",
  /** A tool's handler failed with an error of its own. */
  "ToolFailed",
  /** The runner died while the attempt was running. */
  "RunnerLost",
  /** A command, or the end of the turn, stopped the attempt. */
  "Stopped",
  /** Content that the step needs is gone from the store. */
  "BlobMissing",
  /** A bug: an exception that nobody declared. */
  "Defect"
)
export type FailureClass = typeof FailureClass.Type

/** How far a failed attempt got. */
export const Reached = Schema.Literal(
  /** Nothing of it was sent: it can have had no effect. */
  "nothing",
  /** It was sent, or may have been. */
  "request",
  /** A part of the answer came. */
  "partial"
)
export type Reached = typeof Reached.Type

export const Failure = Schema.Struct({
  class: FailureClass,
  /** One sentence for a person; secrets scrubbed. */
  message: Text,
  /** How long the provider asked to wait, in milliseconds. */
  retryAfterMs: Schema.optional(Schema.NonNegative.pipe(Schema.finite())),
  /** The HTTP status, where there was one. */
  status: Schema.optional(Schema.Int),
  /** The provider's own name for it, where there was one, e.g. `overloaded_error`. */
  code: Schema.optional(Schema.String),
  /** How far the attempt got, where that is known. */
  reached: Schema.optional(Reached)
})
export type Failure = typeof Failure.Type

/** How often something was done, beside a `Usage`: by a child and all of its own. */
export const Drawn = Schema.Struct({ steps: Schema.Int, modelCalls: Schema.Int, toolCalls: Schema.Int })
export type Drawn = typeof Drawn.Type

/** A {@link Failure} in an Effect's error channel. */
export class StepFailure extends Schema.TaggedError<StepFailure>()("StepFailure", {
  failure: Failure,
  /** What had been produced before it failed: for a model, the message parts that came. */
  partial: Schema.optional(Schema.Unknown),
  /** What the attempt used before it failed, where that is known: it counts against the budget (I8). */
  usage: Schema.optional(Usage),
  /** What a child has done, the same. */
  drawn: Schema.optional(Drawn)
}) {
  override get message() {
    return `${this.failure.class}: ${this.failure.message}`
  }
}
