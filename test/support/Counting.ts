/** An embedded runner whose store counts what it is asked, as a witness of how often and how much. */
import type { Agent } from "../../src/agent/index.ts"
import { Context, Effect, Layer } from "effect"
import { Cluster, Runner, RunnerSettings } from "../../src/runner/index.ts"
import type { Settings } from "../../src/session/index.ts"
import { Sqlite, Store, type Waking } from "../../src/store/index.ts"

export interface Counts {
  /** By operation of the store: how often it was called. */
  readonly calls: Record<string, number>
  /** Rows that `append` wrote, and that `read` and `waking` returned. */
  written: number
  read: number
}

export const none = (): Counts => ({ calls: {}, written: 0, read: 0 })

/** The store, with every operation counted into `counts()`, which may be another one at each call. */
export const counting = (store: Store["Type"], counts: () => Counts): Store["Type"] => {
  const counted: Record<string, unknown> = {}
  for (const [name, operation] of Object.entries(store)) {
    counted[name] =
      typeof operation !== "function"
        ? operation
        : (...args: ReadonlyArray<unknown>) =>
            Effect.suspend(() => {
              const now = counts()
              now.calls[name] = (now.calls[name] ?? 0) + 1
              if (name === "append") {
                for (const { rows } of args[0] as ReadonlyArray<{ rows: ReadonlyArray<unknown> }>)
                  now.written += rows.length
              }
              return (operation as (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown>)(...args).pipe(
                Effect.tap((result) => {
                  if (name === "read") now.read += (result as ReadonlyArray<unknown>).length
                  if (name === "waking") now.read += (result as Waking).rows.length
                })
              )
            })
  }
  return counted as unknown as Store["Type"]
}

/** A store that counts, over another. */
export const layerOver = <E, R>(counts: () => Counts, store: Layer.Layer<Store, E, R>): Layer.Layer<Store, E, R> =>
  Layer.map(store, (context) => Context.make(Store, counting(Context.get(context, Store), counts)))

/** As `Runner.layerEmbedded`, without its socket. */
export const layerEmbedded = <const Agents extends ReadonlyArray<Agent.Any>>(options: {
  readonly agents: Agents
  readonly directory: string
  readonly counts: () => Counts
  readonly sessions?: Partial<Settings>
}): Layer.Layer<Runner.Provided, unknown, Agent.Requirements<Agents[number]>> =>
  Runner.layerWith(
    options.agents.map((agent) => agent.behaviour),
    Cluster.layerEmbedded,
    options.sessions
  ).pipe(
    Layer.provide(RunnerSettings.layer()),
    Layer.provideMerge(layerOver(options.counts, Sqlite.layer({ directory: options.directory })))
  ) as never
