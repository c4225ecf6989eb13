/** What clients do, as data: which sessions there are, who says what to them when, and who reads along. */
import type { WhenBusy } from "../../../domain/Entry.ts"
import type { Pools } from "../../../session/index.ts"
import type { Prng } from "./Prng.ts"

/** One command of a session. */
export interface Planned {
  /** The command's id. */
  readonly id: string
  /** When it is sent for the first time, in milliseconds from the begin of the run. */
  readonly at: number
  readonly kind: "Send" | "Interrupt" | "Cancel" | "Raise" | "Settle" | "Revive" | "Discard"
  /** What is said; of a raise, the amounts as JSON; of a verdict, `[step, verdict, result]` as JSON. */
  readonly text?: string | undefined
  readonly whenBusy?: WhenBusy | undefined
}

export interface PlannedSession {
  readonly id: string
  /** The agent's name. */
  readonly agent: string
  /** In the order of their times. */
  readonly commands: ReadonlyArray<Planned>
  /** How many follow its feed. One unless told. */
  readonly readers?: number | undefined
}

/** A runner beside those that a run has anyway: one that has something. */
export interface PlannedHost {
  /** When it comes, in milliseconds from the begin of the run. */
  readonly at: number
  /** What it has, and others may not. */
  readonly tags: ReadonlyArray<string>
  /** How many steps run at once there, by pool. */
  readonly pools?: Pools.Sizes | undefined
  /** Whether it takes sessions too. */
  readonly takesSessions: boolean
}

export interface Plan {
  readonly sessions: ReadonlyArray<PlannedSession>
  readonly hosts?: ReadonlyArray<PlannedHost> | undefined
}

/** Chance, as a workload is given it. */
export type Chance = Pick<Prng, "int" | "next" | "chance" | "pick">

/** Makes a plan by chance. */
export type Workload = (chance: Chance) => Plan

/** One session or two an agent, a few messages each, now and then stopped. */
export const usual =
  (agents: ReadonlyArray<{ readonly name: string }>): Workload =>
  (chance) => ({
    sessions: agents.flatMap(({ name }) =>
      Array.from({ length: chance.int(1, 2) }, (_, n) => ({
        id: `${name}-${n + 1}`,
        agent: name,
        readers: chance.int(0, 2),
        commands: commands(chance)
      }))
    )
  })

const commands = (chance: Chance): ReadonlyArray<Planned> => {
  let at = chance.int(0, 2_000)
  return Array.from({ length: chance.int(1, 4) }, (_, n): Planned => {
    at += chance.int(0, 3_000)
    const id = `c${n + 1}`
    if (n > 0 && chance.chance(0.15)) return { id, at, kind: "Interrupt" }
    if (n > 0 && chance.chance(0.08)) return { id, at, kind: "Cancel" }
    const whenBusy = chance.pick(["enqueue", "enqueue", "interrupt", "reject"] as const)
    return { id, at, kind: "Send", text: `message ${n + 1}`, whenBusy }
  })
}
