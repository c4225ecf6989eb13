/**
 * A nest is a place for the tree of one process, from which nothing can fly: what a backend provides.
 *
 *   open ─► ready ─► enter (spawn) ─► … ─► empty? ─ no ─► terminate ─► empty? … grace ─► destroy ─► verified gone
 */
import type { ChildProcess } from "node:child_process"
import { Effect } from "effect"
import type { BackendKind } from "../Spawn.ts"
import type { SpawnFailed } from "../ProcessError.ts"
import { poll } from "./realTime.ts"

export interface Nest {
  /** Waits until a process can be started in it. */
  readonly ready: Effect.Effect<void, SpawnFailed>
  /** The command line that starts `file args` inside. */
  readonly enter: (file: string, args: ReadonlyArray<string>) => readonly [string, ReadonlyArray<string>]
  /** Called in the same tick in which the process was spawned. */
  readonly entered: (child: ChildProcess) => void
  /** SIGTERM to each process inside. */
  readonly terminate: Effect.Effect<void>
  /** Whether no process is alive inside. */
  readonly empty: Effect.Effect<boolean>
  /** SIGKILL to each process inside; returns when none is left. May be called at any time, whatever happened before. */
  readonly destroy: Effect.Effect<void>
}

export interface Backend {
  readonly kind: BackendKind
  /** Sets a nest up without waiting: whoever calls it owes it a `destroy`. */
  readonly open: (marker: string) => Effect.Effect<Nest, SpawnFailed>
}

/** The name of the environment variable that marks the processes of a step. */
export const markerName = "PERDURE_STEP"

/** SIGTERM, `graceMs`, SIGKILL. Not to be interrupted: when it returns the tree is gone (I7). */
export const teardown = (nest: Nest, graceMs: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    if (graceMs > 0 && !(yield* nest.empty)) {
      yield* nest.terminate
      yield* poll(nest.empty, graceMs)
    }
    yield* nest.destroy
  }).pipe(Effect.uninterruptible)
