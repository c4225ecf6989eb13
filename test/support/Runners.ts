/** Runners as OS processes on a real Postgres, with a witness outside of the system. */
import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Exit, Redacted, Schedule, Scope } from "effect"
import type { Line } from "../fixtures/ticker.ts"
import { program as compiled } from "./compiled.ts"

export interface RunnerProcess {
  readonly pid: number
  readonly kill: (signal: NodeJS.Signals) => void
  /** Completes when the process has ended, with its exit code or signal. */
  readonly ended: Effect.Effect<number | NodeJS.Signals>
  readonly output: () => string
}

export interface Runners {
  readonly start: (environment?: Record<string, string>) => Effect.Effect<RunnerProcess>
  readonly witness: () => ReadonlyArray<Line>
}

const until = (child: ChildProcess, text: string, output: () => string): Effect.Effect<void> =>
  Effect.async((resume) => {
    const look = () => output().includes(text) && resume(Effect.void)
    child.stdout!.on("data", look)
    child.once("exit", (code) =>
      resume(Effect.dieMessage(`the runner ended with ${code} before it was up:\n${output()}`))
    )
    look()
  })

/** All lines of a file that only grows: each call reads what is new. */
const tail = (path: string): (() => ReadonlyArray<Line>) => {
  const lines: Array<Line> = []
  const chunk = Buffer.alloc(1 << 20)
  let position = 0
  let rest = Buffer.alloc(0)
  return () => {
    const file = openSync(path, "r")
    try {
      for (let read = 1; read > 0; ) {
        read = readSync(file, chunk, 0, chunk.length, position)
        position += read
        rest = Buffer.concat([rest, chunk.subarray(0, read)])
      }
    } finally {
      closeSync(file)
    }
    const end = rest.lastIndexOf(10) + 1
    for (const line of rest.subarray(0, end).toString().split("\n"))
      if (line !== "") lines.push(JSON.parse(line) as Line)
    rest = rest.subarray(end)
    return lines
  }
}

/** Of a database, or of a directory: then the program must look at `DIRECTORY`. */
export const make = (
  store: Redacted.Redacted | { readonly directory: string },
  program = "test/fixtures/runner.ts"
): Effect.Effect<Runners, never, Scope.Scope> =>
  Effect.gen(function* () {
    const main = compiled(program)
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "perdure-witness-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    const log = join(directory, "witness.jsonl")
    writeFileSync(log, "")
    const witness = tail(log)
    const children: Array<ChildProcess> = []
    const scope = yield* Effect.scope
    yield* Effect.addFinalizer(() => Effect.sync(() => children.forEach((child) => void child.kill("SIGKILL"))))

    return {
      start: (environment = {}) =>
        Effect.gen(function* () {
          const where = Redacted.isRedacted(store)
            ? { PERDURE_DATABASE_URL: Redacted.value(store) }
            : { DIRECTORY: store.directory }
          const child = spawn(process.execPath, [main], {
            env: { ...process.env, ...where, WITNESS: log, ...environment },
            stdio: ["ignore", "pipe", "pipe"]
          })
          children.push(child)
          let output = ""
          child.stdout.on("data", (data) => (output += data))
          child.stderr.on("data", (data) => (output += data))
          // What they said is what explains a test that fails.
          yield* Scope.addFinalizerExit(scope, (exit) =>
            Effect.sync(() => Exit.isFailure(exit) && console.log(`runner ${child.pid} said:\n${output}`))
          )
          yield* until(child, "up\n", () => output)
          return {
            pid: child.pid!,
            kill: (signal) => void child.kill(signal),
            ended: Effect.async((resume) => {
              const done = () => resume(Effect.succeed(child.exitCode ?? child.signalCode ?? -1))
              if (child.exitCode !== null || child.signalCode !== null) done()
              else child.once("exit", done)
            }),
            output: () => output
          }
        }),
      witness
    }
  })

/** How often a test looks at what another process has done. */
export const often = Schedule.spaced("5 millis").pipe(Schedule.upTo("20 seconds"))
