/** One run: a world from a seed, until all that was asked for is done, or it is clear that it never will be. */
import { Effect, Layer, Scope } from "effect"
import type { RunnerSettingsValues } from "../../../runner/index.ts"
import type { Behaviour, Settings as SessionSettingsValues } from "../../../session/index.ts"
import { type Stray, within } from "./ambient.ts"
import { climateOf } from "./climate.ts"
import { Customers } from "./Customers.ts"
import { Database, type Fate, type StoreCall } from "./Database.ts"
import { draw, endOf, type Fault, inject } from "./Faults.ts"
import { Fleet, type Wraps } from "./Fleet.ts"
import type { Finished } from "./History.ts"
import { outside as models } from "./models.ts"
import { Network } from "./Network.ts"
import { OsProcesses } from "./OsProcesses.ts"
import { inside, readAll } from "./outside.ts"
import { Provider } from "./provider.ts"
import { SimProcess } from "./SimProcess.ts"
import { hash } from "./trace.ts"
import { World } from "./World.ts"
import type { Plan, Workload } from "./Workload.ts"

export interface Options {
  readonly seed: string | number
  readonly behaviours: ReadonlyArray<Behaviour>
  /** Model, tools, and what else agents need: built in the world, outside of all processes. */
  readonly services: Layer.Layer<never, unknown>
  readonly workload: Workload
  /** Drawn from the seed unless told. */
  readonly runners?: number | undefined
  /** Drawn from the seed unless told. */
  readonly faults?: ReadonlyArray<Fault> | undefined
  readonly kinds?: ReadonlyArray<Fault["_tag"]> | undefined
  readonly sessions?: Partial<SessionSettingsValues> | undefined
  readonly runner?: Partial<RunnerSettingsValues> | undefined
  readonly wraps?: Wraps | undefined
  /** Asked at each call of the store: whether its process dies before or after its commit. */
  readonly crash?: ((call: StoreCall) => Fate | null) | undefined
  /** Without any trouble that is drawn: nothing is late or fails but what is asked for. */
  readonly fair?: boolean | undefined
  readonly canaries?: ReadonlyArray<string> | undefined
  readonly tools?: Finished["tools"] | undefined
}

export interface Run {
  readonly seed: string
  readonly hash: string
  readonly finished: Finished
  readonly faults: ReadonlyArray<Fault>
  readonly plan: Plan
  /** Virtual milliseconds that it took. */
  readonly virtualMs: number
  readonly storeCalls: number
  readonly turns: number
}

/** The last moment of a fault, in milliseconds. */
const faultsUntilMs = 12_000
/** When clients come, in milliseconds. */
const clientsAtMs = 20
/** How long everything may take when nothing goes wrong any more: the longest backoffs, and a bit. */
const boundMs = 300_000
/**
 * How long OS processes may live on when all else is over, in milliseconds: a runner that goes on after it was stopped
 * learns at its next heartbeat that it was taken for dead, and they die with it.
 */
const goneMs = 10_000

/** Runs a world to its end, synchronously. */
export const simulate = (options: Options): Run => {
  const seed = String(options.seed)
  const world = new World(seed)
  const strays: Array<Stray> = []
  return within(
    () => world.now,
    world.random.fork("ambient"),
    (stray) => strays.push(stray),
    () => run(world, seed, options, strays)
  )
}

const run = (world: World, seed: string, options: Options, strays: ReadonlyArray<Stray>): Run => {
  const { history } = world
  const climate = climateOf(world.random.fork("climate"), options.fair === true)
  const plan = options.workload(world.random.fork("workload"))
  const runners = options.runners ?? world.random.fork("runners").pick([1, 2, 2, 3, 3])
  const { hosts = [] } = plan
  const faults =
    options.faults ??
    draw(world.random.fork("faults"), {
      most: 12,
      untilMs: faultsUntilMs,
      runners: runners + hosts.length,
      kinds: options.kinds
    })

  const network = new Network(world, climate.network)
  const os = new OsProcesses(world)
  const provider = new Provider(world, climate.model)
  const outside = new SimProcess(world, "outside", { operations: 2048 })

  // --- What is outside of all processes ---
  const services = inside(
    world,
    outside,
    Effect.scoped(Layer.buildWithScope(options.services, Effect.runSync(Scope.make())))
  )
  const { allowed, context } = models(services, provider)

  let fleet: Fleet
  const database = new Database(world, climate.store, (process) => {
    const place = fleet.placeOf(process)
    if (place !== undefined) fleet.kill(place, { silently: false, downMs: 100, moved: false })
    else if (customers.process === process) customers.lose(100)
  })
  database.crash = options.crash ?? null
  fleet = new Fleet(world, network, database, os, {
    behaviours: options.behaviours,
    services: context,
    sessions: options.sessions ?? {},
    runner: options.runner ?? {},
    processes: climate.processes,
    wraps: options.wraps ?? {}
  })
  const customers = new Customers(
    world,
    network,
    database,
    plan,
    options.runner ?? {},
    climate.processes,
    options.wraps ?? {}
  )

  // --- What will happen ---
  for (let i = 0; i < runners; i++) fleet.add()
  for (const host of hosts) {
    if (host.at === 0) fleet.add(host)
    else world.after(host.at, () => fleet.add(host))
  }
  // Whoever looks before there is a runner looks again after a while only.
  world.after(clientsAtMs, () => customers.start())
  for (const fault of faults) {
    world.after(fault.at, () => inject(fault, { world, fleet, network, database, customers }))
  }
  const calmAt = Math.max(
    0,
    ...faults.map(endOf),
    ...hosts.map(({ at }) => at),
    ...plan.sessions.flatMap(({ commands }) => commands.map(({ at }) => at))
  )
  world.after(calmAt + 1, () => {
    network.calm()
    database.calm()
    provider.calm = true
    customers.calm = true
    fleet.calm()
    customers.start()
    history.record({ _tag: "Calm" })
    look()
  })

  // --- Until it is over ---
  const lastOf = (session: string): number => database.lastOf("default", session)
  const unfinished = (): ReadonlyArray<string> => {
    const waiting = customers.waiting
    if (waiting.length > 0) return waiting
    const active = database.data.sessions
      .filter(({ status }) => status === "active")
      .map(({ session }) => `${session} is active`)
    return active.length > 0 ? active : customers.behind(lastOf)
  }
  let overAt: number | null = null
  const look = (): void => {
    overAt = unfinished().length > 0 ? null : (overAt ?? world.now)
    if (overAt !== null && (os.living.size === 0 || world.now - overAt > goneMs)) world.end()
    else world.after(100, look)
  }
  const how = world.run(calmAt + boundMs)
  const left = unfinished()
  const stray = [...new Set(strays.map(({ what, where }) => `waits for nothing simulated: ${what} ${where}`))]
  const reasons = how === "ended" ? stray : [`${how}, with ${left.join("; ")}`, ...stray]
  const stuck = reasons.length === 0 ? null : reasons.join("\n")
  const virtualMs = world.elapsed
  const finalAt = world.now

  // --- What is left ---
  const processes = [...os.living.keys()]
  world.endAllBut(outside)
  const final = inside(world, outside, readAll(database))
  return {
    seed,
    hash: hash(history.events),
    plan,
    faults,
    virtualMs,
    storeCalls: database.calls,
    turns: world.turns,
    finished: {
      events: history.events,
      tools: options.tools ?? {},
      allowed,
      limits: Object.fromEntries(options.behaviours.map(({ agent, limits }) => [agent, limits])),
      sessionLimits: Object.fromEntries(
        options.behaviours.flatMap(({ agent, bounds }) =>
          bounds?.session === undefined ? [] : [[agent, bounds.session]]
        )
      ),
      canaries: options.canaries ?? [],
      final: {
        at: finalAt,
        ...final,
        sessions: database.data.sessions,
        timers: database.data.timers,
        processes,
        stuck
      }
    }
  }
}
