/**
 * Ends a runner whose main loop hangs: a tool that computes, a regular expression that never ends, a blocked system call.
 *
 * Such a runner holds its presence, so the others take it for dead only when its heartbeat expires; then both would go on,
 * and what it has started (processes of tools among it) would run beside what they start. So it is ended a heartbeat
 * before: its presence falls, its processes are reaped, and the others have its sessions at once. A loop that is blocked
 * for less is waited for.
 *
 * The thread only watches: the heartbeat is the main loop's, for that is what must be alive. A process that is being
 * debugged is let be. An embedded runner has no watchdog: nobody would take its sessions over.
 */
import * as inspector from "node:inspector"
import { Worker } from "node:worker_threads"
import { Duration, Effect, Layer } from "effect"
import { source } from "./internal/watchdogThread.ts"
import { RunnerSettings, type Settings } from "./Settings.ts"

/** The exit code of a runner that hung. Where not even that can be said it is killed, which shells call 137. */
export const exitCode = 76

/** Least that can be told from a busy machine, in milliseconds. */
const hangMsMin = 500

/** After how long the loop counts as hung, in milliseconds; `null`: never. */
export const hangMsOf = ({ hang, heartbeat, heartbeatExpiry }: Settings): number | null =>
  hang === "off"
    ? null
    : hang === "auto"
      ? Math.max(hangMsMin, Duration.toMillis(heartbeatExpiry) - Duration.toMillis(heartbeat))
      : Duration.toMillis(hang)

export const layer: Layer.Layer<never, never, RunnerSettings> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const hangMs = hangMsOf(yield* RunnerSettings)
    if (hangMs === null || !Number.isFinite(hangMs)) return
    const tickMs = Math.min(500, Math.max(20, hangMs / 10))
    const cells = new SharedArrayBuffer(8)
    const beats = new Int32Array(cells)
    yield* Effect.sync(() => {
      Atomics.add(beats, 0, 1)
      Atomics.store(beats, 1, inspector.url() === undefined ? 0 : 1)
    }).pipe(Effect.zipRight(Effect.sleep(tickMs)), Effect.forever, Effect.forkScoped)
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const thread = new Worker(source, {
          eval: true,
          name: "perdure-watchdog",
          workerData: { cells, hangMs, tickMs, code: exitCode },
          // Nothing that the program was started with is its business.
          execArgv: [],
          env: {},
          resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 }
        })
        // A runner without a watchdog is still a runner.
        thread.on("error", (error) => Effect.runFork(Effect.logWarning(`the watchdog has ended: ${error.message}`)))
        thread.unref()
        return thread
      }),
      (thread) => Effect.promise(() => thread.terminate())
    )
  })
)
