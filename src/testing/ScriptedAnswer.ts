/** What a script is made of; see `ScriptedModel` for how to write one. */
import type * as Prompt from "@effect/ai/Prompt"
import type { Duration, Effect } from "effect"
import type { FailureClass } from "../domain/Failure.ts"
import type { Json } from "../domain/Json.ts"

/** What a provider can fail with. The other classes are made by runners and tools. */
export type ModelFailure = Exclude<FailureClass, "ToolFailed" | "RunnerLost" | "Stopped" | "BlobMissing">

/** Tokens that an answer claims to have used. */
export interface ScriptedUsage {
  readonly inputTokens?: number
  /** A quarter of the text's length unless told. */
  readonly outputTokens?: number
  readonly reasoningTokens?: number
  readonly cachedInputTokens?: number
}

export interface TextOptions {
  /** How many pieces to stream it in, or the pieces themselves. One piece, or with a delay one a word, unless told. */
  readonly tokens?: number | ReadonlyArray<string> | undefined
  /** The pause before each piece. */
  readonly delay?: Duration.DurationInput | undefined
  readonly usage?: ScriptedUsage | undefined
  /** The model reaches its limit of output with this text: `finish` is `length`. */
  readonly cut?: boolean | undefined
}

/** One answer: a text, or calls, or both. */
export interface Said {
  readonly _tag: "Said"
  readonly text: string
  readonly calls: ReadonlyArray<{ readonly id: string | undefined; readonly name: string; readonly params: Json }>
  readonly options: TextOptions
}

/** Fails once for a conversation, then answers. */
export interface Fails {
  readonly _tag: "Fails"
  readonly failure: ModelFailure | "silence"
  readonly retryAfter: Duration.DurationInput | string | undefined
  readonly after: string
  readonly next: Answer
}

/** Answers by what it is asked. */
export interface Reply {
  readonly _tag: "Reply"
  readonly answer: (prompt: Prompt.Prompt) => Answer | Effect.Effect<Answer>
}

export type Answer = Said | Fails | Reply
