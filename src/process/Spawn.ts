/** What goes into a process and what comes out of it, as types. */
import type { Duration, Effect, Stream } from "effect"
import type { ProcessError } from "./ProcessError.ts"

/** What to start, and with what. */
export interface Spawn {
  /** A name to be found on the child's PATH, or a path (a relative one is taken from `cwd`). No shell is involved. */
  readonly command: string
  readonly args?: ReadonlyArray<string> | undefined
  /** The working directory; the runner's own if not given. */
  readonly cwd?: string | undefined
  /** The environment of the process: this, what `inherit` names, and `PERDURE_STEP` (its marker). Nothing else. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Names to take over from the runner's environment where it has them. Default: `["PATH"]`. */
  readonly inherit?: ReadonlyArray<string> | undefined
  /** Written to the process as fast as it reads, then closed. Without it stdin is empty from the start. */
  readonly stdin?: string | Uint8Array | Stream.Stream<Uint8Array> | undefined
  /** Leaves stdin open after `stdin`, for `Running.write` and `Running.closeStdin`. Default: false. */
  readonly keepStdinOpen?: boolean | undefined
  /** From SIGTERM to SIGKILL. Default 500 ms; at most 750 ms, so that all is gone within a second (I7). */
  readonly grace?: Duration.DurationInput | undefined
  /** After this long the tree is torn down and the process has failed with `TimedOut`. Default: no limit. */
  readonly timeout?: Duration.DurationInput | undefined
}

/** How a process ended: by itself with a code, or by a signal (`"SIGKILL"`). The other one is null. */
export interface Exit {
  readonly code: number | null
  readonly signal: string | null
}

/** A process that was started. */
export interface Running {
  /** As seen from the runner: of the command, or of the supervisor that stands for it. */
  readonly pid: number
  /** The value of `PERDURE_STEP` in the environment of each process of the tree that did not clear it. */
  readonly marker: string
  /**
   * Bytes as they come; the process waits while nobody reads. Each byte is read once: a stream that is run again goes on
   * where the last run stopped.
   */
  readonly stdout: Stream.Stream<Uint8Array, ProcessError>
  readonly stderr: Stream.Stream<Uint8Array, ProcessError>
  /** Waits until the command itself has ended. Its children may still be running, until the scope closes. */
  readonly exit: Effect.Effect<Exit, ProcessError>
  /** Writes to stdin and waits until the pipe has room again. Needs `keepStdinOpen`. */
  readonly write: (data: string | Uint8Array) => Effect.Effect<void, ProcessError>
  /** Ends the input of the process. Twice is once. */
  readonly closeStdin: Effect.Effect<void>
  /** Tears the tree down now (SIGTERM, grace, SIGKILL) and returns when all of it is gone. Twice is once. */
  readonly stop: Effect.Effect<void>
}

/** A bounded memory of an output: its first bytes and its last ones. */
export interface Captured {
  readonly head: Uint8Array
  /** What follows the head; the last bytes only, if `truncated`. */
  readonly tail: Uint8Array
  /** How many bytes were written in all. */
  readonly bytes: number
  /** Whether bytes between head and tail were left out. */
  readonly truncated: boolean
  /** Head and tail as UTF-8, with a line between them that says how many bytes were left out. */
  readonly text: string
}

/** A process that ran to its end. */
export interface Finished {
  readonly exit: Exit
  readonly stdout: Captured
  readonly stderr: Captured
}

export interface RunOptions<E = never, R = never> {
  /** How much of each channel to keep, half of it from the beginning and half from the end. Default: 1 MiB. */
  readonly maxOutputBytes?: number | undefined
  /** Sees every chunk as it comes, before the next one is read: a slow one slows the process down. */
  readonly onOutput?: ((channel: "stdout" | "stderr", chunk: Uint8Array) => Effect.Effect<void, E, R>) | undefined
}

/**
 * How trees are kept together. `namespace`: each in a PID namespace of its own (Linux), which the kernel kills as one.
 * `watchdog`: a helper process finds them by marker, group and descent. The README says what that cannot catch.
 */
export type BackendKind = "namespace" | "watchdog"
