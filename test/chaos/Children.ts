/** The OS processes that steps have started, seen from outside: by their mark in `/proc`. */
import { readdirSync, readFileSync } from "node:fs"
import { markOf } from "./agent.ts"
import type { Log } from "./Log.ts"

interface Child {
  /** Ours: a pid is used again. */
  readonly id: number
  readonly pid: number
  readonly started: string
  seenAt: number
}

const read = (pid: number, name: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "latin1")
  } catch {
    return ""
  }
}

const startOf = (pid: number): string => {
  const stat = read(pid, "stat")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  // A zombie is dead.
  return fields[0] === "Z" ? "" : (fields[19] ?? "")
}

export class Children {
  readonly #alive = new Map<number, Child>()
  /** Of processes that bear no mark. Whatever a process of ours is before it bears its own is looked at again. */
  readonly #others = new Map<number, { readonly started: string; looks: number }>()
  readonly #mark: string
  readonly #timer: NodeJS.Timeout
  #ids = 0

  /** @param everyMs how often it looks: what lives for less is not seen */
  constructor(
    run: string,
    readonly log: Log,
    everyMs: number
  ) {
    this.#mark = `MARK=${markOf(run, [])}`
    this.#timer = setInterval(() => this.look(), everyMs)
  }

  get born(): number {
    return this.#ids
  }

  get ids(): ReadonlyArray<number> {
    return [...this.#alive.values()].map(({ id }) => id)
  }

  look(): void {
    const now = Date.now()
    for (const [pid, child] of this.#alive) {
      if (startOf(pid) === child.started) {
        child.seenAt = now
        continue
      }
      this.#alive.delete(pid)
      // It was alive when it was last seen: nobody can say more.
      this.log.record({ _tag: "ProcessDied", pid: child.id }, child.seenAt)
    }
    const pids = new Set<number>()
    for (const name of readdirSync("/proc")) {
      const pid = Number(name)
      if (!Number.isInteger(pid)) continue
      pids.add(pid)
      if (this.#alive.has(pid)) continue
      const started = startOf(pid)
      const other = this.#others.get(pid)
      if (started === "" || (other?.started === started && other.looks > 3)) continue
      const environment = read(pid, "environ")
      const from = environment.indexOf(this.#mark)
      if (from < 0) {
        this.#others.set(pid, { started, looks: other?.started === started ? other.looks + 1 : 1 })
        continue
      }
      const [, process, session, step, attempt] = environment.slice(from).split("\0", 1)[0]!.split("|")
      const id = ++this.#ids
      this.#alive.set(pid, { id, pid, started, seenAt: now })
      this.log.record({
        _tag: "ProcessBorn",
        pid: id,
        process: process!,
        session: `default/${session}`,
        step: step!,
        attempt: Number(attempt)
      })
    }
    for (const pid of this.#others.keys()) if (!pids.has(pid)) this.#others.delete(pid)
  }

  /** One of them, by a number of one's choice; `null`: there is none, or it has just ended by itself. */
  kill(n: number): number | null {
    this.look()
    const pids = [...this.#alive.values()].map(({ pid }) => pid)
    const pid = pids[n % Math.max(1, pids.length)]
    if (pid === undefined) return null
    try {
      process.kill(pid, "SIGKILL")
      return pid
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ESRCH") return null
      throw cause
    }
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
