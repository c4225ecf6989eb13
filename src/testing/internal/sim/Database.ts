/**
 * The store as processes reach it: over a network, late, sometimes not at all, and sometimes without an answer.
 *
 * ```
 * call ──► on its way ──► commit ──► on its way ──► answer
 *            │ fails before    │ its answer is lost: committed, and nobody knows
 *            └ dies here: the bytes may be out already: committed, or not
 * ```
 */
import { Effect, type Exit } from "effect"
import { StoreUnavailable } from "../../../domain/Errors.ts"
import type { Namespace, SessionId } from "../../../domain/Id.ts"
import type { Store } from "../../../store/index.ts"
import { machineOf } from "./machine.ts"
import { type Commit, SimStore } from "./SimStore.ts"
import type { Prng } from "./Prng.ts"
import type { SimProcess } from "./SimProcess.ts"
import type { World } from "./World.ts"

type Service = Store["Type"]
type Call = (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown, unknown>

export interface StoreWeather {
  /** Milliseconds that a way takes: mostly the first, now and then up to the second. */
  readonly latency: readonly [number, number]
  /** How likely a call fails before its commit, and after it. */
  readonly failsBefore: number
  readonly failsAfter: number
}

/**
 * What becomes of one call: its process dies `before` or `after` its commit; its answer is `lost`; it fails, and is
 * committed `late`, when its process has been told so.
 */
export type Fate = "before" | "after" | "lost" | "late"

/** How long after its failure a late call is committed, in milliseconds. */
const lateMs = 50

/** What a crash at a call of the store is told by. */
export interface StoreCall {
  /** Counted from 1, over all processes. */
  readonly number: number
  readonly process: SimProcess
  readonly operation: string
}

/** Calls that happen all the time and say nothing. */
const quiet: ReadonlySet<string> = new Set(["append", "heartbeat", "runners", "owned", "read", "acquire"])

const stepOf = (payload: Uint8Array): string | undefined => {
  const { entry } = JSON.parse(new TextDecoder().decode(payload)) as { readonly entry: { readonly step?: unknown } }
  return typeof entry.step === "string" ? entry.step : undefined
}

export class Database {
  readonly data: SimStore
  /** `refusing`: every call fails at once. `silent`: calls wait until it is over. */
  mode: "well" | "refusing" | "silent" = "well"
  /** Everything takes so many times as long. */
  slowness = 1
  /** More trouble than the weather has by itself. */
  failing = 0
  calls = 0
  /** Asked at each call: what is to become of it, and of its process. */
  crash: ((call: StoreCall) => Fate | null) | null = null
  readonly #random: Prng
  #waiting: Array<() => void> = []
  readonly #cut = new Set<string>()
  readonly #processes = new Set<SimProcess>()
  readonly #unplugged = new Set<SimProcess>()
  readonly #lingering: Prng

  constructor(
    readonly world: World,
    readonly weather: StoreWeather,
    readonly kill: (process: SimProcess) => void
  ) {
    this.#random = world.random.fork("database")
    this.#lingering = world.random.fork("lingering")
    this.data = new SimStore(() => Math.floor(world.now), {
      appended: (commit) => this.#appended(commit),
      acquired: (process, shard, epoch) => world.history.record({ _tag: "Acquired", process, shard, epoch })
    })
  }

  #appended({ call, groups, process, written }: Commit): void {
    groups.forEach((group, i) =>
      this.world.history.record({
        _tag: "Appended",
        process,
        call,
        session: `${group.namespace}/${group.session}`,
        shard: group.shard,
        epoch: group.epoch,
        rows: group.rows.map(({ command, payload, seq, tag }) => ({ seq, tag, command, step: stepOf(payload) })),
        status: group.info?.status,
        timersSet: group.timersSet ?? [],
        timersCleared: group.timersCleared ?? [],
        written: written[i]!
      })
    )
  }

  calm(): void {
    this.slowness = 1
    this.failing = 0
    for (const machine of [...this.#cut]) this.reach(machine)
    this.recover()
  }

  /** The highest seq of a session; 0 where there is none. */
  lastOf(namespace: string, session: string): number {
    const row = Effect.runSync(this.data.connect("outside").head(namespace as Namespace, session as SessionId))
    return row?.seq ?? 0
  }

  /** A machine and the store do not hear each other: its processes' presence ends, too, at once or when that is noticed. */
  cutOff(machine: string): void {
    this.#cut.add(machine)
    for (const process of this.#processes) {
      if (machineOf(process) !== machine) continue
      if (this.#lingering.chance(0.5)) this.data.disconnected(process.name)
      else this.#noticed(() => this.#cut.has(machine) && this.data.disconnected(process.name))
    }
  }

  /** A process loses its machine, and nobody closes its connection: it is present until the store gives that up. */
  unplugged(process: SimProcess): void {
    this.#unplugged.add(process)
  }

  #noticed(what: () => void): void {
    this.world.after(this.#lingering.skewed(1_000, 120_000), what)
  }

  reach(machine: string): void {
    this.#cut.delete(machine)
    for (const process of this.#processes) {
      if (process.state !== "dead" && machineOf(process) === machine) this.data.reconnected(process.name)
    }
    this.#release()
  }

  /** Answers again. */
  recover(): void {
    this.mode = "well"
    this.#release()
  }

  #release(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const go of waiting) go()
  }

  #delay(): number {
    const [from, to] = this.weather.latency
    return this.#random.skewed(from, to) * this.slowness
  }

  #call(process: SimProcess, operation: string, run: () => Exit.Exit<unknown, unknown>) {
    return Effect.async<unknown, unknown>((resume) => {
      const { world } = this
      const number = ++this.calls
      const crash = this.crash?.({ number, process, operation }) ?? null
      const note = (outcome: string) =>
        world.history.record({ _tag: "Called", process: process.name, operation, outcome })
      const fail = (reason: string) => resume(Effect.fail(new StoreUnavailable({ operation, reason })))
      if (crash === "before") {
        note("its process dies before it")
        return this.kill(process)
      }
      const commit = (): Exit.Exit<unknown, unknown> => {
        const exit = run()
        if (!quiet.has(operation)) note(exit._tag === "Success" ? "done" : "failed")
        return exit
      }
      let late = false
      const arrive = () => {
        if (this.mode === "silent" || this.#cut.has(machineOf(process))) {
          this.#waiting.push(arrive)
          if (!late) world.after(this.#random.skewed(2_000, 10_000), () => fail("it did not answer in time"))
          late = true
          return
        }
        // Its bytes were on their way when it died: they come, or they do not.
        if (process.state === "dead" && this.#random.chance(0.5)) return
        if (this.mode === "refusing") return void world.after(this.#delay(), () => fail("the connection was refused"))
        if (this.#random.chance(this.weather.failsBefore + this.failing)) {
          note("fails before its commit")
          return void world.after(this.#delay(), () => fail("the connection was lost"))
        }
        if (crash === "lost" || crash === "late") {
          note(crash === "lost" ? "its answer is lost" : "it fails, and is committed late")
          world.after(crash === "late" ? lateMs : 0, () => void commit())
          return void world.after(0, () => fail("the connection was lost"))
        }
        if (this.#random.chance(this.weather.failsAfter + this.failing)) {
          // The answer that the connection is lost may come before the commit: the statement was on its way.
          const [first, second] = this.#random.chance(0.25) ? [this.#delay(), 0] : [0, this.#delay()]
          note("its answer is lost")
          world.after(first, () => void commit())
          return void world.after(second, () => fail("the connection was lost"))
        }
        const exit = commit()
        if (crash === "after") {
          note("its process dies after it")
          return this.kill(process)
        }
        world.after(this.#delay(), () => resume(exit))
      }
      world.after(this.#delay(), arrive)
    })
  }

  /** The store of one process. */
  connect(process: SimProcess, wrap: (store: Service) => Service = (store) => store): Service {
    this.#processes.add(process)
    if (this.#cut.has(machineOf(process))) this.data.disconnected(process.name)
    process.onDeath(() => {
      this.#processes.delete(process)
      const end = () => this.data.disconnected(process.name)
      if (this.#unplugged.delete(process)) this.#noticed(end)
      else end()
    })
    const port = wrap(this.data.connect(process.name))
    return Object.fromEntries(
      Object.entries(port).map(([name, member]) => [
        name,
        typeof member === "function"
          ? (...args: ReadonlyArray<unknown>) =>
              this.#call(process, name, () => Effect.runSyncExit((member as unknown as Call)(...args)))
          : member
      ])
    ) as unknown as Service
  }
}
