/** The runners of a simulated cluster: each place holds one process after another. */
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { Processes } from "../../../process/index.ts"
import { Capacity, Cluster, Runner, RunnerSettings, type RunnerSettingsValues } from "../../../runner/index.ts"
import { type Behaviour, Lanes, type Settings as SessionSettingsValues } from "../../../session/index.ts"
import { Store } from "../../../store/index.ts"
import { boot } from "./boot.ts"
import type { Database } from "./Database.ts"
import type { Network } from "./Network.ts"
import type { OsProcesses } from "./OsProcesses.ts"
import type { Prng } from "./Prng.ts"
import { SimProcess, type Settings as ProcessSettings } from "./SimProcess.ts"
import { told } from "./told.ts"
import { watched } from "./watched.ts"
import { wire } from "./wire.ts"
import type { PlannedHost } from "./Workload.ts"
import type { World } from "./World.ts"

/** What lies between the runtime and the world: planted bugs are put there. */
export interface Wraps {
  readonly store?: ((store: Store["Type"], process: string) => Store["Type"]) | undefined
  readonly behaviour?: ((behaviour: Behaviour, process: string) => Behaviour) | undefined
  readonly processes?: ((processes: Processes["Type"], process: string) => Processes["Type"]) | undefined
  /** Bugs of a limiter: `Lanes.Planted`. */
  readonly lanes?: { readonly forgets?: boolean; readonly looksTwice?: boolean } | undefined
}

export interface Options {
  readonly behaviours: ReadonlyArray<Behaviour>
  /** The model, the handlers of tools, and whatever they need. */
  readonly services: Context.Context<never>
  readonly sessions: Partial<SessionSettingsValues>
  readonly runner: Partial<RunnerSettingsValues>
  readonly processes: ProcessSettings
  readonly wraps: Wraps
}

/** A runner's place. */
export interface Place {
  readonly index: number
  lives: number
  address: number
  /** The one that works; `null` while none does, or the last one leaves. */
  process: SimProcess | null
  /** The one that had the address last: it has it until it is dead. */
  last: SimProcess | null
  scope: Scope.CloseableScope | null
  /** Whether it is to be there when all is well. */
  wanted: boolean
  /** What it has that others may lack. */
  readonly host: PlannedHost | null
}

const capacityOf = ({ host }: Place) =>
  host === null
    ? <A, E, R>(layer: Layer.Layer<A, E, R>) => layer
    : <A, E, R>(layer: Layer.Layer<A, E, R>) =>
        Layer.provide(layer, Layer.succeed(Capacity, { pools: host.pools ?? {}, tags: host.tags }))

/** How long an orchestrator waits before it starts a process again, in milliseconds. */
const restartMs = 1_000
/** How long a process may take to leave, in milliseconds: what Kubernetes gives. */
const graceMs = 30_000

export const settings: Partial<RunnerSettingsValues> = {
  shards: 6,
  refresh: "2500 millis",
  heartbeat: "3 seconds",
  heartbeatExpiry: "9 seconds"
}

export class Fleet {
  readonly places: Array<Place> = []
  /** All that live: those that leave have no place any more. */
  readonly #living = new Set<SimProcess>()
  readonly #random: Prng

  constructor(
    readonly world: World,
    readonly network: Network,
    readonly database: Database,
    readonly os: OsProcesses,
    readonly options: Options
  ) {
    this.#random = world.random.fork("fleet")
  }

  #life(process: SimProcess, what: "born" | "stopped" | "continued" | "killed" | "leaving" | "left" | "lost"): void {
    this.world.history.record({ _tag: "Life", process: process.name, what })
  }

  add(host: PlannedHost | null = null): Place {
    const place: Place = {
      index: this.places.length + 1,
      lives: 0,
      address: 1,
      process: null,
      last: null,
      scope: null,
      wanted: true,
      host
    }
    this.places.push(place)
    this.start(place)
    return place
  }

  /** @param moved to another address: at its own it cannot begin before its predecessor has ended */
  start(place: Place, moved = false): void {
    const { last } = place
    if (place.process !== null) return
    if (!moved && last !== null && last.state !== "dead") return void last.onDeath(() => this.#later(place, 0))
    if (moved) place.address++
    const process = new SimProcess(this.world, `runner-${place.index}.${++place.lives}`, this.options.processes)
    const scope = Effect.runSync(Scope.make())
    place.process = process
    place.last = process
    place.scope = scope
    this.#living.add(process)
    process.onDeath(() => this.#living.delete(process))
    this.#life(process, "born")
    const built = process.fork(Effect.asVoid(boot(this.#layer(place, process), scope)))
    built.addObserver((exit) => {
      // A runner that cannot start ends, and is started again.
      if (Exit.isSuccess(exit) || process.state === "dead") return
      this.world.history.record({ _tag: "Told", process: process.name, what: `could not start: ${told(exit.cause)}` })
      this.#end(place, process, "lost", false)
      this.#later(place, restartMs)
    })
  }

  #layer(place: Place, process: SimProcess): Layer.Layer<unknown, unknown> {
    const { behaviours, runner, services, sessions, wraps } = this.options
    const entropy = this.#random.fork(process.name)
    const os = this.os.of(process)
    return Runner.layerWith(
      behaviours.map((one) => {
        const seen = watched(one, process, () => {
          if (place.process === process) this.kill(place, { silently: false, downMs: restartMs, moved: false })
        })
        return wraps.behaviour?.(seen, process.name) ?? seen
      }),
      Cluster.layerRunnerOver(wire(this.network, process)),
      sessions,
      Layer.succeed(Processes, wraps.processes?.(os, process.name) ?? os)
    ).pipe(
      Layer.provide(
        RunnerSettings.layer({
          ...settings,
          host: `10.0.${place.index}.${place.address}`,
          port: 1,
          entropy: (bytes) => Uint8Array.from({ length: bytes }, () => entropy.int(0, 255)),
          onLost: Effect.zipRight(
            Effect.sync(() => {
              this.#end(place, process, "lost", false)
              this.#later(place, restartMs)
            }),
            Effect.never
          ),
          ...(place.host?.takesSessions === false ? { weight: 0 } : {}),
          ...runner
        })
      ),
      capacityOf(place),
      Layer.provide(
        Layer.succeed(
          Store,
          this.database.connect(process, (store) => wraps.store?.(store, process.name) ?? store)
        )
      ),
      Layer.provide(Layer.succeedContext(Context.add(services, Lanes.Planting, wraps.lanes ?? {})))
      // What else agents need is said by the type of `Simulation.run`.
    ) as unknown as Layer.Layer<unknown, unknown>
  }

  // --- What can happen to a runner ---

  /** The place of a process. */
  placeOf(process: SimProcess): Place | undefined {
    return this.places.find((place) => place.process === process)
  }

  get up(): ReadonlyArray<Place> {
    return this.places.filter(({ process }) => process !== null)
  }

  #end(place: Place, process: SimProcess, what: "killed" | "left" | "lost", silently: boolean): void {
    if (process.state === "dead") return
    this.#life(process, what)
    if (silently) this.database.unplugged(process)
    process.kill()
    this.network.died(process, silently)
    if (place.process === process) place.process = null
  }

  #later(place: Place, ms: number, moved = false): void {
    this.world.after(ms, () => {
      if (place.wanted) this.start(place, moved)
    })
  }

  /** As `kill -9`, or as a machine that loses its power (`silently`). */
  kill(place: Place, options: { readonly silently: boolean; readonly downMs: number; readonly moved: boolean }): void {
    if (place.process !== null) this.#end(place, place.process, "killed", options.silently)
    this.#later(place, options.downMs, options.moved)
  }

  stop(place: Place, ms: number): void {
    const { process } = place
    if (process === null || process.state !== "running") return
    process.stop()
    this.#life(process, "stopped")
    this.world.after(ms, () => this.continue(process))
  }

  continue(process: SimProcess): void {
    if (process.state !== "stopped") return
    this.#life(process, "continued")
    process.continue()
  }

  /** Leaves in good order, as at SIGTERM, and comes back if it is wanted. */
  leave(place: Place, options: { readonly downMs: number; readonly moved: boolean }): void {
    const { process, scope } = place
    if (process === null || scope === null) return
    place.process = null
    this.#life(process, "leaving")
    const gone = (what: "left" | "killed") => {
      if (process.state === "dead") return
      this.#life(process, what)
      process.kill()
      this.network.died(process, false)
    }
    process.fork(Scope.close(scope, Exit.void)).addObserver(() => gone("left"))
    this.world.after(graceMs, () => gone("killed"))
    this.#later(place, options.downMs, options.moved)
  }

  /** All that should be there is there and runs. */
  calm(): void {
    for (const process of this.#living) this.continue(process)
    for (const place of this.places) {
      place.wanted = true
      if (place.process === null) this.start(place)
    }
  }
}
