/** Starting, reading, and ending a process, whatever the backend. */
import { randomBytes } from "node:crypto"
import { Deferred, Duration, Effect, Exit as EffectExit, type Scope, Stream } from "effect"
import { type ProcessError, SpawnFailed, TimedOut } from "../ProcessError.ts"
import type { BackendKind, Exit, Finished, Running, RunOptions, Spawn } from "../Spawn.ts"
import * as Capture from "./capture.ts"
import { launch } from "./launch.ts"
import * as Namespace from "./namespace.ts"
import { type Backend, teardown } from "./nest.ts"
import * as Pipes from "./pipes.ts"
import { resolve } from "./resolve.ts"
import * as Watchdog from "./watchdog.ts"

export interface Options {
  /** Default: `namespace` where it works, else `watchdog`. */
  readonly backend?: BackendKind | undefined
  /** Namespaces by right, or within a user namespace. Default: whichever works, in this order. */
  readonly privilege?: Namespace.Privilege | undefined
  /** How the watchdog lists processes. Default: `proc` on Linux, else `ps`. */
  readonly listing?: Watchdog.Listing | undefined
}

const graceDefaultMs = 500
/** Leaves a quarter of I7's second to kill and to make sure. */
const graceMaxMs = 750
const maxOutputBytesDefault = 1024 * 1024

const encoder = new TextEncoder()

const inputOf = (stdin: Spawn["stdin"]): Stream.Stream<Uint8Array> =>
  stdin === undefined
    ? Stream.empty
    : typeof stdin === "string"
      ? Stream.succeed(encoder.encode(stdin))
      : stdin instanceof Uint8Array
        ? Stream.succeed(stdin)
        : stdin

const startWith =
  (backend: Backend, nextMarker: () => string) =>
  (spawn: Spawn): Effect.Effect<Running, ProcessError, Scope.Scope> =>
    Effect.gen(function* () {
      const marker = nextMarker()
      const target = yield* resolve(spawn, marker)
      const exited = yield* Deferred.make<Exit>()
      const gone = yield* Deferred.make<void>()
      const graceMs = Math.min(Duration.toMillis(spawn.grace ?? graceDefaultMs), graceMaxMs)

      // From the opening of the nest on there is something to tear down.
      const { nest, stop } = yield* Effect.acquireRelease(
        Effect.gen(function* () {
          const nest = yield* backend.open(marker)
          const down = teardown(nest, graceMs).pipe(Effect.zipRight(Deferred.succeed(gone, undefined)))
          // Whoever waits for it may be interrupted, it may not: what it remembers must be that all is gone.
          return { nest, stop: Effect.uninterruptible(yield* Effect.cached(Effect.asVoid(down))) }
        }),
        ({ stop }) => stop
      )
      yield* nest.ready

      const hasInput = spawn.stdin !== undefined || spawn.keepStdinOpen === true
      let pipes: Pick<Running, "stdout" | "stderr"> | undefined
      const child = yield* Effect.acquireRelease(
        launch(
          spawn.command,
          nest.enter(target.file, target.args),
          {
            cwd: target.cwd,
            env: target.env,
            // A session of its own: a Ctrl-C in the runner's terminal is for the runner.
            detached: true,
            stdio: [hasInput ? "pipe" : "ignore", "pipe", "pipe"]
          },
          (child) => {
            nest.entered(child)
            child.once("exit", (code, signal) => Deferred.unsafeDone(exited, EffectExit.succeed({ code, signal })))
            pipes = {
              stdout: Pipes.read(child.stdout!, spawn.command, "stdout", Deferred.await(gone)),
              stderr: Pipes.read(child.stderr!, spawn.command, "stderr", Deferred.await(gone))
            }
          }
        ),
        (child) =>
          stop.pipe(
            Effect.zipRight(Effect.sync(() => [child.stdin, child.stdout, child.stderr].map((pipe) => pipe?.destroy())))
          )
      )

      const input = Pipes.input(child.stdin ?? undefined, spawn.command)
      if (hasInput) {
        yield* inputOf(spawn.stdin).pipe(
          Stream.runForEach(input.write),
          Effect.ignore,
          Effect.zipRight(spawn.keepStdinOpen === true ? Effect.void : input.close),
          Effect.forkScoped
        )
      }

      let timedOut: TimedOut | undefined
      if (spawn.timeout !== undefined) {
        const timeoutMs = Duration.toMillis(spawn.timeout)
        yield* Effect.sleep(timeoutMs).pipe(
          Effect.as(true),
          Effect.raceFirst(Effect.as(Deferred.await(exited), false)),
          Effect.flatMap((late) => {
            if (!late) return Effect.void
            timedOut = new TimedOut({ command: spawn.command, timeoutMs, stdout: "", stderr: "" })
            return stop
          }),
          Effect.forkScoped
        )
      }

      return {
        pid: child.pid!,
        marker,
        ...pipes!,
        exit: Effect.flatMap(Deferred.await(exited), (exit) => timedOut ?? Effect.succeed(exit)),
        write: spawn.keepStdinOpen === true ? input.write : Pipes.input(undefined, spawn.command).write,
        closeStdin: input.close,
        stop
      }
    })

const runWith =
  (start: ReturnType<typeof startWith>) =>
  <E = never, R = never>(spawn: Spawn, options: RunOptions<E, R> = {}): Effect.Effect<Finished, ProcessError | E, R> =>
    Effect.scoped(
      Effect.gen(function* () {
        const running = yield* start(spawn)
        const maxBytes = options.maxOutputBytes ?? maxOutputBytesDefault
        const captures = { stdout: Capture.make(maxBytes), stderr: Capture.make(maxBytes) }
        const drain = (channel: "stdout" | "stderr") =>
          Stream.runForEach(running[channel], (chunk): Effect.Effect<void, E, R> => {
            captures[channel].add(chunk)
            return options.onOutput?.(channel, chunk) ?? Effect.void
          })
        // The end of the command is the end of its children: they hold its pipes open, and nobody is left to read them.
        const ending = Effect.either(running.exit).pipe(Effect.zipLeft(running.stop))
        const [ended] = yield* Effect.all([ending, drain("stdout"), drain("stderr")], { concurrency: "unbounded" })
        const [stdout, stderr] = [captures.stdout.result(), captures.stderr.result()]
        if (ended._tag === "Right") return { exit: ended.right, stdout, stderr }
        const error = ended.left
        return yield* error._tag === "TimedOut"
          ? new TimedOut({ ...error, stdout: stdout.text, stderr: stderr.text })
          : error
      })
    )

/** Whether a backend does what it promises here: a container may forbid namespaces, or the mounting of /proc. */
const works = (backend: Backend, nextMarker: () => string): Effect.Effect<boolean> =>
  runWith(startWith(backend, nextMarker))({
    command: "/bin/sh",
    // /proc is the namespace's own exactly if the number that the shell has in it leads to the shell.
    args: ["-c", 'echo "$$ $(id -u)"; grep -q "$PROBE" "/proc/$$/environ" && exit 142'],
    env: { PROBE: nextMarker() },
    timeout: "5 seconds"
  }).pipe(
    Effect.map(
      ({ exit, stdout }) => exit.code === 142 && new RegExp(`^\\d{1,3} ${process.getuid?.() ?? 0}\n$`).test(stdout.text)
    ),
    Effect.orElseSucceed(() => false)
  )

export const make = (
  options: Options
): Effect.Effect<
  {
    readonly start: ReturnType<typeof startWith>
    readonly run: ReturnType<typeof runWith>
    readonly backend: BackendKind
  },
  never,
  Scope.Scope
> =>
  Effect.gen(function* () {
    // Not from Effect's Random: two runners with one seed must not take each other's processes for their own.
    const prefix = `${randomBytes(9).toString("hex")}.`
    let counter = 0
    const nextMarker = () => `${prefix}${++counter}`

    const pick: Effect.Effect<Backend, never, Scope.Scope> = Effect.gen(function* () {
      if (options.backend !== "watchdog") {
        const tools = process.platform === "linux" ? Namespace.tools() : undefined
        const privileges = options.privilege
          ? [options.privilege]
          : process.getuid?.() === 0
            ? (["root", "user"] as const)
            : (["user"] as const)
        for (const privilege of tools ? privileges : []) {
          const backend = Namespace.make(tools!, privilege)
          if (yield* works(backend, nextMarker)) return backend
        }
        if (options.backend === "namespace") {
          return yield* Effect.die(
            new SpawnFailed({
              command: "unshare",
              reason:
                "PID namespaces do not work here (not Linux, no util-linux, or forbidden): use the watchdog backend"
            })
          )
        }
      }
      return yield* Watchdog.make(prefix, options.listing ?? (process.platform === "linux" ? "proc" : "ps"))
    })
    const backend = yield* pick
    yield* Effect.logDebug(`processes are kept together by ${backend.kind}`)
    const start = startWith(backend, nextMarker)
    return { start, run: runWith(start), backend: backend.kind }
  })
