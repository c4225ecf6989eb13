/**
 * The operating system's processes, as tools start them: they are born, live for a while and die, and never outlive what
 * started them, because that is what the real `Processes` promises and proves elsewhere (I7). What is tried here is whether
 * sessions keep their scopes.
 *
 * `sleep 5` lives for five seconds, anything else for a moment; it says its arguments.
 */
import { Chunk, Effect, FiberRef, Option, Stream } from "effect"
import type { Process, Processes } from "../../../process/index.ts"
import { type Attempting, attempting } from "./attempting.ts"
import type { Prng } from "./Prng.ts"
import type { SimProcess } from "./SimProcess.ts"
import type { World } from "./World.ts"

type Service = Processes["Type"]

interface Living {
  readonly pid: number
  end: (signal: string | null) => void
}

export class OsProcesses {
  readonly living = new Map<number, Living>()
  readonly #random: Prng
  #pids = 1000

  constructor(readonly world: World) {
    this.#random = world.random.fork("os")
  }

  #start(process: SimProcess, spawn: Process.Spawn, attempt: Attempting): Living & { readonly exit: Exited } {
    const pid = ++this.#pids
    const exited: Exited = { exit: null, waiting: [] }
    this.world.history.record({ _tag: "ProcessBorn", pid, ...attempt })
    const end = (signal: string | null) => {
      if (!this.living.delete(pid)) return
      this.world.history.record({ _tag: "ProcessDied", pid })
      exited.exit = { code: signal === null ? 0 : null, signal }
      for (const tell of exited.waiting) tell()
    }
    const one = { pid, end, exit: exited }
    this.living.set(pid, one)
    const ms = spawn.command === "sleep" ? Number(spawn.args?.[0] ?? 1) * 1000 : this.#random.skewed(1, 500)
    this.world.after(ms, () => end(null))
    process.onDeath(() => this.world.after(this.#random.skewed(1, 500), () => end("SIGKILL")))
    return one
  }

  /** The service of one process. */
  of(process: SimProcess): Service {
    const start: Service["start"] = (spawn) =>
      Effect.gen(this, function* () {
        const attempt = Option.getOrElse(yield* FiberRef.get(attempting), () => nobody(process))
        const one = yield* Effect.acquireRelease(
          Effect.sync(() => this.#start(process, spawn, attempt)),
          (one) =>
            Effect.async<void>((resume) => {
              // SIGTERM is obeyed after a while.
              this.world.after(this.#random.skewed(0, 400), () => {
                one.end("SIGTERM")
                resume(Effect.void)
              })
            })
        )
        const running: Process.Running = {
          pid: one.pid,
          marker: `sim-${one.pid}`,
          stdout: Stream.make(new TextEncoder().encode((spawn.args ?? []).join(" "))),
          stderr: Stream.empty,
          exit: Effect.async((resume) => {
            const tell = () => resume(Effect.succeed(one.exit.exit!))
            if (one.exit.exit !== null) tell()
            else one.exit.waiting.push(tell)
          }),
          write: () => Effect.void,
          closeStdin: Effect.void
        } as unknown as Process.Running
        return running
      })
    const captured = (bytes: Uint8Array): Process.Captured => ({
      head: bytes,
      tail: new Uint8Array(),
      bytes: bytes.length,
      truncated: false,
      text: new TextDecoder().decode(bytes)
    })
    return {
      backend: "namespace",
      start,
      run: (spawn, options) =>
        Effect.gen(function* () {
          const running = yield* start(spawn)
          const exit = yield* running.exit
          const stdout = Chunk.toReadonlyArray(yield* Stream.runCollect(running.stdout))
          for (const chunk of stdout) yield* options?.onOutput?.("stdout", chunk) ?? Effect.void
          return { exit, stdout: captured(stdout[0] ?? new Uint8Array()), stderr: captured(new Uint8Array()) }
        }).pipe(Effect.scoped)
    }
  }
}

interface Exited {
  exit: Process.Exit | null
  readonly waiting: Array<() => void>
}

const nobody = (process: SimProcess): Attempting => ({ process: process.name, session: "", step: "", attempt: 0 })
