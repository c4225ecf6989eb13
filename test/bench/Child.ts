/** Measures that need a process to themselves: this program again, with a task. */
import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { dirname, join } from "node:path"
import { Effect, type Scope } from "effect"

/** Compiled beside the program that runs. */
const main = join(dirname(process.argv[1]!), "child.main.js")

export interface Child {
  /** Its next line of output, parsed. */
  readonly next: Effect.Effect<any>
}

/** Starts it for as long as the scope lives. It prints one JSON value a line. */
export const start = (task: string, args: ReadonlyArray<string>): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.gen(function* () {
    const child: ChildProcess = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["--expose-gc", main, task, ...args], {
          stdio: ["ignore", "pipe", "inherit"]
        })
      ),
      (child) => Effect.sync(() => void child.kill("SIGKILL"))
    )
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
    const next: Child["next"] = Effect.promise(() => lines.next()).pipe(
      Effect.map(({ done, value }) => {
        if (done === true) throw new Error(`the process for "${task}" ended without an answer`)
        return JSON.parse(value)
      })
    )
    // It is up.
    yield* next
    return { next }
  })
