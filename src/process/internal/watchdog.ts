/**
 * The runner's end of the watchdog: starts the helper with the first process, tells it what to watch, and starts it
 * again should it die.
 */
import type { ChildProcess } from "node:child_process"
import type { Socket } from "node:net"
import { Effect, type Scope } from "effect"
import { OneAtATime } from "../../domain/OneAtATime.ts"
import { SpawnFailed } from "../ProcessError.ts"
import { ended, launch } from "./launch.ts"
import { type Backend, markerName, type Nest } from "./nest.ts"
import { within } from "./realTime.ts"
import { source } from "./watchdogSource.ts"

/** How the helper lists processes: `ps` is what systems without a /proc have. */
export type Listing = "proc" | "ps"

interface Request {
  readonly op: "hello" | "term" | "empty" | "destroy"
  readonly step: string
}

interface Pending {
  readonly request: Request
  readonly done: (yes: boolean) => void
}

/** Kinds of failure after which starting another helper is of no use. */
const startsMax = 5

export const make = (prefix: string, listing: Listing): Effect.Effect<Backend, never, Scope.Scope> =>
  Effect.gen(function* () {
    const steps = new Map<string, number>()
    const pending = new Map<number, Pending>()
    let helper: ChildProcess | undefined
    let counter = 0
    let barrenStarts = 0
    let closing = false

    const send = (message: object) => helper?.stdin?.writable && helper.stdin.write(`${JSON.stringify(message)}\n`)
    // A helper must not keep the runner's process alive, but somebody who waits for its answer must.
    const hold = () => {
      const socket = helper?.stdout as Socket | undefined
      if (pending.size > 0) socket?.ref()
      else socket?.unref()
    }
    const answered = (id: number, yes: boolean) => {
      const found = pending.get(id)
      pending.delete(id)
      hold()
      found?.done(yes)
    }

    const up = (child: ChildProcess) => {
      helper = child
      child.unref()
      const stdin = child.stdin as Socket
      stdin.unref()
      stdin.on("error", () => {})
      let rest = ""
      child.stdout!.setEncoding("utf8").on("data", (text: string) => {
        const lines = (rest + text).split("\n")
        rest = lines.pop()!
        for (const line of lines) {
          barrenStarts = 0
          const answer: { re: number; yes: boolean } = JSON.parse(line)
          answered(answer.re, answer.yes)
        }
      })
      child.once("exit", () => {
        helper = undefined
        // It was killed, by hand or for memory: what it watched is told to the next one.
        if (!closing && (steps.size > 0 || pending.size > 0)) Effect.runFork(Effect.ignore(ensure))
      })
      for (const [step, pid] of steps) send({ op: "track", step, pid })
      for (const [id, { request }] of pending) send({ ...request, id })
      hold()
    }

    const oneAtATime = new OneAtATime()
    const ensure: Effect.Effect<void, SpawnFailed> = Effect.suspend(() => {
      if (helper !== undefined) return Effect.void
      if (barrenStarts++ >= startsMax) {
        for (const id of [...pending.keys()]) answered(id, false)
        return new SpawnFailed({ command: "watchdog", reason: "its watchdog ends as soon as it is started" })
      }
      const outer = process.env[markerName]
      return launch(
        "watchdog",
        [process.execPath, ["-e", source, prefix, listing]],
        // In the environment of the helper are none of the runner's secrets.
        {
          detached: true,
          stdio: ["pipe", "pipe", "ignore"],
          cwd: "/",
          env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", ...(outer === undefined ? {} : { [markerName]: outer }) }
        },
        up
      )
    }).pipe(oneAtATime.run, Effect.uninterruptible)

    const ask = (request: Request, limitMs: number, otherwise: boolean): Effect.Effect<boolean> => {
      const id = ++counter
      return within<boolean>(
        (done) => {
          pending.set(id, { request, done })
          hold()
          send({ ...request, id })
        },
        limitMs,
        otherwise
      ).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            pending.delete(id)
            hold()
          })
        )
      )
    }

    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        closing = true
        const last = helper
        if (last === undefined) return Effect.void
        last.stdin!.end()
        last.ref()
        return within<boolean>((done) => last.once("exit", () => done(true)), 2_000, false).pipe(
          Effect.map((gone) => gone || ended(last) || last.kill("SIGKILL"))
        )
      })
    )

    const nest = (step: string): Nest => ({
      ready: ensure.pipe(
        Effect.zipRight(ask({ op: "hello", step }, 10_000, false)),
        Effect.filterOrFail(
          (up) => up,
          () =>
            new SpawnFailed({
              command: "watchdog",
              reason: "its watchdog does not answer: the system may be overloaded"
            })
        ),
        Effect.asVoid
      ),
      enter: (file, args) => [file, args],
      entered: (child) => {
        steps.set(step, child.pid!)
        send({ op: "track", step, pid: child.pid! })
      },
      terminate: Effect.asVoid(ask({ op: "term", step }, 200, false)),
      empty: Effect.suspend(() => (steps.has(step) ? ask({ op: "empty", step }, 200, false) : Effect.succeed(true))),
      destroy: Effect.gen(function* () {
        if (!steps.has(step)) return
        if (!(yield* ask({ op: "destroy", step }, 10_000, false))) {
          yield* Effect.logError("processes of a step cannot be killed: the kernel holds them", { step })
        }
        steps.delete(step)
      })
    })

    return { kind: "watchdog", open: (step) => Effect.sync(() => nest(step)) }
  })
