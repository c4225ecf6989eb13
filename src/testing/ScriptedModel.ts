/**
 * A language model that says what a script tells it, without a network: for tests, examples and benchmarks.
 *
 * ```ts
 * const model = ScriptedModel.make([ScriptedModel.calls("book", { id: "f1" }), ScriptedModel.text("Booked.")])
 * ```
 *
 * Which answer is due is told by the conversation, not by a counter: the answer to a prompt with n messages of the
 * assistant is number n. A runner that was killed and asks again gets the same answer, many sessions may share one
 * script, and a retry is answered like the first try. It is built with `LanguageModel.make`, as real providers are, so
 * that all that stands between a provider and an agent is exercised.
 */
import * as LanguageModel from "@effect/ai/LanguageModel"
import type * as Prompt from "@effect/ai/Prompt"
import { Context, type Duration, Effect, Layer, Schema, Stream } from "effect"
import type { Json } from "../domain/Json.ts"
import { Direct } from "../model/index.ts"
import { exhausted, gathered, index, play, toStream } from "./internal/script.ts"
import type { Answer, Fails, ModelFailure, Reply, Said, TextOptions } from "./ScriptedAnswer.ts"

export interface ScriptedModelOptions {
  /** The pause before each piece of text, where the answer does not name its own. */
  readonly tokenDelay?: Duration.DurationInput | undefined
  /** The model's name: `scripted`, which costs nothing, unless told. */
  readonly model?: string | undefined
  /**
   * Whether Perdure takes the parts without `@effect/ai`'s decoding, as it cannot with a real provider: a call then costs
   * tens of microseconds instead of hundreds. For benchmarks; `false` unless told.
   */
  readonly direct?: boolean | undefined
}

/** Answers of the script were never asked for: the agent stopped early, or the script is too long. */
export class ScriptNotUsedUp extends Schema.TaggedError<ScriptNotUsedUp>()("ScriptNotUsedUp", {
  /** Their numbers, from 0. */
  missing: Schema.Array(Schema.Int),
  /** How many the script has. */
  answers: Schema.Int
}) {
  override get message() {
    return `of the script's ${this.answers} answers, these (counted from 0) were never asked for: ${this.missing.join(", ")}`
  }
}

/** One request. */
export interface Asked {
  readonly prompt: Prompt.Prompt
  /** The number of the answer that was due, from 0. */
  readonly index: number
}

/** How many requests, and messages in them, are remembered: a benchmark's would not fit in memory. */
const remembered = { requests: 200, messages: 20_000 }

/** What the script was asked so far. */
export class ScriptedModel extends Context.Tag("perdure/testing/ScriptedModel")<
  ScriptedModel,
  {
    /** Fails unless each answer of the script was asked for. For tests of one session. */
    readonly usedUp: Effect.Effect<void, ScriptNotUsedUp>
    /** The last requests, retries included, in order: 200, or fewer where conversations are long. */
    readonly asked: Effect.Effect<ReadonlyArray<Asked>>
  }
>() {
  /**
   * The model, and this service. A {@link ScriptedModel.reply} that stands last, or alone, answers all that comes after
   * it too; any other script fails clearly when it has run out.
   */
  static readonly make = (
    script: ReadonlyArray<Answer> | Reply,
    options: ScriptedModelOptions = {}
  ): Layer.Layer<LanguageModel.LanguageModel | ScriptedModel> =>
    Layer.unwrapEffect(
      Effect.gen(function* () {
        const answers = "_tag" in script ? [script] : script
        const last = answers.at(-1)
        const asked: Array<Asked> = []
        let messages = 0
        const used = new Set<number>()
        const failed = new WeakMap<Fails, Set<string>>()
        const answer = (prompt: Prompt.Prompt) => {
          const due = index(prompt)
          if (due < answers.length) used.add(due)
          asked.push({ prompt, index: due })
          messages += prompt.content.length
          while (asked.length > remembered.requests || (messages > remembered.messages && asked.length > 1)) {
            messages -= asked.shift()!.prompt.content.length
          }
          const next = answers[due] ?? (last?._tag === "Reply" ? last : undefined)
          return next === undefined
            ? Stream.fail(exhausted(due, answers.length))
            : play({ ...options, failed }, next, prompt, due)
        }
        const model = yield* LanguageModel.make({
          streamText: ({ prompt }) => toStream(answer(prompt)),
          generateText: ({ prompt }) => gathered(toStream(answer(prompt)))
        })
        const service = ScriptedModel.of({
          usedUp: Effect.suspend(() => {
            const missing = answers.map((_, n) => n).filter((n) => !used.has(n))
            return missing.length === 0 ? Effect.void : new ScriptNotUsedUp({ missing, answers: answers.length })
          }),
          asked: Effect.sync(() => asked.slice())
        })
        return Layer.merge(
          Layer.succeed(LanguageModel.LanguageModel, options.direct === true ? Direct.attach(model, answer) : model),
          Layer.succeed(ScriptedModel, service)
        )
      })
    )

  /** Says a text. */
  static readonly text = (text: string, options: TextOptions = {}): Said => ({
    _tag: "Said",
    text,
    calls: [],
    options
  })

  /** Calls a tool with these (encoded) parameters. The id is made of the answer's number unless told. */
  static readonly calls = (name: string, params: Json, options: { readonly id?: string } = {}): Said => ({
    _tag: "Said",
    text: "",
    calls: [{ name, params, id: options.id }],
    options: {}
  })

  /** Several calls in one answer. */
  static readonly parallel = (calls: ReadonlyArray<Said>): Said => ScriptedModel.says("", ...calls)

  /** A text followed by calls, in one answer. */
  static readonly says = (text: string, ...calls: ReadonlyArray<Said>): Said => ({
    _tag: "Said",
    text,
    calls: calls.flatMap((said) => said.calls),
    options: {}
  })

  /**
   * Fails as a provider does, once for each conversation, and answers with `then` when asked again. `after`: what it
   * says before it breaks off. `retryAfter`: the header's value, or how long. A `MalformedToolCall` is no failure to an
   * agent: its model is told, and asked again.
   */
  static readonly fails = (
    failure: ModelFailure,
    options: { readonly retryAfter?: Duration.DurationInput | string; readonly after?: string },
    next: Answer
  ): Fails => ({
    _tag: "Fails",
    failure,
    retryAfter: options.retryAfter,
    after: options.after ?? "",
    next
  })

  /** Says `after` and then nothing more, once for each conversation: what a deadline of silence is for. */
  static readonly hangs = (options: { readonly after?: string }, next: Answer): Fails => ({
    _tag: "Fails",
    failure: "silence",
    retryAfter: undefined,
    after: options.after ?? "",
    next
  })

  /** Answers by what it is asked. */
  static readonly reply = (answer: Reply["answer"]): Reply => ({ _tag: "Reply", answer })
}
