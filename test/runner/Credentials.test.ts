/** Runners that would not answer each other do not stand beside each other. */
import { Runner, RunnerAddress, RunnerStorage } from "@effect/cluster"
import { expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted, Scope } from "effect"
import {
  Agreement,
  Credentials,
  Membership,
  RunnerSettings,
  type RunnerSettingsValues
} from "../../src/runner/index.ts"
import { Alarms } from "../../src/session/index.ts"
import { Store } from "../../src/store/index.ts"
import { SimStore } from "../../src/testing/internal/sim/SimStore.ts"

const one = "the first secret of more than 32 bytes"
const two = "the second secret of more than 32 bytes"
const three = "the third secret of more than 32 bytes"
const certificates = { cert: "c", key: "k", ca: "a", name: null }

/** Runners of one store, each started with settings and, once it may, registered. */
const cluster = Effect.sync(() => {
  const data = new SimStore(() => 0)
  let runners = 0
  const start = (settings: Partial<RunnerSettingsValues>) =>
    Effect.gen(function* () {
      const n = ++runners
      const port = data.connect(`runner ${n}`)
      const scope = yield* Scope.make()
      const context = yield* Layer.build(
        Layer.merge(Membership.layer, Layer.effectDiscard(Agreement.check)).pipe(
          Layer.provide(Alarms.layer),
          Layer.provide(Credentials.layer),
          Layer.provide([RunnerSettings.layer(settings), Layer.succeed(Store, port)])
        )
      ).pipe(Scope.extend(scope))
      const storage = Context.get(context, RunnerStorage.RunnerStorage)
      const address = RunnerAddress.make(`10.0.0.${n}`, 1)
      yield* storage.register(Runner.make({ address, groups: ["default"], weight: 1 }), true)
      return { stop: storage.unregister(address) }
    })
  const withSecret = (secret: string) => start({ secret: Redacted.make(secret) })
  return { start, withSecret, rows: data.connect("observer").runners(60_000) }
})

it.effect(
  "one that shares no secret with those that live is refused, and told what to do; no secret is named (I12)",
  () =>
    Effect.gen(function* () {
      const { rows, start, withSecret } = yield* cluster
      const first = yield* withSecret(one)
      const refused = yield* Effect.flip(withSecret(two))
      expect(refused._tag).toBe("TrafficMisconfigured")
      expect(refused.message).toMatch(
        /^PERDURE_CLUSTER_SECRET: runners live on this store \(10\.0\.0\.1:1\) with which .* shares no secret.*: give it theirs/
      )
      // Nor one that takes the store's, because it has none.
      expect((yield* Effect.flip(start({})))._tag).toBe("TrafficMisconfigured")
      const said = JSON.stringify([refused, yield* rows])
      for (const secret of [one, two]) expect(said).not.toContain(secret)
      yield* first.stop
      yield* withSecret(two)
    })
)

it.effect("a secret is changed while runners run: old,new, then new,old, then new", () =>
  Effect.gen(function* () {
    const { withSecret } = yield* cluster
    let last = yield* withSecret(one)
    for (const next of [`${one},${two}`, `${two},${one}`, two, `${two}, ${three}`]) {
      const started = yield* withSecret(next)
      yield* last.stop
      last = started
    }
    expect((yield* Effect.flip(withSecret(one)))._tag).toBe("TrafficMisconfigured")
  })
)

it.effect("where certificates alone decide there is nothing to compare", () =>
  Effect.gen(function* () {
    const { rows, start, withSecret } = yield* cluster
    yield* start({ tls: certificates })
    expect((yield* rows)[0]!.info).not.toContain("secrets")
    yield* withSecret(one)
    yield* start({ tls: certificates })
    expect(JSON.parse((yield* rows)[1]!.info).secrets).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)])
  })
)

it.effect("of two that begin at once, with nobody to find, the one that finds the other ends", () =>
  Effect.gen(function* () {
    const data = new SimStore(() => 0)
    const begin = (n: number, secret: string, onLost: Effect.Effect<void>) =>
      Effect.map(
        Layer.build(
          Membership.layer.pipe(
            Layer.provide(Alarms.layer),
            Layer.provide(Credentials.layer),
            Layer.provide([
              RunnerSettings.layer({ secret: Redacted.make(secret), onLost }),
              Layer.succeed(Store, data.connect(`runner ${n}`))
            ])
          )
        ),
        (context) =>
          Context.get(context, RunnerStorage.RunnerStorage).register(
            Runner.make({ address: RunnerAddress.make(`10.0.0.${n}`, 1), groups: ["default"], weight: 1 }),
            true
          )
      )
    let ended = 0
    const first = yield* begin(1, one, Effect.dieMessage("it was there first"))
    const second = yield* begin(
      2,
      two,
      Effect.sync(() => void ended++)
    )
    yield* first
    yield* second
    expect(ended).toBe(1)
    expect((yield* data.connect("observer").runners(60_000)).map(({ address }) => address)).toEqual(["10.0.0.1:1"])
  }).pipe(Effect.scoped)
)

it.effect("one whose heartbeats the others would not hear in time is refused, and told theirs", () =>
  Effect.gen(function* () {
    const { start } = yield* cluster
    yield* start({})
    const slow = { heartbeat: "8 seconds", heartbeatExpiry: "30 seconds" } as const
    const refused = yield* Effect.flip(start(slow))
    expect(refused).toMatchObject({ _tag: "SettingInvalid", setting: "PERDURE_HEARTBEAT, PERDURE_HEARTBEAT_EXPIRY" })
    expect(refused.message).toMatch(
      /has a heartbeat each 8s and an expiry of 30s, the runner at 10.0.0.1:1 .* 500ms .* 5s/
    )
    // Little by little it can be changed.
    yield* start({ heartbeat: "2 seconds", heartbeatExpiry: "8 seconds" })
  })
)
