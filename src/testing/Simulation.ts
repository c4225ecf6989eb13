/**
 * The real runtime, a whole cluster of it, in a world made of a seed: virtual time, a network and a store that fail, runners
 * that are killed, stopped and replaced, a provider that breaks off. The same seed is the same run, to the last
 * instruction.
 *
 * ```ts
 * it.effect("books once, whatever dies when", () =>
 *   Simulation.explore({ agents: [Booker], model, tools, seeds: 200 }))
 * ```
 *
 * After each run all that happened is checked against the invariants (I1 to I13). A seed that breaks one fails with what is
 * violated, the seed, the smallest set of faults that still does it, and the end of the trace.
 *
 * Model and tools stand for the world outside: they are built once a run and survive. A tool says where it has its effect
 * with {@link effect}, and takes its time with {@link pause} or any sleep of Effect's. Everything must be Effect's: what
 * waits for the real world (a promise, a timer, a socket) never ends here: a timer is reported by name.
 */
import { Clock, Context, Effect, FiberRef, Layer, Option, Random, Schema } from "effect"
import type { Agent } from "../agent/index.ts"
import type { Repeatable } from "../domain/Entry.ts"
import type { RunnerSettingsValues } from "../runner/index.ts"
import type { Behaviour, Settings as SessionSettingsValues } from "../session/index.ts"
import { attempting } from "./internal/sim/attempting.ts"
import { check, type Violation } from "./internal/sim/checks/index.ts"
import type { Fault } from "./internal/sim/Faults.ts"
import type { Wraps } from "./internal/sim/Fleet.ts"
import { Prng } from "./internal/sim/Prng.ts"
import { shrink } from "./internal/sim/shrink.ts"
import { type Run, simulate } from "./internal/sim/simulate.ts"
import { line } from "./internal/sim/trace.ts"
import { usual, type Workload } from "./internal/sim/Workload.ts"
import type { Fate, StoreCall } from "./internal/sim/Database.ts"

export type { Violation } from "./internal/sim/checks/index.ts"
export type { Fault } from "./internal/sim/Faults.ts"
export type { Wraps } from "./internal/sim/Fleet.ts"
export type { Chance, Plan, Planned, PlannedHost, PlannedSession, Workload } from "./internal/sim/Workload.ts"

export interface Options<Agents extends ReadonlyArray<Agent.Any>, M, T, E> {
  readonly agents: Agents
  /** The model, and whatever else its layer has. */
  readonly model?: Layer.Layer<M, E> | undefined
  /** The handlers of the agents' tools, and the services that these need. */
  readonly tools?: Layer.Layer<T, E> | undefined
  /** One to three, drawn from the seed, unless told. */
  readonly runners?: number | undefined
  /** What clients ask. Unless told: a session or two an agent, a few messages each, some of them interrupted. */
  readonly workload?: Workload | undefined
  /** Drawn from the seed unless told. */
  readonly faults?: ReadonlyArray<Fault> | undefined
  /** The kinds of faults that are drawn; all unless told. */
  readonly kinds?: ReadonlyArray<Fault["_tag"]> | undefined
  /** No trouble that was not asked for: only `faults`, and nothing is slow or fails by itself. */
  readonly fair?: boolean | undefined
  readonly sessions?: Partial<SessionSettingsValues> | undefined
  readonly runner?: Partial<RunnerSettingsValues> | undefined
  /** @internal Planted bugs. */
  readonly wraps?: Wraps | (() => Wraps) | undefined
  /** @internal Asked at each call of the store: whether its process dies before or after its commit. */
  readonly crash?: ((call: StoreCall) => Fate | null) | undefined
  /** What each tool really allows, whatever it is declared as: for tests of the runtime itself. */
  readonly repeatable?: Readonly<Record<string, Repeatable>> | undefined
  /** Texts that must never be found in what was stored or told (I12). */
  readonly canaries?: ReadonlyArray<string> | undefined
  /** How to run a seed alone from a shell, for the message of a failure. `%s` is the seed; ` --faults JSON` is added. */
  readonly command?: string | undefined
}

/** One run and what is wrong with it. */
export interface Report {
  readonly seed: string
  /** Of all that happened: the same for the same seed. */
  readonly hash: string
  readonly violations: ReadonlyArray<Violation>
  readonly faults: ReadonlyArray<Fault>
  /** Virtual milliseconds. */
  readonly virtualMs: number
  readonly storeCalls: number
  /** @internal */
  readonly run: Run
  /** All that happened, a line each. */
  readonly trace: () => ReadonlyArray<string>
}

const traceLines = 120

/** After how many entries a session is worth a snapshot: one of these. None of a run has as many as it takes usually. */
const snapshots = [2, 5, 20, 256]

const listed = (violations: ReadonlyArray<Violation>): string =>
  violations
    .map(({ invariant, session, what }) => `  ${invariant}${session === null ? "" : ` (${session})`}: ${what}`)
    .join("\n")

/** A seed breaks an invariant. */
export class InvariantBroken extends Schema.TaggedError<InvariantBroken>()("InvariantBroken", {
  seed: Schema.String,
  /** One sentence each, with the invariant's name. */
  violations: Schema.String,
  /** The faults that it takes, as few as were found, as JSON. */
  faults: Schema.String,
  /** How to see it again. */
  command: Schema.String,
  /** The end of what happened. */
  trace: Schema.String
}) {
  override get message() {
    return `seed ${this.seed} breaks:\n${this.violations}\nRun it again: ${this.command}\nIt takes these faults: ${this.faults}\nThe end of its trace:\n${this.trace}`
  }
}

type Needs<Agents extends ReadonlyArray<Agent.Any>, M, T> = Exclude<Agent.Requirements<Agents[number]>, M | T>

const prepare = <const Agents extends ReadonlyArray<Agent.Any>, M, T, E>(options: Options<Agents, M, T, E>) =>
  Effect.map(Effect.context<Needs<Agents, M, T>>(), (context) => {
    const empty = Layer.succeedContext(Context.empty())
    const services = Layer.mergeAll(
      Layer.succeedContext(context),
      options.model ?? empty,
      options.tools ?? empty
    ) as unknown as Layer.Layer<never, unknown>
    return (seed: string, faults: ReadonlyArray<Fault> | undefined): Report => {
      const run = simulate({
        seed,
        services,
        behaviours: options.agents.map(({ behaviour }) => behaviour as Behaviour),
        workload: options.workload ?? usual(options.agents),
        runners: options.runners,
        faults,
        kinds: options.kinds,
        fair: options.fair,
        sessions: { snapshotEntries: new Prng(`${seed}/snapshots`).pick(snapshots), ...options.sessions },
        runner: options.runner,
        wraps: typeof options.wraps === "function" ? options.wraps() : options.wraps,
        crash: options.crash,
        canaries: options.canaries,
        tools: options.repeatable
      })
      return {
        seed,
        hash: run.hash,
        violations: check(run.finished),
        faults: run.faults,
        virtualMs: run.virtualMs,
        storeCalls: run.storeCalls,
        run,
        trace: () => run.finished.events.map(line)
      }
    }
  })

/** A world runs without a pause: others of this process want one, though a test's clock may stand still. */
const breath = Effect.withClock(Effect.sleep(0), Clock.make())

/** One run from one seed. Its violations are in the report: it does not fail because of them. */
export const run = <const Agents extends ReadonlyArray<Agent.Any>, M = never, T = never, E = never>(
  options: Options<Agents, M, T, E> & { readonly seed: string | number }
): Effect.Effect<Report, never, Needs<Agents, M, T>> =>
  Effect.zipLeft(
    Effect.map(prepare(options), (prepared) => prepared(String(options.seed), options.faults)),
    breath
  )

/** What many runs came to. */
export interface Explored {
  readonly runs: number
  /** The seeds are this and a number: `base/0`, `base/1` … */
  readonly base: string
  readonly virtualMs: number
  readonly storeCalls: number
  readonly faults: number
}

/**
 * Many runs from fresh seeds; fails at the first that breaks an invariant, after leaving out faults until none can be
 * spared.
 */
export const explore = <const Agents extends ReadonlyArray<Agent.Any>, M = never, T = never, E = never>(
  options: Options<Agents, M, T, E> & {
    readonly seeds: number
    /** What the seeds begin with; chosen anew unless told. */
    readonly base?: string | undefined
    /** Real milliseconds after which no further run begins. */
    readonly atMostMs?: number | undefined
  }
): Effect.Effect<Explored, InvariantBroken, Needs<Agents, M, T>> =>
  Effect.gen(function* () {
    const prepared = yield* prepare(options)
    const base = options.base ?? (yield* Random.nextIntBetween(0, 2 ** 31)).toString(36)
    const begun = yield* Effect.clock
    const start = begun.unsafeCurrentTimeMillis()
    let runs = 0
    let virtualMs = 0
    let storeCalls = 0
    let faults = 0
    while (runs < options.seeds) {
      if (options.atMostMs !== undefined && begun.unsafeCurrentTimeMillis() - start > options.atMostMs) break
      const seed = `${base}/${runs}`
      const report = prepared(seed, options.faults)
      runs++
      virtualMs += report.virtualMs
      storeCalls += report.storeCalls
      faults += report.faults.length
      if (report.violations.length > 0) {
        return yield* broken(
          shrink(report, (faults) => prepared(seed, faults)),
          options.command
        )
      }
      yield* breath
    }
    return { runs, base, virtualMs, storeCalls, faults }
  })

/** What to say of a report with violations. */
export const broken = (report: Report, command?: string): InvariantBroken =>
  new InvariantBroken({
    seed: report.seed,
    violations: listed(report.violations),
    faults: JSON.stringify(report.faults),
    command:
      command === undefined
        ? `Simulation.run({ …, seed: ${JSON.stringify(report.seed)}, faults: ${JSON.stringify(report.faults)} })`
        : `${command.replace("%s", report.seed)} --faults '${JSON.stringify(report.faults)}'`,
    trace: report.trace().slice(-traceLines).join("\n")
  })

/** In a tool's handler, where it has its effect: the world takes it down. Elsewhere it does nothing. */
export const effect: Effect.Effect<void> = Effect.map(FiberRef.get(attempting), (found) => {
  if (Option.isNone(found)) return
  const { history, kill: _, ...witness } = found.value
  history.record({ _tag: "Effect", ...witness })
})

/** In a tool's handler: ends the process in which it runs, as what uses up its memory does. Elsewhere it does nothing. */
export const die: Effect.Effect<void> = Effect.flatMap(FiberRef.get(attempting), (found) => {
  if (Option.isNone(found)) return Effect.void
  found.value.kill()
  return Effect.never
})

/** In a tool's handler: takes as long as services take, mostly about the first, now and then up to the second. */
export const pause = (fromMs: number, toMs: number): Effect.Effect<void> =>
  Effect.flatMap(Random.next, (x) => Effect.sleep(fromMs + (toMs - fromMs) * x ** 4))
