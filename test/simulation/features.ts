/** What clients ask of the agents here: anything, or one feature at a time. */
import type { Plan, Planned, PlannedHost, PlannedSession, Workload } from "../../src/testing/internal/sim/Workload.ts"
import { far, type Named, type ToolName } from "./agents.ts"

type Chance = Parameters<Workload>[0]
type Script = ReadonlyArray<ReadonlyArray<Named>>

const all: ReadonlyArray<ToolName> = [
  ...([
    "book",
    "book",
    "slow",
    "break",
    "shell",
    "serve",
    "pay",
    "pay",
    "stages",
    "look",
    "look",
    "hang",
    "reserve"
  ] as const)
]

const clerks = ["clerk", "clerk", "clerk", "clerk"] as const

const script = (chance: Chance, from: ReadonlyArray<Named>): Script =>
  Array.from({ length: chance.int(0, 3) }, () => Array.from({ length: chance.int(1, 3) }, () => chance.pick(from)))

const said = (script: Script): string => JSON.stringify(script)

const send = (id: string, at: number, script: Script, whenBusy: Planned["whenBusy"] = "enqueue"): Planned => ({
  id,
  at,
  kind: "Send",
  text: said(script),
  whenBusy
})

const settle = (id: string, at: number, step: string, ...verdict: ReadonlyArray<string>): Planned => ({
  id,
  at,
  kind: "Settle",
  text: JSON.stringify([step, ...verdict])
})

const raise = (id: string, at: number, by: object): Planned => ({ id, at, kind: "Raise", text: JSON.stringify(by) })

const session = (chance: Chance, id: string, agent: string): PlannedSession => {
  // Whoever has no limit of time must not call what never ends.
  const from: ReadonlyArray<Named> =
    agent === "patient" || agent === "careful"
      ? all.filter((name) => name !== "hang")
      : agent === "boss"
        ? [...all, ...clerks]
        : all
  let at = chance.int(0, 2_000)
  const commands = Array.from({ length: chance.int(1, 4) }, (_, n): Planned => {
    at += chance.int(0, 4_000)
    if (n > 0 && chance.chance(0.2)) return { id: `c${n}`, at, kind: "Interrupt" }
    if (n > 0 && chance.chance(0.1)) return { id: `c${n}`, at, kind: "Cancel" }
    if (agent === "boss" && chance.chance(0.2)) return raise(`c${n}`, at, { tokens: chance.int(20, 200) })
    return send(`c${n}`, at, script(chance, from), chance.pick(["enqueue", "enqueue", "interrupt", "reject"] as const))
  })
  return { id, agent, commands, readers: chance.int(0, 2) }
}

const host = (at: number, takesSessions: boolean, slots = 1): PlannedHost => ({
  at,
  tags: [far],
  pools: { heavy: slots },
  takesSessions
})

/** Takes no sessions: what runs there has come from another runner. */
const elsewhere = host(0, false)

/** Whoever has what others lack: one or two, sometimes only after a while. */
const hosts = (chance: Chance): ReadonlyArray<PlannedHost> => {
  const later = () => host(chance.int(500, 6_000), chance.chance(0.3), chance.int(1, 2))
  const now = () => ({ ...later(), at: 0 })
  return chance.pick([() => [now()], () => [now(), now()], () => [now(), later()], () => [later()]])()
}

/** One whose tools run elsewhere, and who is stopped more often than others are. */
const errands = (chance: Chance, id: string): PlannedSession => {
  let at = chance.int(0, 2_000)
  const commands = Array.from({ length: chance.int(1, 4) }, (_, n): Planned => {
    at += chance.int(0, 3_000)
    if (n > 0 && chance.chance(0.3)) return { id: `c${n}`, at, kind: "Interrupt" }
    if (n > 0 && chance.chance(0.1)) return { id: `c${n}`, at, kind: "Cancel" }
    const from = [...all, "large"] as const
    return send(`c${n}`, at, script(chance, from), chance.pick(["enqueue", "enqueue", "interrupt"] as const))
  })
  return { id, agent: "remote", commands, readers: chance.int(0, 1) }
}

/** Tools that run on another runner than their session. */
const errand: Workload = (chance) => ({
  sessions: Array.from({ length: chance.int(1, 3) }, (_, n) => errands(chance, `e${n + 1}`)),
  hosts: hosts(chance)
})

/** A few sessions that do anything; in one run of five also errands. */
export const mixed: Workload = (chance) => {
  const sessions = Array.from({ length: chance.int(1, 4) }, (_, n) =>
    session(chance, `s${n + 1}`, chance.pick(["busy", "busy", "busy", "frugal", "patient", "boss", "careful"]))
  )
  // Drawn last: runs without errands are what they were before there were any.
  return chance.chance(0.2) ? { sessions: [...sessions, errands(chance, "e1")], hosts: hosts(chance) } : { sessions }
}

const one = (commands: ReadonlyArray<Planned>, agent = "busy"): Plan => ({
  sessions: [{ id: "s", agent, commands, readers: 1 }]
})

/** Small ones, each of one feature: for what is tried exhaustively. */
const small = {
  /** A tool that may not be repeated. */
  book: () => one([send("m", 0, [["book"]])]),
  /** One that may, with its key; and one that saves how far it is. */
  pay: () => one([send("m", 0, [["pay", "stages"]])]),
  /** A message that waits behind a turn, and one that ends it. */
  queue: () => one([send("a", 0, [["slow"]]), send("b", 50, [["look"]]), send("c", 2_500, [], "interrupt")]),
  /** A turn that is interrupted, and its OS process with it. */
  interrupt: () => one([send("m", 0, [["serve", "hang"]]), { id: "i", at: 3_000, kind: "Interrupt" }]),
  /** A session that is cancelled in a turn. */
  cancel: () => one([send("m", 0, [["hang", "book"]]), { id: "x", at: 3_000, kind: "Cancel" }]),
  /** A limit that is met, and a timer that ends a turn. */
  limits: () =>
    one([send("m", 0, [["look", "look"], ["look", "look"], ["look"]]), send("n", 100, [["hang"]])], "frugal"),
  /** Agents that work for another from one budget, which somebody raises while it waits for that. */
  family: () =>
    one(
      [
        send("m", 0, [["clerk", "clerk", "book"], ["clerk", "look"], ["clerk"]]),
        raise("r", 6_000, { tokens: 150 }),
        send("n", 7_000, [["clerk", "clerk", "clerk"]])
      ],
      "boss"
    ),
  /** A parent that is cancelled while its children work. */
  orphans: () => one([send("m", 0, [["clerk", "clerk"]]), { id: "x", at: 2_500, kind: "Cancel" }], "boss"),
  /** A tool that may not be repeated, and of which it can be found out what became of it. */
  reconcile: () => one([send("m", 0, [["reserve", "reserve"], ["reserve"]])]),
  /** A step in doubt that waits for somebody's word, or comes too late for it. */
  doubt: () =>
    one(
      [
        send("m", 0, [["slow"]]),
        settle("v1", 3_500, "2", "happened", "it slept"),
        settle("v2", 12_000, "2", "did not happen")
      ],
      "careful"
    ),
  /** A tool that may not be repeated, and is tried again because nothing of it was sent. */
  refused: () => one([send("m", 0, [["ring"]])]),
  /** Tools that run on another runner: one that may be repeated and one that may not, then one that is interrupted. */
  away: () => ({
    ...one(
      [send("m", 0, [["book", "pay"]]), send("n", 0, [["serve"]]), { id: "i", at: 4_000, kind: "Interrupt" }],
      "remote"
    ),
    hosts: [elsewhere]
  }),
  /** Content that is too large for a row. */
  large: () => one([send("m", 0, [["large"], ["book"]])])
} satisfies Record<string, Workload>

/** Those that take their time. */
const long = {
  errand,
  /** What ends its runner each time, is tried once more, and given up. */
  poison: () =>
    one(
      [
        send("m", 0, [["poison"]]),
        send("n", 500, [["look"]]),
        { id: "r", at: 90_000, kind: "Revive" },
        { id: "d", at: 150_000, kind: "Discard" }
      ],
      "patient"
    )
} satisfies Record<string, Workload>

export type Feature = keyof typeof small | keyof typeof long

/** By name: one feature each. */
export const features: Readonly<Record<Feature, Workload>> = { ...small, ...long }

/** The names of those that are small enough to be tried exhaustively. */
export const smallOnes = Object.keys(small) as ReadonlyArray<Feature>
