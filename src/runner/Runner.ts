/**
 * A runner, put together: this file is the architecture in a few lines.
 *
 * ```
 * Client ─┐
 * Recovery ┼─► Sessions ─► Sharding ─► Membership ─┐
 *          └──────────────► Journal, Blobs ────────┴─► Store (Postgres | SQLite)
 * ```
 */
import type { Sharding } from "@effect/cluster"
import type { SocketServer } from "@effect/platform"
import { type ConfigError, type Context, Effect, Layer, type Redacted } from "effect"
import type { Agent } from "../agent/index.ts"
import { Blobs } from "../blob/index.ts"
import { Client, Transport } from "../client/index.ts"
import type { StoreUnavailable, StoreUnusable } from "../domain/Errors.ts"
import { Journal } from "../journal/index.ts"
import { Direct, Models } from "../model/index.ts"
import { Processes } from "../process/index.ts"
import {
  AgentUnfit,
  Alarms,
  type Behaviour,
  Errands,
  Lanes,
  Pools,
  Registry,
  Sessions,
  SessionSettings,
  type Settings as Sessioning
} from "../session/index.ts"
import { Postgres, Sqlite, type Store } from "../store/index.ts"
import { Capacity } from "./Capacity.ts"
import * as Cluster from "./Cluster.ts"
import { Credentials } from "./Credentials.ts"
import * as Door from "./Door.ts"
import * as Health from "./Health.ts"
import * as Membership from "./Membership.ts"
import * as Otlp from "./Otlp.ts"
import * as Peers from "./Peers.ts"
import * as Recovery from "./Recovery.ts"
import type { SettingInvalid } from "./SettingInvalid.ts"
import { RunnerSettings, type Settings } from "./Settings.ts"
import * as Watchdog from "./Watchdog.ts"

/** What a runner gives to the program around it. */
export type Provided = Client.Client | Store | Journal | Blobs

/** What the runner brings for tools and models by itself. */
type OwnServices = Agent.Provided

/** Fails where an agent calls one that is not here: its sessions could be anybody's. */
const knowsAll = ({ agent, agents = [] }: Behaviour, behaviours: ReadonlyArray<Behaviour>) => {
  const missing = agents.filter((name) => !behaviours.some((one) => one.agent === name))
  const [first, ...rest] = missing.map((name) => ({
    what: `it calls the agent "${name}", and that is not here`,
    remedy: "name both among the runner's `agents`"
  }))
  return first === undefined ? Effect.void : Effect.fail(new AgentUnfit({ agent, problems: [first, ...rest] }))
}

/**
 * The behaviours of the agents, each with the services of the context in which the runner was built. Fails where one cannot
 * work here (its own check says so), or asks for a pool that the runner does not have.
 */
export const layerRegistry = <R>(behaviours: ReadonlyArray<Behaviour<any, R>>) =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const pools = yield* Pools.Pools
      yield* Effect.forEach(behaviours, ({ agent, pools: wanted = [] }) => pools.require(agent, wanted))
      yield* Effect.forEach(behaviours, ({ check = Effect.void }) => check)
      yield* Effect.forEach(behaviours, (behaviour) => knowsAll(behaviour, behaviours))
      const context = (yield* Effect.context<R>()) as Context.Context<never>
      return Registry.layer(behaviours.map((behaviour) => ({ behaviour, context })))
    })
  )

const layerPools = Layer.unwrapEffect(Effect.map(Capacity, ({ pools, tags }) => Pools.Pools.layer(pools, tags)))

const layerErrands = Layer.unwrapEffect(Effect.map(Capacity, ({ tags }) => Errands.layer(tags)))

/** What the providers of the agents' models allow. A model that has its parts at hand (a scripted one) has no provider. */
const layerLanes = (behaviours: ReadonlyArray<Behaviour<any, any>>) =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const find = yield* Models.finder
      const isFree = (name: string): boolean => {
        const model = find(name)
        return model === undefined || Direct.of(model) !== undefined
      }
      return Lanes.layer(
        behaviours.flatMap(({ models = [] }) => models),
        isFree
      )
    })
  )

/** All of a runner above its store and its cluster. */
export const layerWith = <R, E, RC>(
  behaviours: ReadonlyArray<Behaviour<any, R>>,
  sharding: Layer.Layer<Sharding.Sharding, E, RC>,
  settings: Partial<Sessioning> = {},
  processes: Layer.Layer<Processes> = Processes.layer
) => {
  const content = Layer.mergeAll(Journal.layer, Blobs.layer)
  // What is built last is left first: the shards are handed over while their sessions are still there.
  const serving = Errands.layerLeaving.pipe(
    Layer.provideMerge(Layer.mergeAll(Recovery.layer, Client.Client.layer)),
    Layer.provideMerge(Sessions.layer),
    Layer.provide([layerErrands, layerLanes(behaviours)]),
    Layer.provideMerge(Transport.layerCluster),
    Layer.provide(sharding)
  )
  return serving.pipe(
    Layer.provide(layerRegistry<R | OwnServices>(behaviours)),
    Layer.provide(layerPools),
    Layer.provide(Peers.layer),
    Layer.provide(Membership.layer),
    Layer.provide([Alarms.layer, SessionSettings.layer(settings), processes]),
    Layer.provideMerge(content)
  )
}

const behavioursOf = <Agents extends ReadonlyArray<Agent.Any>>(agents: Agents) =>
  agents.map((agent) => agent.behaviour) as ReadonlyArray<
    Behaviour<any, Agent.Requirements<Agents[number]> | OwnServices>
  >

/** The settings do not fit the agents, or are none. */
export type Unfit = SettingInvalid | ConfigError.ConfigError | AgentUnfit | Pools.PoolUnknown | Pools.PoolInvalid

export interface EmbeddedOptions<Agents extends ReadonlyArray<Agent.Any>> {
  readonly agents: Agents
  /** Where the store lives; `.perdure` unless told. One process at a time. */
  readonly directory?: string | undefined
  readonly sessions?: Partial<Sessioning> | undefined
  /** How many steps run at once, by pool: `{ heavy: 2 }`. The environment (`PERDURE_POOLS`) may say otherwise. */
  readonly pools?: Pools.Sizes | undefined
  /** What this runner has and others may not, e.g. `gpu`: tools may ask for it. `PERDURE_TAGS` adds to them. */
  readonly tags?: ReadonlyArray<string> | undefined
}

/**
 * A runner on one machine: one process, one directory. Give it the model and the tool handlers that its agents need.
 *
 * A second process on the same directory is refused with `DirectoryInUse`.
 */
export const layerEmbedded = <const Agents extends ReadonlyArray<Agent.Any>>(
  options: EmbeddedOptions<Agents>
): Layer.Layer<
  Provided,
  Sqlite.DirectoryInUse | StoreUnusable | StoreUnavailable | Unfit,
  Agent.Requirements<Agents[number]>
> =>
  Door.layer(options.directory ?? Sqlite.defaults.directory).pipe(
    Layer.provideMerge(layerWith(behavioursOf(options.agents), Cluster.layerEmbedded, options.sessions)),
    Layer.provide(Capacity.layerConfig(options)),
    // There is nobody who could take its sessions: it gives none up.
    Layer.provide(RunnerSettings.layer({ heartbeatExpiry: "36500 days" })),
    Layer.provideMerge(Sqlite.layer(options.directory === undefined ? {} : { directory: options.directory })),
    Layer.provide(Otlp.layerFromEnv)
  ) as never

export interface ClusterOptions<Agents extends ReadonlyArray<Agent.Any>> {
  readonly agents: Agents
  /** What the environment does not say. */
  readonly runner?: Partial<Settings> | undefined
  readonly sessions?: Partial<Sessioning> | undefined
  /** How many steps run at once, by pool: `{ heavy: 2 }`. The environment (`PERDURE_POOLS`) may say otherwise. */
  readonly pools?: Pools.Sizes | undefined
  /** What this runner has and others may not, e.g. `gpu`: tools may ask for it. `PERDURE_TAGS` adds to them. */
  readonly tags?: ReadonlyArray<string> | undefined
}

/**
 * A client of the runner that works on a directory, in another process of this machine. `NoRunner` when there is none:
 * the store can still be read then.
 */
export const layerLocal = (
  options: { readonly directory?: string | undefined } = {}
): Layer.Layer<Provided, StoreUnusable | StoreUnavailable | Door.NoRunner> =>
  Client.Client.layer.pipe(
    Layer.provide(Door.layerTransport(options.directory ?? Sqlite.defaults.directory)),
    Layer.provideMerge(Layer.mergeAll(Journal.layer, Blobs.layer)),
    Layer.provideMerge(Sqlite.layerReader(options.directory === undefined ? {} : { directory: options.directory }))
  )

/**
 * Reads what is in a store, without a runner: a directory (also while a process works on it), or a database. Nothing
 * is written; no session wakes.
 */
export const layerReader = (
  from: { readonly directory: string } | { readonly url: Redacted.Redacted }
): Layer.Layer<Store | Journal | Blobs, StoreUnusable | StoreUnavailable> =>
  Layer.mergeAll(Journal.layer, Blobs.layer).pipe(
    Layer.provideMerge("url" in from ? Postgres.layer({ url: from.url, maxConnections: 2 }) : Sqlite.layerReader(from))
  )

/**
 * A runner among others, on Postgres. The database's URL comes from `PERDURE_DATABASE_URL` or `DATABASE_URL`; all else
 * from `PERDURE_*`, see {@link Settings}. Start as many as you like, where you like.
 */
export const layerCluster = <const Agents extends ReadonlyArray<Agent.Any>>(
  options: ClusterOptions<Agents>
): Layer.Layer<
  Provided,
  StoreUnusable | SocketServer.SocketServerError | Cluster.Refused | Unfit,
  Agent.Requirements<Agents[number]>
> =>
  layerWith(behavioursOf(options.agents), Layer.provide(Cluster.layerRunner, Health.layer), options.sessions).pipe(
    Layer.provide(Watchdog.layer),
    Layer.provide([Capacity.layerConfig(options), Credentials.layer]),
    Layer.provide(RunnerSettings.layerConfig(options.runner)),
    Layer.provideMerge(Postgres.layerConfig),
    Layer.provide(Otlp.layerFromEnv)
  ) as never

/** A client of a cluster that runs no sessions itself. */
export const layerClient = (
  options: { readonly runner?: Partial<Settings> | undefined } = {}
): Layer.Layer<Provided, StoreUnusable | ConfigError.ConfigError | Cluster.Refused> =>
  Client.Client.layer.pipe(
    Layer.provide(Transport.layerCluster),
    Layer.provide(Cluster.layerClient),
    Layer.provide(Membership.layer),
    Layer.provide([Alarms.layer, Credentials.layer]),
    Layer.provideMerge(Layer.mergeAll(Journal.layer, Blobs.layer)),
    Layer.provide(RunnerSettings.layerConfig(options.runner)),
    Layer.provideMerge(Postgres.layerConfig)
  )
