/**
 * While the loop of a world runs, the machine's clock and chance are the world's: Effect itself asks them in a few places
 * (Snowflake, Hash, fibers' start times), and users' tools may. The loop is synchronous, so nobody else can notice.
 *
 * Timers of the machine never fire in it. Whoever asks for one would wait for ever, and is told by name.
 */
import { GlobalValue } from "effect"
import type { Prng } from "./Prng.ts"

/** Somebody asked the real machine to be woken. */
export interface Stray {
  readonly what: string
  /** Where, as a stack. */
  readonly where: string
}

const names = ["setTimeout", "setInterval", "setImmediate", "queueMicrotask"] as const

/** The fibers that Effect keeps alive by itself: those of killed processes never end and would stay for ever. */
const roots = (): Set<unknown> => {
  const scope = GlobalValue.globalValue<{ readonly roots?: Set<unknown> }>(
    Symbol.for("effect/FiberScope/Global"),
    () => ({})
  )
  return scope.roots ?? new Set()
}

/**
 * Runs something synchronous in a world's time.
 *
 * @param now milliseconds since the epoch
 * @param stray is called for each wish to be woken by the real machine
 */
export const within = <A>(now: () => number, random: Prng, stray: (stray: Stray) => void, f: () => A): A => {
  const machine = globalThis as unknown as Record<string, unknown>
  const before = new Map(names.map((name) => [name, machine[name]]))
  const dateNow = Date.now
  const mathRandom = Math.random
  const living = new Set(roots())
  // Most errors of a run are expected, and where they come from is much work to tell.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  for (const name of names) {
    machine[name] = (_: unknown, milliseconds?: number) => {
      // `Effect.never` keeps a real process alive so; nobody waits for it.
      if (name !== "setInterval" || milliseconds !== 2 ** 31 - 1) {
        Error.stackTraceLimit = stackTraceLimit
        stray({ what: name, where: new Error(name).stack ?? "" })
        Error.stackTraceLimit = 0
      }
      return { unref: () => {}, ref: () => {}, hasRef: () => false }
    }
  }
  Date.now = () => Math.floor(now())
  Math.random = () => random.next()
  try {
    return f()
  } finally {
    for (const [name, value] of before) machine[name] = value
    Date.now = dateNow
    Math.random = mathRandom
    Error.stackTraceLimit = stackTraceLimit
    for (const root of [...roots()]) if (!living.has(root)) roots().delete(root)
  }
}
