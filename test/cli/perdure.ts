/** The real command line as a process, from the source tree. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

/** As a URL: the working directory of the process may be anywhere. */
const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href
const root = fileURLToPath(new URL("../..", import.meta.url))

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
}

export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ran>
  /** Resolves when stdout and stderr together hold the text; rejects when it ends before. */
  readonly says: (text: string) => Promise<void>
}

/** Starts it. Its environment has no store of the developer's. */
export const start = (args: ReadonlyArray<string>, options: Options = {}): Running => {
  const { PERDURE_DATABASE_URL: _, DATABASE_URL: __, PERDURE_DIRECTORY: ___, ...env } = process.env
  const child = spawn(process.execPath, ["--import", loader, join(root, "src/cli/main.ts"), ...args], {
    cwd: options.cwd ?? root,
    env: { ...env, ...options.env },
    stdio: [options.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"]
  })
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
  return { child, ended, says }
}

export const perdure = (args: ReadonlyArray<string>, options?: Options): Promise<Ran> => start(args, options).ended

/** A directory of its own, gone with `done`. */
export const temporary = (): { readonly path: string; readonly done: () => void } => {
  const path = mkdtempSync(join(tmpdir(), "perdure-cli-"))
  return { path, done: () => rmSync(path, { recursive: true, force: true }) }
}

export const fixture = (name: string): string => join(root, "test/fixtures", name)
