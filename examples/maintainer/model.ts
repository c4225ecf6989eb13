/** The model: a provider's where there is a key, else a script that reads the same directory through the same tools. */
import type { LanguageModel, Prompt } from "@effect/ai"
import { FetchHttpClient } from "@effect/platform"
import { Config, Effect, Layer } from "effect"
import { ScriptedModel, type ScriptedAnswer } from "../../src/testing/index.ts"

/** The models that are asked where `MAINTAINER_MODEL` names none. */
export const models = { anthropic: "claude-sonnet-4-6", openai: "gpt-5.4-mini" } as const

export type Choice =
  | { readonly provider: "anthropic" | "openai"; readonly model: string }
  | { readonly provider: "script" }

const isSet = (name: string): boolean => (process.env[name] ?? "") !== ""

export const choose = (): Choice => {
  const provider = isSet("ANTHROPIC_API_KEY") ? "anthropic" : isSet("OPENAI_API_KEY") ? "openai" : undefined
  return provider === undefined
    ? { provider: "script" }
    : { provider, model: process.env["MAINTAINER_MODEL"] || models[provider] }
}

/** Providers' packages are loaded where they are used. */
const anthropic = (model: string) =>
  Layer.unwrapEffect(
    Effect.promise(async () => {
      const { AnthropicClient, AnthropicLanguageModel } = await import("@effect/ai-anthropic")
      return AnthropicLanguageModel.layer({ model, config: { max_tokens: 4096 } }).pipe(
        Layer.provide(AnthropicClient.layerConfig({ apiKey: Config.redacted("ANTHROPIC_API_KEY") })),
        Layer.provide(FetchHttpClient.layer)
      )
    })
  )

const openai = (model: string) =>
  Layer.unwrapEffect(
    Effect.promise(async () => {
      const { OpenAiClient, OpenAiLanguageModel } = await import("@effect/ai-openai")
      return OpenAiLanguageModel.layer({ model }).pipe(
        Layer.provide(OpenAiClient.layerConfig({ apiKey: Config.redacted("OPENAI_API_KEY") })),
        Layer.provide(FetchHttpClient.layer)
      )
    })
  )

export const layer = (choice: Choice): Layer.Layer<LanguageModel.LanguageModel, unknown> => {
  switch (choice.provider) {
    case "anthropic":
      return anthropic(choice.model)
    case "openai":
      return openai(choice.model)
    case "script":
      return ScriptedModel.make(ScriptedModel.reply(script))
  }
}

// --- The script: what it asks for follows from what the tools have answered ---

interface Result {
  readonly name: string
  readonly text: string
}

const resultsOf = (prompt: Prompt.Prompt): ReadonlyArray<Result> =>
  prompt.content.flatMap((message) =>
    message.role === "tool"
      ? message.content.map((part) => ({
          name: part.name,
          text: typeof part.result === "string" ? part.result : JSON.stringify(part.result)
        }))
      : []
  )

const { calls, says, text } = ScriptedModel
const slowly = { delay: "18 millis" } as const
const speak = (words: string, ...then: ReadonlyArray<ScriptedAnswer.Said>): ScriptedAnswer.Said => ({
  ...says(words, ...then),
  options: slowly
})

const linesOf = (result: string | undefined): ReadonlyArray<string> =>
  result === undefined || result.startsWith("(") ? [] : result.split("\n").filter((line) => line !== "")

const worthReading = (names: ReadonlyArray<string>): string | undefined =>
  ["README.md", "readme.md", "README", "package.json"].find((name) => names.includes(name)) ??
  names.find((name) => /\.(md|txt|ts|js|json|py|go|rs|c|h)$/.test(name))

const report = (results: ReadonlyArray<Result>): string => {
  const of = (name: string) => results.filter((result) => result.name === name).at(-1)?.text
  const names = linesOf(of("list_files"))
  const open = linesOf(of("search"))
  const file = of("read_file")
  const heading = file?.split("\n").find((line) => line.trim() !== "")
  return [
    "# Report",
    "",
    `- ${names.length} entries at the top: ${names.slice(0, 12).join(", ")}${names.length > 12 ? ", …" : ""}`,
    ...(heading === undefined ? [] : [`- It introduces itself with: ${heading.slice(0, 120)}`]),
    `- Counted: ${of("run_command") ?? "nothing"}`,
    `- Lines that say TODO: ${open.length === 0 ? "none" : open.length}`,
    ...open.slice(0, 5).map((line) => `  - ${line.slice(0, 140)}`),
    ""
  ].join("\n")
}

/** The next answer. Pure: the same conversation gets the same answer, whichever runner asks. */
const script = (prompt: Prompt.Prompt): ScriptedAnswer.Answer => {
  const results = resultsOf(prompt)
  const counted = results.filter(({ name }) => name === "run_command")
  const has = (name: string) => results.some((result) => result.name === name)
  if (!has("list_files")) return speak("I begin with what is here. ", calls("list_files", { path: "." }))
  if (!has("search")) {
    const file = worthReading(linesOf(results.find(({ name }) => name === "list_files")?.text))
    const look = calls("search", { text: "TODO" })
    return file === undefined
      ? speak("Let me see what is left to do. ", look)
      : speak("Let me see what is left to do, and how it introduces itself. ", look, calls("read_file", { path: file }))
  }
  if (counted.length === 0) {
    return speak("Now I count the lines, which takes a moment. ", calls("run_command", { command: "count-lines" }))
  }
  if (counted.length === 1 && /unknown/i.test(counted[0]!.text)) {
    return speak(
      "Nobody knows how far that count came: its process died. It only reads, so I may ask again. ",
      calls("run_command", { command: "count-lines" })
    )
  }
  if (!has("write_report"))
    return speak("That is enough for a report. ", calls("write_report", { content: report(results) }))
  return text(`The report is written: ${counted.at(-1)!.text} here, and all of it was looked at once.`, slowly)
}
