/** Who is there, as the sessions of this runner see it: what `@effect/cluster` reads of the runners now and then, kept. */
import { type Runner, RunnerStorage } from "@effect/cluster"
import { Context, Effect, Layer } from "effect"
import { Errands, Peers } from "../session/index.ts"
import * as Cluster from "./Cluster.ts"

const nameOf = ({ host, port }: { readonly host: string; readonly port: number }) => `${host}:${port}`

export const layer: Layer.Layer<Peers | RunnerStorage.RunnerStorage, never, RunnerStorage.RunnerStorage> =
  Layer.effectContext(
    Effect.map(RunnerStorage.RunnerStorage, (storage) => {
      let self = ""
      /** By address: one that is about to leave is there as long as it is on the list, and takes nothing new. */
      let there: ReadonlyMap<string, { readonly groups: ReadonlySet<string>; readonly isHealthy: boolean }> = new Map()
      const callbacks = new Set<() => void>()
      const see = (runners: ReadonlyArray<readonly [Runner.Runner, boolean]>) => {
        const next = runners.map(
          ([{ address, groups }, isHealthy]) => [nameOf(address), { groups: new Set(groups), isHealthy }] as const
        )
        const same = next.length === there.size && next.every(([address]) => there.has(address))
        there = new Map(next)
        if (same) return
        for (const callback of callbacks) callback()
      }
      const peers: Peers["Type"] = {
        self: () => self,
        isThere: (address) => there.has(address),
        all: () => [...there.keys()],
        isAlone: () => self.startsWith(`${Cluster.embedded.host}:`),
        serves: (tag) => {
          const group = Errands.groupOf(tag)
          for (const { groups, isHealthy } of there.values()) if (isHealthy && groups.has(group)) return true
          return false
        },
        onChange: (callback) => {
          callbacks.add(callback)
          return () => callbacks.delete(callback)
        }
      }
      return Context.make(Peers, peers).pipe(
        Context.add(RunnerStorage.RunnerStorage, {
          ...storage,
          register: (runner, healthy) => {
            self = nameOf(runner.address)
            return storage.register(runner, healthy)
          },
          getRunners: Effect.tap(storage.getRunners, (runners) => Effect.sync(() => see(runners)))
        })
      )
    })
  )
