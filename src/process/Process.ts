/**
 * The one way to start an OS process from a tool.
 *
 * I7: when the scope of a process closes, for whatever reason, and when the runner itself is killed with -9, no process
 * of its tree is alive a second later: `setsid`, `nohup`, double-forked, SIGTERM-ignoring ones included.
 *
 * I12: a process sees the environment that it was granted and nothing else of the runner's.
 */
import { Context, type Effect, Layer, type Scope } from "effect"
import { make, type Options } from "./internal/processes.ts"
import type { ProcessError } from "./ProcessError.ts"
import type { BackendKind, Finished, Running, RunOptions, Spawn } from "./Spawn.ts"

export * from "./ProcessError.ts"
export type * from "./Spawn.ts"

/** Starts OS processes that never outlive what started them. */
export class Processes extends Context.Tag("perdure/Processes")<
  Processes,
  {
    /** Starts a process. Closing the scope tears its whole tree down and returns when that is gone. */
    readonly start: (spawn: Spawn) => Effect.Effect<Running, ProcessError, Scope.Scope>
    /**
     * Runs a process to its end and captures its output. An exit code other than 0 is a result, not a failure.
     * Children that outlive the command are torn down with it.
     */
    readonly run: <E = never, R = never>(
      spawn: Spawn,
      options?: RunOptions<E, R>
    ) => Effect.Effect<Finished, ProcessError | E, R>
    readonly backend: BackendKind
  }
>() {
  /** Namespaces where a probe shows that they work, else the watchdog. */
  static readonly layer: Layer.Layer<Processes> = Layer.scoped(Processes, make({}))

  /** With a backend of one's choice. Dies if the machine cannot provide it. */
  static readonly layerWith = (options: Options): Layer.Layer<Processes> => Layer.scoped(Processes, make(options))
}
