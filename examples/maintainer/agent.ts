/**
 * The maintainer: an agent that looks at a real directory and writes a report about it.
 *
 * Its tools read below one directory and write into a workspace of their own. Each call also signs a witness log, which
 * is no part of the journal: what the journal claims can be held against it.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Tool, Toolkit } from "@effect/ai"
import { Effect, Schema, Stream } from "effect"
import { Agent, ToolContext } from "../../src/agent/index.ts"
import { commands } from "./commands.ts"

export interface Settings {
  /** The directory that is looked at. Nothing in it is changed. */
  readonly root: string
  /** Where reports go. */
  readonly workspace: string
  /** The witness log. */
  readonly witness: string
  /** A word in the environment of every process that this run starts, by which any that is left over is found. */
  readonly run: string
}

/** A line of the witness log: a call has begun, or has ended. */
export interface Witness {
  readonly session: string
  readonly step: string
  readonly tool: string
  readonly attempt: number
  readonly event: "begin" | "end"
  /** The runner that it happened in. */
  readonly pid: number
}

const dependencies = [ToolContext]
/** What goes wrong is the model's to know: it may find another way. */
const told = { success: Schema.String, failure: Schema.String, failureMode: "return", dependencies } as const

const ListFiles = Tool.make("list_files", {
  description: "Lists a directory. Directories end with /.",
  parameters: { path: Schema.String.annotations({ description: "Relative; . is the top" }) },
  ...told
}).annotate(Tool.Readonly, true)

const Search = Tool.make("search", {
  description: "Finds lines that contain a text, in all files. Answers with path:line: text.",
  parameters: { text: Schema.String },
  ...told
}).annotate(Tool.Readonly, true)

const ReadFile = Tool.make("read_file", {
  description: "Reads a text file, 16 KiB of it at most.",
  parameters: { path: Schema.String },
  ...told
}).annotate(Tool.Readonly, true)

/** Nothing is said about repeating it: a command may do anything, so it is never repeated silently. */
const RunCommand = Tool.make("run_command", {
  description: "Runs one of a few commands: count-lines counts the lines of all files; history shows the last commits.",
  parameters: { command: Schema.Literal("count-lines", "history") },
  ...told
})

/** Not repeatable either: it appends. */
const WriteReport = Tool.make("write_report", {
  description: "Appends to the report, REPORT.md in the workspace. Call it once, with all of it, in Markdown.",
  parameters: { content: Schema.String },
  ...told
})

export const tools = Toolkit.make(ListFiles, Search, ReadFile, RunCommand, WriteReport)

export const Maintainer = Agent.make("maintainer", {
  instructions: `You maintain the software in one directory. Look at it with your tools: list it, search it for TODO and
FIXME, read what matters most, and always run the command count-lines once. If a call's outcome is unknown, judge whether
calling it again is harmless, say so, and act. Then write one short report with write_report and end with a sentence or two.`,
  toolkit: tools,
  budget: { modelCalls: 25, toolCalls: 40, usd: 1, wall: "5 minutes" },
  tools: { run_command: { timeout: "1 minute" } }
})

/** What is somebody else's, or ours. */
const skipped = new Set(["node_modules", ".git", "dist", ".perdure", "coverage"])

const failing = <A>(attempt: () => A) =>
  Effect.try({
    try: attempt,
    catch: (cause) => (cause instanceof Refused ? cause.message : `it failed: ${codeOf(cause)}`)
  })

class Refused extends Error {}
const codeOf = (cause: unknown): string => (cause as { readonly code?: string }).code ?? "unknown"

/** The real path of something below the root; links that lead out of it are not followed. */
const inside = (root: string, relative: string): string => {
  const real = fs.realpathSync(path.resolve(root, relative))
  if (real === root || real.startsWith(root + path.sep)) return real
  throw new Refused(`${relative} is outside of the directory that I may look at`)
}

const files = function* (directory: string, most: number): Generator<string> {
  let left = most
  const pending = [directory]
  for (let at = pending.shift(); at !== undefined; at = pending.shift()) {
    let entries: ReadonlyArray<fs.Dirent> = []
    try {
      entries = fs.readdirSync(at, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
    } catch {
      // A directory that we may not read has nothing for us.
    }
    for (const entry of entries) {
      if (skipped.has(entry.name)) continue
      const file = path.join(at, entry.name)
      if (entry.isDirectory()) pending.push(file)
      else if (entry.isFile() && left-- > 0) yield file
    }
  }
}

const list = (root: string, relative: string): string => {
  const entries = fs.readdirSync(inside(root, relative), { withFileTypes: true })
  const names = entries
    .filter(({ name }) => !skipped.has(name))
    .map((entry) => entry.name + (entry.isDirectory() ? "/" : ""))
  return names.sort().slice(0, 200).join("\n") || "(empty)"
}

const largest = 256 * 1024

const search = (root: string, text: string): string => {
  const found: Array<string> = []
  for (const file of files(root, 2000)) {
    if (found.length >= 40) break
    if (fs.statSync(file).size > largest) continue
    const content = fs.readFileSync(file, "utf8")
    if (!content.includes(text) || content.includes("\0")) continue
    content.split("\n").forEach((line, index) => {
      if (found.length < 40 && line.includes(text)) {
        found.push(`${path.relative(root, file)}:${index + 1}: ${line.trim().slice(0, 160)}`)
      }
    })
  }
  return found.join("\n") || "(nothing found)"
}

const read = (root: string, relative: string): string => {
  const file = fs.openSync(inside(root, relative), "r")
  try {
    const content = Buffer.alloc(16 * 1024)
    const bytes = fs.readSync(file, content)
    return content.subarray(0, bytes).toString("utf8")
  } finally {
    fs.closeSync(file)
  }
}

/** Runs a command with its lines shown as they come; the last of them is the answer. */
const runCommand = ({ root, run }: Settings, command: "count-lines" | "history") =>
  Effect.gen(function* () {
    const { progress, spawn } = yield* ToolContext
    const { inherit, ...wanted } = commands(root)[command]
    const running = yield* spawn({ ...wanted, cwd: root, inherit, env: { MAINTAINER_RUN: run } })
    const lines: Array<string> = []
    yield* running.stdout.pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.runForEach((line) =>
        Effect.zipRight(
          progress(line),
          Effect.sync(() => lines.push(line))
        )
      )
    )
    const { code } = yield* running.exit
    if (code !== 0) return yield* Effect.fail(`it ended with code ${code}`)
    return command === "count-lines" ? (lines.at(-1) ?? "") : lines.join("\n")
  }).pipe(Effect.mapError((error) => (typeof error === "string" ? error : error.message)))

/** The handlers of {@link tools}. */
export const handlers = (settings: Settings) => {
  const { root, witness, workspace } = settings

  const sign = (tool: string, event: Witness["event"]) =>
    Effect.map(ToolContext, ({ attempt, session, step }) => {
      const line: Witness = { session, step, tool, attempt, event, pid: process.pid }
      fs.appendFileSync(witness, `${JSON.stringify(line)}\n`)
    })
  const signed = <A, E, R>(tool: string, work: Effect.Effect<A, E, R>) =>
    Effect.zipRight(sign(tool, "begin"), Effect.zipLeft(work, sign(tool, "end")))

  return tools.toLayer({
    list_files: (it) =>
      signed(
        "list_files",
        failing(() => list(root, it.path))
      ),
    search: (it) =>
      signed(
        "search",
        failing(() => search(root, it.text))
      ),
    read_file: (it) =>
      signed(
        "read_file",
        failing(() => read(root, it.path))
      ),
    run_command: (it) => signed("run_command", runCommand(settings, it.command)),
    write_report: (it) =>
      signed(
        "write_report",
        failing(() => {
          fs.appendFileSync(path.join(workspace, "REPORT.md"), it.content)
          return `written: ${createHash("sha256").update(it.content).digest("hex").slice(0, 12)}`
        })
      )
  })
}
