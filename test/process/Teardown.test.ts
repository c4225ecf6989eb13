/** I7, by real processes and a witness outside: whatever ends a step, nothing of it is alive a second later. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { createServer } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope, Stream } from "effect"
import { Processes } from "../../src/process/index.ts"
import { init } from "../../src/process/internal/namespace.ts"
import { program } from "../support/compiled.ts"
import { alive, appeared, survivors } from "../support/Orphans.ts"
import { type Machine, machines, mark } from "./suites.ts"
import { type Tree, trees, untraceable } from "./trees.ts"

const shell = (script: string, env: Record<string, string>) => ({ command: "sh", args: ["-c", script], env })

const bearers = (tree: Tree, machine: Machine) => tree.bearers + (tree.ends ? 0 : machine.supervisors)

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const before = performance.now()
    return Effect.map(effect, () => performance.now() - before)
  })

/** A runner in a process of its own. `line` is the first that it prints. */
const runner = (
  order: { mode: "hold" | "churn" | "run"; mark: string; scripts: ReadonlyArray<string> },
  machine: Machine
) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child: ChildProcess = spawn(
        process.execPath,
        [program("test/process/runner.ts"), JSON.stringify({ ...order, options: machine.options })],
        { stdio: ["ignore", "pipe", "inherit"], env: { PATH: process.env["PATH"], CANARY: "canary-of-the-runner" } }
      )
      const exit = new Promise<void>((done) => child.once("exit", () => done()))
      const text = new Promise<string>((done) => {
        let all = ""
        child.stdout!.on("data", (chunk) => {
          all += chunk
          if (order.mode !== "run" && all.includes("\n")) done(all.trim())
        })
        child.stdout!.once("end", () => done(all))
      })
      return { child, text: Effect.promise(() => text), exit: Effect.promise(() => exit) }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

for (const machine of machines) {
  const layer = Processes.layerWith(machine.options)
  const caught: ReadonlyArray<Tree> = machine.namespace
    ? [...trees, untraceable]
    : trees.filter((t) => !t.byOutput || machine.options.listing !== "ps")

  describe.skipIf(!machine.supported)(`processes (${machine.name})`, () => {
    for (const tree of caught) {
      it.live(`I7: interrupting a step ends ${tree.name}`, () =>
        Effect.gen(function* () {
          const marker = mark()
          const processes = yield* Processes
          const step = yield* Effect.fork(
            Effect.scoped(Effect.zipRight(processes.start(shell(tree.script, { MARK: marker })), Effect.never))
          )
          yield* appeared(marker, bearers(tree, machine))
          // A process that takes a moment to detach has that moment.
          if (tree.script.includes("sleep 0.5")) yield* Effect.sleep("700 millis")
          const ms = yield* timed(Fiber.interrupt(step))
          expect(yield* alive(marker)).toEqual([])
          expect(ms).toBeLessThan(1000)
        }).pipe(Effect.provide(layer))
      )
    }

    it.live(
      "I7: a runner killed with -9 leaves no process, and no watchdog, behind",
      () =>
        Effect.gen(function* () {
          const marker = mark()
          const { child, exit, text } = yield* runner(
            { mode: "hold", mark: marker, scripts: caught.map((t) => t.script) },
            machine
          )
          const prefix = yield* text
          yield* appeared(
            marker,
            caught.reduce((sum, tree) => sum + bearers(tree, machine), 1)
          )
          child.kill("SIGKILL")
          yield* exit
          expect(yield* survivors(marker)).toEqual([])
          expect(yield* survivors(prefix)).toEqual([])
        }).pipe(Effect.scoped),
      20_000
    )

    it.live(
      "I7: a runner killed with -9 while it starts and ends processes leaves none behind",
      () =>
        Effect.gen(function* () {
          const marker = mark()
          const script = "setsid sleep 1000 & sleep 1000"
          const { child, exit, text } = yield* runner(
            { mode: "churn", mark: marker, scripts: [script, script, script] },
            machine
          )
          const prefix = yield* text
          yield* appeared(marker, 3)
          child.kill("SIGKILL")
          yield* exit
          expect(yield* survivors(marker)).toEqual([])
          expect(yield* survivors(prefix)).toEqual([])
        }).pipe(Effect.scoped),
      20_000
    )

    it.live("I7: a timeout ends the tree, and says what had been written", () =>
      Effect.gen(function* () {
        const marker = mark()
        const processes = yield* Processes
        const spawn = {
          ...shell("echo begun; setsid sleep 1000 & sleep 1000", { MARK: marker }),
          timeout: "300 millis" as const
        }
        const error = yield* Effect.flip(processes.run(spawn))
        expect(error).toMatchObject({ _tag: "TimedOut", command: "sh", timeoutMs: 300, stdout: "begun\n" })
        expect(yield* alive(marker)).toEqual([])
      }).pipe(Effect.provide(layer))
    )

    it.live("I7: the end of a command is the end of the children that it left", () =>
      Effect.gen(function* () {
        const marker = mark()
        const processes = yield* Processes
        const finished = yield* processes.run(shell("setsid sleep 1000 & sleep 1000 & echo done", { MARK: marker }))
        expect(finished).toMatchObject({ exit: { code: 0, signal: null }, stdout: { text: "done\n" } })
        expect(yield* alive(marker)).toEqual([])
      }).pipe(Effect.provide(layer))
    )

    it.live("I7: a step that fails while it reads its process ends it", () =>
      Effect.gen(function* () {
        const marker = mark()
        const processes = yield* Processes
        const error = yield* Effect.flip(
          processes.run(shell("echo x; sleep 1000", { MARK: marker }), { onOutput: () => Effect.fail("enough") })
        )
        expect(error).toBe("enough")
        expect(yield* alive(marker)).toEqual([])
      }).pipe(Effect.provide(layer))
    )

    it.live("a process that wants to say good-bye is told to first, and can", () =>
      Effect.gen(function* () {
        const processes = yield* Processes
        const running = yield* processes.start(
          shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.02; done", {})
        )
        yield* Stream.runHead(running.stdout)
        yield* running.stop
        expect(yield* running.exit).toEqual({ code: 3, signal: null })
        expect(yield* Stream.mkString(Stream.decodeText(running.stdout))).toBe("bye\n")
      }).pipe(Effect.scoped, Effect.provide(layer))
    )

    it.live("a port that a child of a step held is free when the step is over", () =>
      Effect.gen(function* () {
        const processes = yield* Processes
        const scope = yield* Scope.make()
        const program =
          "const s = require('net').createServer().listen(0, '127.0.0.1', () => console.log(s.address().port))"
        const running = yield* Scope.extend(
          processes.start(shell('setsid "$NODE" -e "$PROGRAM" & wait', { NODE: process.execPath, PROGRAM: program })),
          scope
        )
        const port = Number(
          yield* Stream.mkString(Stream.take(Stream.splitLines(Stream.decodeText(running.stdout)), 1))
        )
        yield* Scope.close(scope, Exit.void)
        const bound = yield* Effect.async<string>((resume) => {
          const server = createServer()
          server.once("error", (error) => resume(Effect.succeed(error.message)))
          server.listen(port, "127.0.0.1", () => server.close(() => resume(Effect.succeed("bound"))))
        })
        expect(bound).toBe("bound")
      }).pipe(Effect.provide(layer))
    )

    it.effect("a test's clock, which stands still, does not keep processes alive", () =>
      Effect.gen(function* () {
        const marker = mark()
        const processes = yield* Processes
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* processes.start(shell("trap '' TERM; sleep 1000", { MARK: marker }))
            yield* appeared(marker, 2 + machine.supervisors)
          })
        )
        expect(yield* alive(marker)).toEqual([])
      }).pipe(Effect.provide(layer))
    )

    it.live("ending one step leaves the others alone", () =>
      Effect.gen(function* () {
        const [ending, staying] = [mark(), mark()]
        const processes = yield* Processes
        const other = yield* processes.start(shell("setsid sleep 1000 & echo up; wait", { MARK: staying }))
        yield* Stream.runHead(other.stdout)
        yield* appeared(staying, 2 + machine.supervisors)
        yield* processes.run(shell("setsid sleep 1000 &", { MARK: ending }))
        expect(yield* alive(staying)).toHaveLength(2 + machine.supervisors)
      }).pipe(Effect.scoped, Effect.provide(layer))
    )
  })
}

describe.skipIf(!machines.some((machine) => machine.name === "namespace" && machine.supported))("namespaces", () => {
  const machine = machines[0]!
  it.live("I12: the runner's environment cannot be read through /proc", () =>
    Effect.gen(function* () {
      const script =
        'echo "reads $(cat /proc/*/environ | tr "\\\\0" "\\\\n" | grep -c -e "^MARK=") of its own"; cat /proc/*/environ | grep -a -c canary-of'
      const { text } = yield* runner({ mode: "run", mark: mark(), scripts: [script] }, machine)
      expect(yield* text).toMatch(/^reads [1-9]\d* of its own\n0\n$/)
    }).pipe(Effect.scoped)
  )
})

describe("the trees", () => {
  it.live("the one that starts itself anew really does, or catching it would prove nothing", () =>
    Effect.gen(function* () {
      const marker = mark()
      const processes = yield* Processes
      const tree = trees.find((t) => t.script.includes("AGAIN"))!
      yield* processes.start(shell(tree.script, { MARK: marker }))
      // Twenty generations: each has a pid that none before it had.
      const pids = new Set<number>()
      while (pids.size < 40) for (const { pid } of yield* appeared(marker, 2)) pids.add(pid)
    }).pipe(Effect.scoped, Effect.provide(Processes.layerWith({ backend: "watchdog" })))
  )
})

describe("pid 1 of a namespace", () => {
  // The only order given is to exit: this test must do no harm where it fails.
  it("takes no orders where it is not pid 1, since they would reach every process of the machine", () => {
    const { status, stdout } = spawnSync("/bin/sh", ["-c", init], { input: "x\n", encoding: "utf8" })
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" })
  })
})

describe("the watchdog", () => {
  const watchdogOf = (marker: string) =>
    alive(`${marker.split(".")[0]}.`).pipe(
      Effect.map((found) => found.filter(({ cmdline }) => cmdline.startsWith("perdure-watchdog")))
    )

  it.live("I7: is started again when it is killed, and still finds what it is to end", () =>
    Effect.gen(function* () {
      const marker = mark()
      const processes = yield* Processes
      const killed = yield* Deferred.make<void>()
      const step = yield* Effect.fork(
        Effect.scoped(
          Effect.gen(function* () {
            const running = yield* processes.start(
              shell("(setsid sh -c 'trap \"\" TERM; sleep 1000' &); sleep 1000", { MARK: marker })
            )
            yield* appeared(marker, 4)
            const [watchdog] = yield* watchdogOf(running.marker)
            process.kill(watchdog!.pid, "SIGKILL")
            yield* survivors(`perdure-watchdog ${running.marker.split(".")[0]}`, 50)
            yield* Deferred.succeed(killed, undefined)
            return yield* Effect.never
          })
        )
      )
      yield* Deferred.await(killed)
      yield* Fiber.interrupt(step)
      expect(yield* alive(marker)).toEqual([])
    }).pipe(Effect.provide(Processes.layerWith({ backend: "watchdog" })))
  )

  it.live("one serves all processes of a runner, and ends with its layer", () =>
    Effect.gen(function* () {
      const marker = yield* Effect.scoped(
        Effect.gen(function* () {
          const processes = yield* Processes
          const spawn = { command: "sleep", args: ["1000"] }
          const started = yield* Effect.all([processes.start(spawn), processes.start(spawn), processes.start(spawn)], {
            concurrency: "unbounded"
          })
          expect(yield* watchdogOf(started[0].marker)).toHaveLength(1)
          return started[0].marker
        })
      ).pipe(Effect.provide(Processes.layerWith({ backend: "watchdog" })))
      expect(yield* watchdogOf(marker)).toEqual([])
    })
  )
})
