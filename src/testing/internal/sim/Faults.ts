/**
 * What goes wrong in a run, as data that is drawn before it begins: a failing run shrinks by leaving some of it out, and
 * its trace names it.
 */
import type { Customers } from "./Customers.ts"
import type { Database } from "./Database.ts"
import type { Fleet, Place } from "./Fleet.ts"
import type { Network } from "./Network.ts"
import type { Prng } from "./Prng.ts"
import type { World } from "./World.ts"

/** `at` and `ms` are virtual milliseconds, `runner` is a place from 1 on. */
export type Fault =
  /** `kill -9`; `silently`: the machine loses its power, and nobody's connection is closed. */
  | {
      readonly _tag: "Kill"
      readonly at: number
      readonly runner: number
      readonly downMs: number
      readonly silently: boolean
      readonly moved: boolean
    }
  /** SIGSTOP, and SIGCONT after `ms`. */
  | { readonly _tag: "Stop"; readonly at: number; readonly runner: number; readonly ms: number }
  /** SIGTERM, and a new process after `downMs`. */
  | {
      readonly _tag: "Leave"
      readonly at: number
      readonly runner: number
      readonly downMs: number
      readonly moved: boolean
    }
  /** One runner more. */
  | { readonly _tag: "Grow"; readonly at: number }
  | {
      readonly _tag: "Store"
      readonly at: number
      readonly ms: number
      readonly how: "refusing" | "silent" | "flaky" | "slow"
    }
  /** A runner and some others do not hear each other. */
  | {
      readonly _tag: "Partition"
      readonly at: number
      readonly ms: number
      readonly runner: number
      readonly from: "runners" | "clients" | "store" | "everybody"
    }
  | { readonly _tag: "Slow"; readonly at: number; readonly ms: number; readonly times: number }
  /** A connection is cut. */
  | { readonly _tag: "Cut"; readonly at: number }
  /** A runner's clock jumps by `ms`: at once, or when it has been read `reads` times more, in the middle of something. */
  | {
      readonly _tag: "Jump"
      readonly at: number
      readonly runner: number
      readonly ms: number
      readonly reads?: number | undefined
    }
  | { readonly _tag: "ClientLost"; readonly at: number; readonly downMs: number }

export const tags = [
  "Kill",
  "Stop",
  "Leave",
  "Grow",
  "Store",
  "Partition",
  "Slow",
  "Cut",
  "Jump",
  "ClientLost"
] as const satisfies ReadonlyArray<Fault["_tag"]>

/** When it is over by itself, in virtual milliseconds. */
export const endOf = (fault: Fault): number =>
  fault._tag === "Stop" || fault._tag === "Store" || fault._tag === "Partition" || fault._tag === "Slow"
    ? fault.at + fault.ms
    : fault.at

export interface Range {
  /** How many there are at most. */
  readonly most: number
  /** The last moment at which one happens. */
  readonly untilMs: number
  readonly runners: number
  /** Which kinds there are; all unless told. */
  readonly kinds?: ReadonlyArray<Fault["_tag"]> | undefined
}

const one = (random: Prng, kind: Fault["_tag"], at: number, runner: number): Fault => {
  const ms = Math.round(random.skewed(50, 20_000))
  const moved = random.chance(0.5)
  switch (kind) {
    case "Kill":
      return { _tag: kind, at, runner, downMs: ms, silently: random.chance(0.3), moved }
    case "Stop":
      return { _tag: kind, at, runner, ms: Math.round(random.skewed(50, 40_000)) }
    case "Leave":
      return { _tag: kind, at, runner, downMs: ms, moved }
    case "Grow":
      return { _tag: kind, at }
    case "Store":
      return { _tag: kind, at, ms, how: random.pick(["refusing", "silent", "flaky", "slow"]) }
    case "Partition":
      return { _tag: kind, at, ms, runner, from: random.pick(["runners", "clients", "store", "everybody"]) }
    case "Slow":
      return { _tag: kind, at, ms, times: random.pick([10, 100, 1000]) }
    case "Cut":
      return { _tag: kind, at }
    case "Jump":
      return {
        _tag: kind,
        at,
        runner,
        ms: random.pick([-1, 1]) * Math.round(random.skewed(1, 120_000)),
        reads: random.chance(0.5) ? 0 : random.int(1, 200)
      }
    case "ClientLost":
      return { _tag: kind, at, downMs: ms }
  }
}

/** Draws what goes wrong: sometimes nothing, often a few things close to each other. */
export const draw = (random: Prng, { kinds = tags, most, runners, untilMs }: Range): ReadonlyArray<Fault> => {
  // Kinds that a run has: one that has all of them all the time never comes to anything.
  const some = kinds.filter(() => random.chance(0.5))
  const from = some.length === 0 ? kinds : some
  const count = random.chance(0.1) ? 0 : 1 + Math.floor(random.next() ** 2 * most)
  let at = 0
  return Array.from({ length: count }, () => {
    at = random.chance(0.4) ? Math.min(untilMs, at + random.int(0, 300)) : random.int(0, untilMs)
    return one(random, random.pick(from), at, random.int(1, runners))
  }).toSorted((a, b) => a.at - b.at)
}

export interface Targets {
  readonly world: World
  readonly fleet: Fleet
  readonly network: Network
  readonly database: Database
  readonly customers: Customers
}

const during = (world: World, ms: number, begin: () => void, end: () => void): void => {
  begin()
  world.after(ms, end)
}

/** Lets it happen. */
export const inject = (fault: Fault, { customers, database, fleet, network, world }: Targets) => {
  world.history.record({ _tag: "Fault", fault: JSON.stringify(fault) })
  const place = (runner: number): Place => fleet.places[(runner - 1) % fleet.places.length]!
  switch (fault._tag) {
    case "Kill":
      return fleet.kill(place(fault.runner), fault)
    case "Stop":
      return fleet.stop(place(fault.runner), fault.ms)
    case "Leave":
      return fleet.leave(place(fault.runner), fault)
    case "Grow":
      if (fleet.places.length < 6) fleet.add()
      return
    case "Store":
      switch (fault.how) {
        case "refusing":
        case "silent": {
          const { how } = fault
          return during(
            world,
            fault.ms,
            () => {
              database.mode = how
            },
            () => database.recover()
          )
        }
        case "flaky":
          return during(
            world,
            fault.ms,
            () => {
              database.failing = 0.3
            },
            () => {
              database.failing = 0
            }
          )
        case "slow":
          return during(
            world,
            fault.ms,
            () => {
              database.slowness = 100
            },
            () => {
              database.slowness = 1
            }
          )
      }
      return
    case "Partition": {
      const mine = `runner-${place(fault.runner).index}`
      const others = [
        ...(fault.from === "runners" || fault.from === "everybody"
          ? fleet.places.map(({ index }) => `runner-${index}`).filter((name) => name !== mine)
          : []),
        ...(fault.from === "clients" || fault.from === "everybody" ? ["client"] : [])
      ]
      const store = fault.from === "store" || fault.from === "everybody"
      return during(
        world,
        fault.ms,
        () => {
          for (const other of others) network.partition(mine, other)
          if (store) database.cutOff(mine)
        },
        () => {
          for (const other of others) network.heal(mine, other)
          if (store) database.reach(mine)
        }
      )
    }
    case "Slow":
      return during(
        world,
        fault.ms,
        () => {
          network.slowness = fault.times
        },
        () => {
          network.slowness = 1
        }
      )
    case "Cut":
      return void network.cutOne()
    case "Jump": {
      const { process } = place(fault.runner)
      process?.jump(fault.ms, fault.reads)
      return
    }
    case "ClientLost":
      return customers.lose(fault.downMs)
  }
}
