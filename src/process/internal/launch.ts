/** Node's `spawn`, with its two ways to fail turned into one. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process"
import { Effect } from "effect"
import { SpawnFailed } from "../ProcessError.ts"

const remedies: Readonly<Record<string, string>> = {
  E2BIG: "its arguments and environment are larger than the system takes: pass the data by stdin or a file",
  EAGAIN: "the system or this user has as many processes as it may: wait for some to end, or raise the limit",
  EMFILE: "this runner has as many files open as it may: raise `ulimit -n`",
  ENFILE: "the system has as many files open as it may",
  ENOMEM: "the system is out of memory"
}

/** `child.pid` is known when this returns. `onSpawned` runs in the tick of the spawn, before any of its events. */
export const launch = (
  command: string,
  [file, args]: readonly [string, ReadonlyArray<string>],
  options: SpawnOptions,
  onSpawned: (child: ChildProcess) => void
): Effect.Effect<ChildProcess, SpawnFailed> =>
  Effect.async<ChildProcess, SpawnFailed>((resume) => {
    const failed = (cause: NodeJS.ErrnoException) => {
      const code = cause.code
      // Node's own message quotes the arguments.
      const reason = (code && remedies[code]) ?? `the system refused it (${code ?? cause.name})`
      resume(new SpawnFailed({ command, reason, ...(code === undefined ? {} : { code }) }))
    }
    try {
      const child = spawn(file, args, options)
      child.on("error", failed)
      if (child.pid === undefined) return
      onSpawned(child)
      resume(Effect.succeed(child))
    } catch (cause) {
      failed(cause as NodeJS.ErrnoException)
    }
  })

/** Whether the process was reaped: its pid may be another's by now. */
export const ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null
