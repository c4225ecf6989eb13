/** Who is there, as the sessions of this runner see it: what `@effect/cluster` reads of the runners now and then, kept. */
import { RunnerStorage } from "@effect/cluster"
import { Context, Effect, Layer } from "effect"
import { Errands, Peers } from "../session/index.ts"

export const layer: Layer.Layer<Peers | RunnerStorage.RunnerStorage, never, RunnerStorage.RunnerStorage> =
  Layer.effectContext(
    Effect.map(RunnerStorage.RunnerStorage, (storage) => {
      let self = ""
      let there: ReadonlyMap<string, ReadonlySet<string>> = new Map()
      const callbacks = new Set<() => void>()
      const see = (runners: ReadonlyArray<readonly [string, ReadonlyArray<string>]>) => {
        const same = runners.length === there.size && runners.every(([address]) => there.has(address))
        there = new Map(runners.map(([address, groups]) => [address, new Set(groups)]))
        if (same) return
        for (const callback of callbacks) callback()
      }
      const peers: Peers["Type"] = {
        self: () => self,
        isThere: (address) => there.has(address),
        serves: (tag) => {
          for (const groups of there.values()) if (groups.has(Errands.groupOf(tag))) return true
          return false
        },
        onChange: (callback) => {
          callbacks.add(callback)
          return () => callbacks.delete(callback)
        }
      }
      const nameOf = ({ host, port }: { readonly host: string; readonly port: number }) => `${host}:${port}`
      return Context.make(Peers, peers).pipe(
        Context.add(RunnerStorage.RunnerStorage, {
          ...storage,
          register: (runner, healthy) => {
            self = nameOf(runner.address)
            return storage.register(runner, healthy)
          },
          getRunners: Effect.tap(storage.getRunners, (runners) =>
            Effect.sync(() =>
              see(
                runners.flatMap(([runner, healthy]) =>
                  healthy ? [[nameOf(runner.address), runner.groups] as const] : []
                )
              )
            )
          )
        })
      )
    })
  )
