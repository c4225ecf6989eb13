/**
 * Each tree in a PID namespace of its own: the kernel keeps the list of what is to be killed.
 *
 *   runner ─┬─ setpriv → unshare ── sh (pid 1: the namespace lives as long as it does; takes orders by a pipe)
 *           └─ setpriv → nsenter ── setsid → unshare → the command (pid 2)
 *
 * - The command is nsenter's child, not pid 1's: nsenter ends as it ended, so its code or signal reaches us untouched,
 *   and it is no init, to which a SIGTERM would mean nothing.
 * - pid 1 adopts what is orphaned. When it exits, the kernel kills all others and lets it go only after each was reaped:
 *   its end is the proof that nothing is left.
 * - When the runner dies, by whatever signal, pid 1 sees the end of its pipe, and its parent dies by `--pdeathsig`.
 *   Either suffices; the pipe also covers a runner that dies before `setpriv` has run.
 * - The command has a /proc of its own: the runner's environment is not in it.
 */
import type { ChildProcess } from "node:child_process"
import { constants, accessSync, readdirSync, readlinkSync } from "node:fs"
import { Effect } from "effect"
import { SpawnFailed } from "../ProcessError.ts"
import { ended, launch } from "./launch.ts"
import { type Backend, markerName, type Nest } from "./nest.ts"
import { poll, within } from "./realTime.ts"

/**
 * Anywhere but in a namespace of its own `kill -1` would end every process of the machine, so as anything but its first
 * process the shell refuses to begin; and `ready` looks once more, from outside, before it lets anybody in.
 *
 * Orders: t(erm all), p(oll), x (exit). Answers: r(eady), b(usy), e(mpty), i(nterrupted).
 * `kill -1` by pid 1 means: every process of the namespace but itself. dash cannot ignore SIGCHLD and ends a `read` when
 * one comes, having reaped the orphan; bash ignores it, so the kernel reaps. A failed `read` may thus be a signal or the
 * end of the runner: only in the latter does `echo` fail too. Nothing but builtins: no process of its own to wait for.
 */
export const init = `test $$ -eq 1 || exit 1; trap '' CHLD; echo r; while :; do if read -r order; then case $order in
t) kill -TERM -1; kill -CONT -1;;
p) if kill -0 -1; then echo b; else echo e; fi;;
x) exit 0;;
esac; else echo i || exit 0; fi; done 2>/dev/null`

/** `root`: we may create namespaces. `user`: only inside a user namespace of our own. */
export type Privilege = "root" | "user"

interface Tools {
  readonly setpriv: string
  readonly unshare: string
  readonly nsenter: string
  readonly setsid: string
}

/** Supervisors are found where the system keeps them, never on a PATH that someone else may have set. */
const tool = (name: string): string | undefined =>
  ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/run/current-system/sw/bin"]
    .map((directory) => `${directory}/${name}`)
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })

export const tools = (): Tools | undefined => {
  const [setpriv, unshare, nsenter, setsid] = ["setpriv", "unshare", "nsenter", "setsid"].map(tool)
  return setpriv && unshare && nsenter && setsid ? { setpriv, unshare, nsenter, setsid } : undefined
}

const mortal = ["--pdeathsig", "KILL", "--"]

/** The host's processes that live in a PID namespace, by its `pid:[…]` link. */
const inhabitants = (link: string): number =>
  readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readlinkSync(`/proc/${name}/ns/pid`) === link
    } catch {
      return false
    }
  }).length

export const make = (tools: Tools, privilege: Privilege): Backend => {
  const user = privilege === "user"
  const holderArgs = [
    ...[...mortal, tools.unshare],
    ...(user ? ["--user", "--map-root-user"] : []),
    ...["--pid", "--fork", "--kill-child=KILL", "--", "/bin/sh", "-c", init]
  ]
  const commandPrefix = (holder: number): ReadonlyArray<string> => [
    ...[...mortal, tools.nsenter],
    ...(user ? [`--user=/proc/${holder}/ns/user`, "--preserve-credentials"] : []),
    ...[`--pid=/proc/${holder}/ns/pid_for_children`, "--", tools.setsid, "--"],
    // In a mount namespace of its own, or the new /proc would be everybody's; the working directory stays the same.
    ...[tools.unshare, "--mount", "--mount-proc", "--"],
    // Mounting took the rights of a (mapped) root: the command gets back the ids that the runner has.
    ...(user
      ? [tools.unshare, "--user", `--map-user=${process.getuid!()}`, `--map-group=${process.getgid!()}`, "--"]
      : [])
  ]

  const nest = (holder: ChildProcess): Nest => {
    let listener: ((answer: string) => void) | undefined
    let started = false
    let command: ChildProcess | undefined
    let link: string | undefined
    const isolated = () => {
      try {
        link = readlinkSync(`/proc/${holder.pid}/ns/pid_for_children`)
        return link !== readlinkSync("/proc/self/ns/pid")
      } catch {
        // It has ended meanwhile.
        return false
      }
    }
    holder.stdin!.on("error", () => {})
    holder.stdout!.setEncoding("latin1").on("data", (answers: string) => {
      if (answers.includes("r")) started = true
      for (const answer of answers) listener?.(answer)
    })
    const order = (letter: "t" | "p" | "x") => void (holder.stdin!.writable && holder.stdin!.write(`${letter}\n`))
    // nsenter stops with a stopped command, and nobody else can reap that.
    const proceed = () => void (command && !ended(command) && command.kill("SIGCONT"))
    const exitOf = (child: ChildProcess, limitMs: number) =>
      within<boolean>((done) => (ended(child) ? done(true) : child.once("exit", () => done(true))), limitMs, false)
    return {
      ready: within<boolean>(
        (done) => {
          if (started) return done(true)
          listener = (answer) => answer === "r" && done(true)
          holder.once("exit", () => done(false))
        },
        10_000,
        false
      ).pipe(
        Effect.flatMap((up) =>
          up && isolated()
            ? Effect.void
            : new SpawnFailed({
                command: "unshare",
                reason: "its PID namespace did not come up: the system may be overloaded"
              })
        )
      ),
      enter: (file, args) => [tools.setpriv, [...commandPrefix(holder.pid!), file, ...args]],
      entered: (child) => {
        command = child
      },
      terminate: Effect.sync(() => {
        order("t")
        proceed()
      }),
      empty: within<boolean>(
        (done) => {
          if (ended(holder)) return done(true)
          listener = (answer) => (answer === "e" || answer === "b") && done(answer === "e")
          order("p")
        },
        100,
        false
      ),
      destroy: Effect.gen(function* () {
        proceed()
        order("x")
        if (!(yield* exitOf(holder, 150))) {
          // pid 1 was stopped from outside, or is starved: its parent's death is its own.
          holder.kill("SIGKILL")
          if (command && !ended(command)) command.kill("SIGKILL")
          const gone = Effect.sync(() => ended(holder) && (link === undefined || inhabitants(link) === 0))
          if (!(yield* poll(gone, 5_000))) {
            yield* Effect.logError("processes in a PID namespace cannot be killed: the kernel holds them", { link })
          }
        }
        if (command && !(yield* exitOf(command, 500))) {
          command.kill("SIGKILL")
          yield* exitOf(command, 500)
        }
      })
    }
  }

  return {
    kind: "namespace",
    open: (marker) => {
      let opened: Nest
      return launch(
        "unshare",
        [tools.setpriv, holderArgs],
        { detached: true, stdio: ["pipe", "pipe", "ignore"], env: { [markerName]: marker }, cwd: "/" },
        (holder) => {
          opened = nest(holder)
        }
      ).pipe(Effect.map(() => opened))
    }
  }
}
