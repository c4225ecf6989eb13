/**
 * Whether an agent goes round in circles. Pure: what was called and what came of it goes in, a verdict comes out.
 *
 * A *round* is one answer of the model with its calls and their results. Three kinds are found, by default within:
 *
 * | kind | what | told after | stopped after |
 * |---|---|---|---|
 * | `repeat` | the same round again and again | 5 rounds | 10 |
 * | `cycle` | two, three or four rounds in turns | 3 times all of them | 6 times |
 * | `stale` | only calls whose very results are known | 12 rounds | 24 |
 *
 * The model is told first; if it goes on, the turn is stopped, or somebody is asked. What it remembers is bounded: hashes of
 * the last 64 rounds and of the last 128 calls, anew for each turn.
 */
import type { LoopKind } from "../domain/Entry.ts"
import type { Json } from "../domain/Json.ts"
import { flawOfKeys, flawOfWord, refuse } from "./internal/given.ts"

/** What an agent says of loops. Numbers are of rounds. */
export interface Options {
  /** The same round so often in a row. 5 unless told. */
  readonly repeat?: number | undefined
  /** Two to four rounds in turns, so often. 3 unless told. */
  readonly cycle?: number | undefined
  /** So many rounds without anything new. 12 unless told. */
  readonly stale?: number | undefined
  /** How often the model is told, before that is what `then` says. Once unless told; 0: never. */
  readonly nudges?: number | undefined
  /** `stop` ends the turn as `Looped`, `ask` pauses it until somebody decides. `stop` unless told. */
  readonly then?: "stop" | "ask" | undefined
  /** Tools that may be called again and again, such as those that wait for something. */
  readonly ignore?: ReadonlyArray<string> | undefined
}

export interface Settings {
  readonly repeat: number
  readonly cycle: number
  readonly stale: number
  readonly nudges: number
  readonly then: "stop" | "ask"
  readonly ignore: ReadonlySet<string>
}

export const defaults: Settings = { repeat: 5, cycle: 3, stale: 12, nudges: 1, then: "stop", ignore: new Set() }

const remembered = { rounds: 64, calls: 128 } as const
const longestCycle = 4

/** @throws where a number or a word cannot work: a definition fails where it is written */
export const resolve = (agent: string, options: Options | false | undefined): Settings | null => {
  if (options === false) return null
  refuse(agent, [
    flawOfKeys("loops", options, Object.keys(defaults)),
    flawOfWord("loops.then", options?.then, ["stop", "ask"])
  ])
  const given = Object.fromEntries(Object.entries(options ?? {}).filter(([, value]) => value !== undefined))
  const settings: Settings = { ...defaults, ...given, ignore: new Set(options?.ignore ?? []) }
  const least = { repeat: 2, cycle: 2, stale: 2, nudges: 0 }
  const most = { repeat: remembered.rounds, cycle: remembered.rounds / longestCycle, stale: 10_000, nudges: 1_000 }
  for (const name of ["repeat", "cycle", "stale", "nudges"] as const) {
    const value = settings[name]
    if (Number.isInteger(value) && value >= least[name] && value <= most[name]) continue
    throw new Error(`agent "${agent}": loops.${name} must be from ${least[name]} to ${most[name]}, not ${value}`)
  }
  return settings
}

/** What is remembered of a turn's rounds, plain JSON. */
export interface Memory {
  /** Hashes of the last rounds since the model was told, the newest last. */
  readonly rounds: ReadonlyArray<number>
  /** Hashes of calls with their results. */
  readonly known: ReadonlyArray<number>
  /** How many rounds in a row had nothing new. */
  readonly stale: number
  /** How many rounds there were since the model was told. */
  readonly since: number
  /** How often it was told. */
  readonly nudges: number
}

export const empty: Memory = { rounds: [], known: [], stale: 0, since: 0, nudges: 0 }

/** 53 bits of a text: for telling apart, not for secrets (cyrb53). */
const hash = (text: string, seed = 0): number => {
  let a = 0xdeadbeef ^ seed
  let b = 0x41c6ce57 ^ seed
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    a = Math.imul(a ^ c, 2654435761)
    b = Math.imul(b ^ c, 1597334677)
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)
  return 4294967296 * (2097151 & b) + (a >>> 0)
}

/** The same text for the same value, in whatever order its keys come. */
const canonical = (value: Json): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const keys = Object.keys(value).sort()
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical((value as Record<string, Json>)[key]!)}`).join()}}`
}

/** One call and what came of it. */
export interface Called {
  readonly name: string
  readonly params: Json
  readonly result: Json
  readonly isError: boolean
}

/** Takes a round in. One whose calls are all to be ignored is none. */
export const push = (memory: Memory, calls: ReadonlyArray<Called>): Memory => {
  const hashes: Array<number> = []
  for (const { isError, name, params, result } of calls) {
    hashes.push(hash(`${name}\n${isError}\n${canonical(params)}\n${JSON.stringify(result)}`))
  }
  if (hashes.length === 0) return memory
  const fresh = hashes.filter((one) => !memory.known.includes(one))
  const round = hashes.length === 1 ? hashes[0]! : hash(hashes.sort((a, b) => a - b).join())
  return {
    rounds: [...memory.rounds.slice(1 - remembered.rounds), round],
    known: fresh.length === 0 ? memory.known : [...memory.known, ...fresh].slice(-remembered.calls),
    stale: fresh.length === 0 ? memory.stale + 1 : 0,
    since: memory.since + 1,
    nudges: memory.nudges
  }
}

/** The model was told, for the n-th time: it is given another chance. */
export const told = (memory: Memory, nudges: number): Memory => ({ ...memory, rounds: [], stale: 0, since: 0, nudges })

/** A loop, and for how many rounds it has been going on. */
export interface Loop {
  readonly loop: LoopKind
  readonly rounds: number
}

const isPeriodic = (rounds: ReadonlyArray<number>, period: number, length: number): boolean => {
  if (rounds.length < length) return false
  for (let i = rounds.length - length + period; i < rounds.length; i++) {
    if (rounds[i] !== rounds[i - period]) return false
  }
  return true
}

export const find = ({ rounds, stale }: Memory, settings: Settings): Loop | null => {
  if (isPeriodic(rounds, 1, settings.repeat)) return { loop: "repeat", rounds: settings.repeat }
  for (let period = 2; period <= longestCycle; period++) {
    const length = period * settings.cycle
    // What repeats is no cycle yet: it has a limit of its own.
    if (isPeriodic(rounds, period, length) && !isPeriodic(rounds, 1, period)) return { loop: "cycle", rounds: length }
  }
  return stale >= settings.stale ? { loop: "stale", rounds: stale } : null
}

/** What to do now: tell the model for the n-th time, or what comes after that. */
export type Verdict = Loop &
  ({ readonly action: "nudge"; readonly nudges: number } | { readonly action: "stop" | "ask" })

export const judge = (memory: Memory, settings: Settings): Verdict | null => {
  const loop = find(memory, settings)
  if (loop === null) return null
  // A loop goes on at once, or it is another one.
  const isAnother = memory.since > 2 * Math.max(settings.repeat, longestCycle * settings.cycle, settings.stale)
  const nudges = isAnother ? 0 : memory.nudges
  return nudges < settings.nudges
    ? { ...loop, action: "nudge", nudges: nudges + 1 }
    : { ...loop, action: settings.then }
}

const what: Readonly<Record<LoopKind, string>> = {
  repeat: "made the same tool call with the same result",
  cycle: "repeated the same few tool calls with the same results",
  stale: "made only tool calls whose results you already had"
}

/** What the model is told. */
export const nudge = ({ loop, rounds }: Loop): string =>
  `[Note from the runtime] In your last ${rounds} answers you ${what[loop]}. Doing it again will not change anything. Try something else, or conclude with what you have and say what is missing. If you go on like this, you will be stopped.`
