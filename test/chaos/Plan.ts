/** What goes wrong, as data: drawn from a seed, printed, replayed, shortened. */
import type { Prng } from "../../src/testing/internal/sim/Prng.ts"
import type { Mood } from "./Provider.ts"

/** `runner` and `n` are turned into one of those that are there when it is due. Times are in milliseconds. */
export type What =
  /** kill -9; the orchestrator starts another one `downMs` later. */
  | { readonly _tag: "Kill"; readonly runner: number; readonly downMs: number }
  | { readonly _tag: "KillTwo"; readonly runner: number; readonly downMs: number }
  /** SIGSTOP, SIGCONT. */
  | { readonly _tag: "Stop"; readonly runner: number; readonly ms: number }
  /** A deploy: SIGTERM, and another one. */
  | { readonly _tag: "Deploy"; readonly runner: number }
  | { readonly _tag: "ScaleUp" }
  | { readonly _tag: "ScaleDown"; readonly runner: number }
  /** Postgres crashes and starts again. */
  | { readonly _tag: "DbRestart" }
  /** A share of the backends is ended. */
  | { readonly _tag: "DbBackends"; readonly share: number }
  /** All processes of Postgres stand still. */
  | { readonly _tag: "DbFreeze"; readonly ms: number }
  /** Between one runner and Postgres. */
  | { readonly _tag: "DbSlow"; readonly runner: number; readonly latencyMs: number; readonly ms: number }
  | { readonly _tag: "DbDeaf"; readonly runner: number; readonly ms: number }
  | { readonly _tag: "DbForgets"; readonly runner: number }
  | { readonly _tag: "DbCut"; readonly runner: number }
  /** Commits whose acknowledgement is lost. */
  | { readonly _tag: "AcksLost"; readonly runner: number; readonly count: number }
  /** Between one runner and all who ask it. */
  | { readonly _tag: "PeerSlow"; readonly runner: number; readonly latencyMs: number; readonly ms: number }
  | { readonly _tag: "PeerDeaf"; readonly runner: number; readonly ms: number }
  | { readonly _tag: "PeerCut"; readonly runner: number }
  /** The provider has a bad time. */
  | { readonly _tag: "Provider"; readonly mood: Mood; readonly ms: number }
  /** A tool's process is killed by somebody else. */
  | { readonly _tag: "ChildKilled"; readonly n: number }
  /** kill -9 of the process of clients, which comes back. */
  | { readonly _tag: "ClientKilled"; readonly downMs: number }

export type Fault = What & { readonly at: number }

const moods: ReadonlyArray<Mood> = ["limited", "overloaded", "failing", "cutting", "silent", "down"]

const kinds: Readonly<Record<What["_tag"], (random: Prng, longestMs: number) => What>> = {
  Kill: (random) => ({ _tag: "Kill", runner: random.int(0, 9), downMs: random.int(100, 2000) }),
  KillTwo: (random) => ({ _tag: "KillTwo", runner: random.int(0, 9), downMs: random.int(100, 2000) }),
  Stop: (random, longestMs) => ({ _tag: "Stop", runner: random.int(0, 9), ms: random.int(300, longestMs) }),
  Deploy: (random) => ({ _tag: "Deploy", runner: random.int(0, 9) }),
  ScaleUp: () => ({ _tag: "ScaleUp" }),
  ScaleDown: (random) => ({ _tag: "ScaleDown", runner: random.int(0, 9) }),
  DbRestart: () => ({ _tag: "DbRestart" }),
  DbBackends: (random) => ({ _tag: "DbBackends", share: random.pick([0.3, 1]) }),
  DbFreeze: (random, longestMs) => ({ _tag: "DbFreeze", ms: random.int(200, longestMs) }),
  DbSlow: (random, longestMs) => ({
    _tag: "DbSlow",
    runner: random.int(0, 9),
    latencyMs: random.pick([5, 50, 300]),
    ms: random.int(1000, longestMs)
  }),
  DbDeaf: (random, longestMs) => ({ _tag: "DbDeaf", runner: random.int(0, 9), ms: random.int(300, longestMs) }),
  DbForgets: (random) => ({ _tag: "DbForgets", runner: random.int(0, 9) }),
  DbCut: (random) => ({ _tag: "DbCut", runner: random.int(0, 9) }),
  AcksLost: (random) => ({ _tag: "AcksLost", runner: random.int(0, 9), count: random.int(1, 4) }),
  PeerSlow: (random, longestMs) => ({
    _tag: "PeerSlow",
    runner: random.int(0, 9),
    latencyMs: random.pick([5, 50, 300]),
    ms: random.int(1000, longestMs)
  }),
  PeerDeaf: (random, longestMs) => ({ _tag: "PeerDeaf", runner: random.int(0, 9), ms: random.int(300, longestMs) }),
  PeerCut: (random) => ({ _tag: "PeerCut", runner: random.int(0, 9) }),
  Provider: (random, longestMs) => ({ _tag: "Provider", mood: random.pick(moods), ms: random.int(500, longestMs) }),
  ChildKilled: (random) => ({ _tag: "ChildKilled", n: random.int(0, 9) }),
  ClientKilled: (random) => ({ _tag: "ClientKilled", downMs: random.int(100, 3000) })
}

export const allKinds = Object.keys(kinds) as ReadonlyArray<What["_tag"]>

export interface Shape {
  readonly kinds: ReadonlyArray<What["_tag"]>
  readonly count: number
  /** The faults come between these. */
  readonly fromMs: number
  readonly untilMs: number
  /** No fault that passes by itself takes longer. */
  readonly longestMs: number
}

/** Each kind as often as the others, in an order of chance, at about even distances. */
export const draw = (
  random: Prng,
  { count, fromMs, kinds: wanted, longestMs, untilMs }: Shape
): ReadonlyArray<Fault> => {
  const bag: Array<What["_tag"]> = []
  const gap = (untilMs - fromMs) / count
  return Array.from({ length: count }, (_, i) => {
    if (bag.length === 0) bag.push(...wanted)
    const [kind] = bag.splice(random.int(0, bag.length - 1), 1)
    return { ...kinds[kind!](random, longestMs), at: Math.round(fromMs + gap * (i + random.next() * 0.8)) }
  })
}
