/**
 * The witness of I7, from outside: which processes of the machine still bear a marker.
 *
 * A marker is any text that a test puts into the environment or the arguments of what it starts. Inhabitants of PID
 * namespaces are seen too, by the pids that they have outside.
 */
import { readdirSync, readFileSync } from "node:fs"
import { Effect } from "effect"

export interface Alive {
  readonly pid: number
  readonly cmdline: string
}

const read = (pid: number, name: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8")
  } catch {
    return ""
  }
}

const scan = (marker: string): ReadonlyArray<Alive> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid)
    .flatMap((pid) => {
      const cmdline = read(pid, "cmdline").replaceAll("\0", " ").trim()
      // A zombie has neither: it is dead.
      return cmdline.includes(marker) || read(pid, "environ").includes(marker) ? [{ pid, cmdline }] : []
    })

/** The processes whose environment or command line contains `marker`, this one left out. */
export const alive = (marker: string): Effect.Effect<ReadonlyArray<Alive>> => Effect.sync(() => scan(marker))

/**
 * What is still alive `withinMs` from now (default: I7's second): empty as soon as nothing is. Compare it with `[]`, so
 * that a failing test shows the survivors.
 */
export const survivors = (marker: string, withinMs = 1000): Effect.Effect<ReadonlyArray<Alive>> =>
  Effect.promise(async () => {
    const deadline = performance.now() + withinMs
    for (;;) {
      const left = scan(marker)
      if (left.length === 0 || performance.now() >= deadline) return left
      await new Promise((done) => setTimeout(done, 10))
    }
  })

/** Waits until at least `count` processes bear the marker, so that a test does not kill what has not begun. */
export const appeared = (marker: string, count: number, withinMs = 10_000): Effect.Effect<ReadonlyArray<Alive>> =>
  Effect.promise(async () => {
    const deadline = performance.now() + withinMs
    for (;;) {
      const now = scan(marker)
      if (now.length >= count) return now
      if (performance.now() >= deadline) {
        throw new Error(`${now.length} of ${count} processes bear ${marker}: ${JSON.stringify(now)}`)
      }
      await new Promise((done) => setTimeout(done, 10))
    }
  })
