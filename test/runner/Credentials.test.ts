/** Runners that would not answer each other do not stand beside each other. */
import { Runner, RunnerAddress, RunnerStorage } from "@effect/cluster"
import { expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted, Scope } from "effect"
import { Credentials, Membership, RunnerSettings, type RunnerSettingsValues } from "../../src/runner/index.ts"
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
        Membership.layer.pipe(
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
