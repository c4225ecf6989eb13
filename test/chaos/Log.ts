/**
 * What was seen from outside, as happenings of a `History` (the simulator's), each at a time of the machine's clock.
 *
 * All processes and Postgres share that clock, but Node reads it in whole milliseconds. So what *follows* from something
 * (an acknowledgement, an entry read, an attempt that begins) is written down a millisecond late, and what *leads* to
 * something (a command sent, an effect had) as early as it was: nothing that was in order looks out of order.
 */
import { appendFileSync, readFileSync } from "node:fs"
import type { Happened, Happening } from "../../src/testing/internal/sim/History.ts"

const follows: ReadonlySet<Happening["_tag"]> = new Set(["Acked", "Refused", "Read", "Began"])

export interface Log {
  /** @param at when it was, where that is not now */
  readonly record: (happening: Happening, at?: number) => void
  readonly events: () => ReadonlyArray<Happened>
}

const stamp = (happening: Happening, at = Date.now() + (follows.has(happening._tag) ? 1 : 0)): Happened =>
  ({ ...happening, at }) as Happened

export const memory = (): Log => {
  const events: Array<Happened> = []
  return { record: (happening, at) => void events.push(stamp(happening, at)), events: () => events }
}

/** The lines of a file that may end in half of one: its writer was killed. */
export const read = (path: string): ReadonlyArray<Happened> => {
  let text = ""
  try {
    text = readFileSync(path, "utf8")
  } catch {
    return []
  }
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Happened]))
}

/** A line each, in the file before `record` returns: what a process has written survives its kill. */
export const file = (path: string): Log => ({
  record: (happening, at) => appendFileSync(path, `${JSON.stringify(stamp(happening, at))}\n`),
  events: () => read(path)
})
