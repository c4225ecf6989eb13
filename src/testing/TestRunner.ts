/**
 * The real runtime in a test, and crashes where they hurt.
 *
 * ```ts
 * it.scoped("books once, though the runner dies after the booking", () => Effect.gen(function* () {
 *   const world = yield* TestRunner.make({ agents: [Booker], model: ScriptedModel.make([…]), tools: BookerTools })
 *   yield* world.crashAt({ step: "tool:book", point: "after-effect-before-commit" })
 *   const session = yield* world.session(Booker, "user-42")
 *   yield* session.ask("Book it.")
 *   …
 * }))
 * ```
 *
 * Sharding, sessions, journal, feed, timers and recovery are what a runner has; the store is real SQLite. A crash is as
 * hard as `kill -9`: not one more instruction of that runner runs, no finalizer, and no write of it reaches the store.
 * What its steps had done stays done. A successor starts on the same store at once, and the world's client goes on with
 * it. Model and tools stand for the world outside: they are built once, and survive. OS processes that tools had started
 * through their `ToolContext` are ended with the runner; what a handler does in plain JavaScript promises is not.
 *
 * It obeys `TestClock` where the test has one, and no timer of it fires by itself then.
 */
import { Clock, Context, Effect, Exit, Layer, type Scope, Stream } from "effect"
import type { Sharding } from "@effect/cluster/Sharding"
import type { Agent } from "../agent/index.ts"
import type { Client } from "../client/index.ts"
import type { Recorded } from "../domain/Entry.ts"
import type { StoreUnavailable, StoreUnusable } from "../domain/Errors.ts"
import { defaultNamespace, Namespace, SessionId, SessionKey } from "../domain/Id.ts"
import { type EntryUnreadable, Journal, type Verified } from "../journal/index.ts"
import { Processes } from "../process/index.ts"
import { Cluster, Runner, RunnerSettings, type RunnerSettingsValues } from "../runner/index.ts"
import type { Behaviour, Settings as SessionSettingsValues } from "../session/index.ts"
import { Sqlite, Store } from "../store/index.ts"
import {
  type Crash,
  type CrashNotReached,
  type CrashPoint,
  CrashPoints,
  type StepName
} from "./internal/CrashPoints.ts"
import type { Life } from "./internal/Life.ts"
import { Lives } from "./internal/Lives.ts"
import { lasting } from "./internal/lasting.ts"
import { lazyProcesses, mortalProcesses } from "./internal/mortalProcesses.ts"
import { mortalStore } from "./internal/mortalStore.ts"

export { type Crash, CrashNotReached, type CrashPoint, type Point, type StoreCrash } from "./internal/CrashPoints.ts"

export interface Options<Agents extends ReadonlyArray<Agent.Any>, M, T, E, S> {
  readonly agents: Agents
  /** The model, and whatever else its layer has: `world.services` gives it back. */
  readonly model?: Layer.Layer<M, E> | undefined
  /** The handlers of the agents' tools, and the services that these need. */
  readonly tools?: Layer.Layer<T, E> | undefined
  /** SQLite in memory unless told; `temporary`: in a directory that goes with the world. */
  readonly store?: "memory" | "temporary" | Layer.Layer<Store, S> | undefined
  /** `automatic` unless told: a successor starts as soon as a runner has died. `manual`: `world.restart` starts it. */
  readonly restart?: "automatic" | "manual" | undefined
  /** Crashes that are armed before the first runner starts. */
  readonly crashes?: ReadonlyArray<Crash> | undefined
  readonly sessions?: Partial<SessionSettingsValues> | undefined
  readonly runner?: Partial<RunnerSettingsValues> | undefined
}

/** A store, a runner on it, and its successors. */
export interface World<Services = never> {
  /** A client that survives the crashes: it asks the next runner what the last one did not answer. */
  readonly client: Client.Client["Type"]
  /** Creates a session, or takes up the one that has this id. */
  readonly session: Client.Client["Type"]["session"]
  /** Arms one crash. */
  readonly crashAt: (point: CrashPoint) => Effect.Effect<void>
  /** Arms a crash at the n-th call of the store, counted from 1 through all lives. Dies if that is over. */
  readonly crashAtStoreCall: (n: number, when: "before" | "after-commit") => Effect.Effect<void>
  /** Kills the runner now. */
  readonly kill: Effect.Effect<void>
  /** Stops the runner in good order if one is up, and starts the next one; returns when that is up. */
  readonly restart: Effect.Effect<void>
  /** Returns when a runner is up: sessions are being recovered. */
  readonly up: Effect.Effect<void>
  /** How many runners have died. */
  readonly crashes: Effect.Effect<number>
  /** Returns when so many runners have died. */
  readonly crashed: (times: number) => Effect.Effect<void>
  /** Fails if a crash that was armed has not happened. */
  readonly reached: Effect.Effect<void, CrashNotReached>
  /** How often the store was called, through all lives. */
  readonly storeCalls: Effect.Effect<number>
  /** All entries of a session, read beside the runner. */
  readonly journal: (
    session: string,
    namespace?: string
  ) => Effect.Effect<ReadonlyArray<Recorded>, StoreUnavailable | EntryUnreadable>
  /** Checks a session's chain, beside the runner. */
  readonly verify: (session: string, namespace?: string) => Effect.Effect<Verified, StoreUnavailable>
  /** The store itself: calls to it are not counted and crash nothing. */
  readonly store: Store["Type"]
  /** What the layers of model and tools have built. */
  readonly services: Context.Context<Services>
}

/** Nothing but work calls the store: counted calls are the same in each run, and a test's clock jumps over nothing. */
const calm: Partial<RunnerSettingsValues> = {
  shards: 4,
  refresh: "7 days",
  heartbeat: "7 days",
  heartbeatExpiry: "365000 days"
}

const layerOf = <S>(
  store: Options<never, never, never, never, S>["store"]
): Layer.Layer<Store, S | Sqlite.DirectoryInUse | StoreUnusable | StoreUnavailable> =>
  store === "temporary" ? Sqlite.layerTemporary : store === "memory" || store === undefined ? Sqlite.layerMemory : store

const keyOf = (session: string, namespace: string = defaultNamespace): SessionKey =>
  SessionKey.make({ namespace: Namespace.make(namespace), session: SessionId.make(session) })

/** Up is who owns the shards: whoever asks earlier asks again after a while, and a test's clock may stand still. */
const settled = <A extends Sharding, R>(sharding: Layer.Layer<A, never, R>, life: Life) =>
  Layer.tap(sharding, (context) =>
    life.hasShards.await.pipe(
      Effect.zipRight(Effect.yieldNow()),
      Effect.zipRight(Effect.repeat(Effect.zipLeft(Cluster.ownsAll, Effect.yieldNow()), { until: (all) => all })),
      Effect.provide(context)
    )
  )

/**
 * Makes a world and starts its first runner. What agents need beyond `model` and `tools` comes from the surrounding
 * context. Ends with its scope, as if killed.
 */
export const make = <const Agents extends ReadonlyArray<Agent.Any>, M = never, T = never, E = never, S = never>(
  options: Options<Agents, M, T, E, S>
): Effect.Effect<
  World<M | T>,
  E | S | Sqlite.DirectoryInUse | StoreUnusable | StoreUnavailable,
  Scope.Scope | Exclude<Agent.Requirements<Agents[number]>, M | T>
> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<Exclude<Agent.Requirements<Agents[number]>, M | T>>()
    const empty = Layer.succeedContext(Context.empty()) as Layer.Layer<never>
    const services = yield* Layer.build(
      Layer.mergeAll((options.model ?? empty) as Layer.Layer<M, E>, (options.tools ?? empty) as Layer.Layer<T, E>)
    )
    const outside = yield* Layer.build(Journal.layer.pipe(Layer.provideMerge(layerOf(options.store))))
    const store = Context.get(outside, Store)
    const journal = Context.get(outside, Journal)
    const processes = yield* lazyProcesses
    const clock = yield* Clock.clockWith(Effect.succeed)
    const runtime = yield* Effect.runtime<never>()
    const points = new CrashPoints()
    const named = new Map<string, StepName>()

    /** An agent's behaviour, with the points at which a step can crash. */
    const mortal = (behaviour: Behaviour, life: Life): Behaviour => ({
      ...behaviour,
      perform: (step, state, stepContext) =>
        Effect.suspend(() => {
          named.set(`${stepContext.key}#${step.step}`, step)
          const at = (point: CrashPoint["point"]) =>
            Effect.suspend(() => {
              if (!points.pass(point, step)) return Effect.void
              lives.crash(life)
              return Effect.never
            })
          return at("before-effect").pipe(
            Effect.zipRight(Effect.exit(behaviour.perform(step, state, stepContext))),
            // What was interrupted has not run to its end.
            Effect.tap((exit) => (Exit.isInterrupted(exit) ? Effect.void : at("after-effect-before-commit"))),
            Effect.flatten
          )
        })
    })

    const storeOf = (life: Life) =>
      mortalStore(
        store,
        life,
        points,
        () => lives.crash(life),
        (session, step) => named.get(`${session}#${step}`)
      )

    const lives: Lives = new Lives(
      runtime,
      clock,
      options.restart ?? "automatic",
      (life, system) =>
        Runner.layerWith(
          options.agents.map(({ behaviour }) => mortal(behaviour, life)),
          settled(Cluster.layerEmbedded, life),
          options.sessions,
          Layer.succeed(Processes, mortalProcesses(processes, life, system))
        ).pipe(
          Layer.provide(
            RunnerSettings.layer({ ...calm, onLost: Effect.sync(() => lives.crash(life)), ...options.runner })
          ),
          Layer.provide(Layer.succeed(Store, storeOf(life))),
          Layer.provide(Layer.succeedContext(Context.merge(context, services)))
          // That nothing else is needed is what the type of `make` says.
        ) as unknown as Layer.Layer<Client.Client, unknown>
    )

    for (const crash of options.crashes ?? []) points.arm(crash)
    yield* Effect.addFinalizer(() => lives.close)
    lives.start()

    const client = lasting(lives.up)
    return {
      client,
      session: client.session,
      crashAt: (point) => Effect.sync(() => points.arm(point)),
      crashAtStoreCall: (storeCall, when) => Effect.sync(() => points.arm({ storeCall, when })),
      kill: Effect.sync(() => lives.crashCurrent()),
      restart: lives.renew,
      up: Effect.asVoid(lives.up),
      crashes: Effect.sync(() => lives.crashes),
      crashed: (times) => lives.crashed(times),
      reached: Effect.suspend(() => points.notReached ?? Effect.void),
      storeCalls: Effect.sync(() => points.storeCalls),
      journal: (session, namespace) =>
        Effect.map(Stream.runCollect(journal.read(keyOf(session, namespace), 0)), (entries) => [...entries]),
      verify: (session, namespace) => journal.verify(keyOf(session, namespace)),
      store,
      services
    }
  })
