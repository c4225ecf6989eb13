/** Processes seen from outside: the runner as a child, and whatever carries the run's mark. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import type { Settings } from "./agent.ts"

export interface Runner {
  readonly pid: number
  readonly kill: (signal: NodeJS.Signals) => void
  readonly ended: Effect.Effect<void>
}

/** Starts a runner; returns when it is up. */
export const start = (settings: Settings & { readonly directory: string }): Effect.Effect<Runner, Error> =>
  Effect.async((resume) => {
    const child: ChildProcess = spawn(
      process.execPath,
      ["--import", import.meta.resolve("tsx"), fileURLToPath(new URL("./runner.ts", import.meta.url))],
      {
        env: { ...process.env, MAINTAINER_SETTINGS: JSON.stringify(settings), MAINTAINER_RUN: settings.run },
        // Its stdin ends with us, so that it does, too.
        stdio: ["pipe", "pipe", "pipe"]
      }
    )
    let said = ""
    child.stderr!.on("data", (data) => {
      said += data
    })
    child.once("exit", (code) => {
      resume(Effect.fail(new Error(`the runner ended with ${code} before it was up: ${said.slice(0, 2000)}`)))
    })
    child.stdout!.on("data", (data) => {
      if (!String(data).includes("up")) return
      const ended = Effect.async<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) resume(Effect.void)
        else child.once("exit", () => resume(Effect.void))
      })
      resume(Effect.succeed({ pid: child.pid!, kill: (signal) => void child.kill(signal), ended }))
    })
  })

const inProc = (mark: string): ReadonlyArray<number> =>
  fs.readdirSync("/proc").flatMap((name) => {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) return []
    try {
      const marked = fs.readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(mark)
      // A dead process that nobody has fetched yet runs nothing: its environment is empty.
      return marked ? [pid] : []
    } catch {
      return []
    }
  })

const byPs = (mark: string): ReadonlyArray<number> =>
  execFileSync("ps", ["-axeww", "-o", "pid=,command="], { encoding: "utf8", maxBuffer: 64 * 2 ** 20 })
    .split("\n")
    .filter((line) => line.includes(mark))
    .map((line) => Number.parseInt(line, 10))
    .filter((pid) => pid !== process.pid)

/** Every living process that was started for this run, by the word in its environment. */
export const marked = (run: string): ReadonlyArray<number> => {
  const mark = `MAINTAINER_RUN=${run}`
  return fs.existsSync("/proc/self/environ") ? inProc(mark) : byPs(mark)
}

/** Waits until none is left, for two seconds at most. Returns how long that took, and how many are left. */
export const gone = (run: string): Effect.Effect<{ readonly ms: number; readonly left: number }> =>
  Effect.gen(function* () {
    const begin = performance.now()
    for (;;) {
      const left = marked(run).length
      const ms = performance.now() - begin
      if (left === 0 || ms > 2000) return { ms: Math.round(ms), left }
      yield* Effect.sleep("5 millis")
    }
  })
