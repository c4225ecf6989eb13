/**
 * The real command line as a process: transpiled once for all tests of a file, as the package is, because loading it from
 * source costs each process more than all that it does; with `source`, from source.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { compile } from "../support/compiled.ts"

/** As a URL: the working directory of the process may be anywhere. */
const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href
const root = fileURLToPath(new URL("../..", import.meta.url))

const fixtures = [
  "ticker.ts",
  "cli/weather.ts",
  "cli/several.ts",
  "cli/keyless.ts",
  "cli/frugal.ts",
  "cli/careful.ts",
  "cli/patient.ts"
]
const compiled = compile("cli", ["src/cli/main.ts", ...fixtures.map((name) => `test/fixtures/${name}`)])
const main = compiled.path("src/cli/main.ts")

export interface Ran {
  readonly code: number | NodeJS.Signals
  readonly stdout: string
  readonly stderr: string
  /** The lines of stdout as JSON. */
  readonly json: () => ReadonlyArray<any>
}

export interface Options {
  readonly stdin?: string | undefined
  readonly env?: Record<string, string> | undefined
  readonly cwd?: string | undefined
  /** Runs it from source. */
  readonly source?: boolean | undefined
}

export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ran>
  /** Resolves when stdout and stderr together hold the text; rejects when it ends before. */
  readonly says: (text: string) => Promise<void>
  /** What it has said so far, stdout and stderr. */
  readonly output: () => string
}

/** Starts it. Its environment has no store of the developer's. */
export const start = (args: ReadonlyArray<string>, options: Options = {}): Running => {
  const { PERDURE_DATABASE_URL: _, DATABASE_URL: __, PERDURE_DIRECTORY: ___, ...env } = process.env
  const child = spawn(
    process.execPath,
    options.source === true ? ["--import", loader, join(root, "src/cli/main.ts"), ...args] : [main, ...args],
    {
      cwd: options.cwd ?? root,
      env: { ...env, ...options.env },
      stdio: [options.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"]
    }
  )
  child.stdin?.on("error", () => {})
  child.stdin?.end(options.stdin)
  let stdout = ""
  let stderr = ""
  child.stdout!.setEncoding("utf8").on("data", (text) => {
    stdout += text
  })
  child.stderr!.setEncoding("utf8").on("data", (text) => {
    stderr += text
  })
  const ended = new Promise<Ran>((resolve) => {
    child.once("close", (code, signal) =>
      resolve({
        code: code ?? signal!,
        stdout,
        stderr,
        json: () =>
          stdout
            .split("\n")
            .filter((line) => line !== "")
            .map((line) => JSON.parse(line))
      })
    )
  })
  const says = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => (stdout + stderr).includes(text) && resolve()
      child.stdout!.on("data", look)
      child.stderr!.on("data", look)
      child.once("close", () => reject(new Error(`it never said ${text}:\n${stdout}\n${stderr}`)))
      look()
    })
  return { child, ended, says, output: () => stdout + stderr }
}

export const perdure = (args: ReadonlyArray<string>, options?: Options): Promise<Ran> => start(args, options).ended

/** A directory of its own, gone with `done`. */
export const temporary = (): { readonly path: string; readonly done: () => void } => {
  const path = mkdtempSync(join(tmpdir(), "perdure-cli-"))
  return { path, done: () => rmSync(path, { recursive: true, force: true }) }
}

/** A module for it, transpiled as it is itself, or as it was written. */
export const fixture = (name: string): string => compiled.path(`test/fixtures/${name}`)
export const sourceFixture = (name: string): string => join(root, "test/fixtures", name)
