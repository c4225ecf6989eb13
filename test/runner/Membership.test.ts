/** Who owns which shard, when the store does not say what it did. Scenarios that the simulator found. */
import { RunnerAddress, Runner, RunnerStorage, ShardId } from "@effect/cluster"
import { expect, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Layer, TestClock } from "effect"
import { StoreUnavailable } from "../../src/domain/Errors.ts"
import type { Epoch, Shard } from "../../src/domain/Id.ts"
import { Membership, RunnerSettings } from "../../src/runner/index.ts"
import { Alarms, Shards } from "../../src/session/index.ts"
import { Store } from "../../src/store/index.ts"
import { SimStore } from "../../src/testing/internal/sim/SimStore.ts"

const shards = [1, 2, 3].map((id) => ShardId.make("default", id))
const addressOf = (n: number) => RunnerAddress.make(`10.0.0.${n}`, 1)

const runner = Effect.fnUntraced(function* (store: Store["Type"], n: number) {
  const context = yield* Layer.build(
    Membership.layer.pipe(
      Layer.provide([Alarms.layer, Layer.succeed(Store, store)]),
      Layer.provide(RunnerSettings.layer({ heartbeat: "500 millis", onLost: Effect.dieMessage("it is lost") }))
    )
  )
  const storage = Context.get(context, RunnerStorage.RunnerStorage)
  const address = addressOf(n)
  yield* storage.register(Runner.make({ address, groups: ["default"], weight: 1 }), true)
  return { address, storage, shards: Context.get(context, Shards) }
})

const lost = new StoreUnavailable({ operation: "acquire", reason: "the connection was lost" })

it.scoped("shards that a runner was given without learning it are given back, for others to take", () =>
  Effect.gen(function* () {
    const data = new SimStore(() => 0)
    const port = data.connect("one")
    let calls = 0
    // The first answer is lost, after its commit.
    const acquire: Store["Type"]["acquire"] = (...args) =>
      Effect.flatMap(port.acquire(...args), (leases) => (++calls === 1 ? lost : Effect.succeed(leases)))
    const one = yield* runner({ ...port, acquire }, 1)
    const two = yield* runner(data.connect("two"), 2)
    yield* Effect.flip(one.storage.acquire(one.address, shards))
    expect(yield* two.storage.acquire(two.address, shards)).toEqual([])
    // One shard is its own to have: it asks for that one again.
    expect((yield* one.storage.acquire(one.address, [shards[0]!])).length).toBe(1)
    yield* TestClock.adjust(Duration.millis(500))
    expect((yield* two.storage.acquire(two.address, shards)).map(String).toSorted()).toEqual(["default:2", "default:3"])
    expect(yield* one.storage.refresh(one.address, [shards[0]!])).toEqual([shards[0]])
  })
)

it.scoped("a shard that is given late, when another question has been answered meanwhile, is given back", () =>
  Effect.gen(function* () {
    const data = new SimStore(() => 0)
    const port = data.connect("one")
    let late: ReturnType<typeof port.acquire> | undefined
    // The first question stays on its way.
    const acquire: Store["Type"]["acquire"] = (...args) => {
      if (late !== undefined) return port.acquire(...args)
      late = port.acquire(...args)
      return lost
    }
    const one = yield* runner({ ...port, acquire }, 1)
    const two = yield* runner(data.connect("two"), 2)
    expect((yield* two.storage.acquire(two.address, shards)).length).toBe(3)
    yield* Effect.flip(one.storage.acquire(one.address, shards))
    expect(yield* one.storage.acquire(one.address, shards)).toEqual([])
    yield* two.storage.release(two.address, shards[0]!)
    expect((yield* late!).map(({ shard }) => shard)).toEqual(["default:1"])
    expect(yield* two.storage.acquire(two.address, shards)).toHaveLength(2)
    yield* TestClock.adjust(Duration.millis(500))
    expect(yield* two.storage.acquire(two.address, shards)).toHaveLength(3)
  })
)

it.scoped("a shard whose epoch was forgotten is not kept, so that it is taken anew", () =>
  Effect.gen(function* () {
    const one = yield* runner(new SimStore(() => 0).connect("one"), 1)
    yield* one.storage.acquire(one.address, shards)
    expect(yield* one.storage.refresh(one.address, shards)).toEqual(shards)
    one.shards.fenced("default:2" as Shard, 1 as Epoch)
    expect(yield* one.storage.refresh(one.address, shards)).toEqual([shards[0], shards[2]])
    expect((yield* one.storage.acquire(one.address, [shards[1]!])).length).toBe(1)
    expect(one.shards.epoch("default:2" as Shard)).toBe(2)
  })
)

it.scoped("a shard that comes while the store is asked for the others is kept", () =>
  Effect.gen(function* () {
    const port = new SimStore(() => 0).connect("one")
    const asked = yield* Deferred.make<void>()
    const answer = yield* Deferred.make<void>()
    const owned: Store["Type"]["owned"] = (...args) =>
      Effect.flatMap(port.owned(...args), (found) =>
        Deferred.succeed(asked, undefined).pipe(Effect.zipRight(Deferred.await(answer)), Effect.as(found))
      )
    const one = yield* runner({ ...port, owned }, 1)
    yield* one.storage.acquire(one.address, [shards[0]!])
    const looking = yield* Effect.fork(one.storage.refresh(one.address, [shards[0]!]))
    yield* Deferred.await(asked)
    yield* one.storage.acquire(one.address, [shards[1]!])
    yield* Deferred.succeed(answer, undefined)
    expect(yield* looking).toEqual([shards[0], shards[1]])
  })
)

it.scoped("a runner that leaves while it registers is gone, and not taken for one that others have declared dead", () =>
  Effect.forEach(["before its row is there", "before it knows that its row is there"], (when) =>
    Effect.gen(function* () {
      const port = new SimStore(() => 0).connect("one")
      const asked = yield* Deferred.make<void>()
      const answer = yield* Deferred.make<void>()
      const wait = Effect.zipRight(Deferred.succeed(asked, undefined), Deferred.await(answer))
      const register: Store["Type"]["register"] = (row) =>
        when === "before its row is there"
          ? Effect.zipRight(wait, port.register(row))
          : Effect.zipLeft(port.register(row), wait)
      let died = false
      const onLost = Effect.sync(() => {
        died = true
      })
      const context = yield* Layer.build(
        Membership.layer.pipe(
          Layer.provide([Alarms.layer, Layer.succeed(Store, { ...port, register })]),
          Layer.provide(RunnerSettings.layer({ heartbeat: "500 millis", onLost }))
        )
      )
      const storage = Context.get(context, RunnerStorage.RunnerStorage)
      const address = addressOf(1)
      const joining = yield* Effect.fork(
        storage.register(Runner.make({ address, groups: ["default"], weight: 1 }), true)
      )
      yield* Deferred.await(asked)
      yield* storage.unregister(address)
      yield* Deferred.succeed(answer, undefined)
      yield* joining
      yield* TestClock.adjust(Duration.seconds(5))
      expect(died, when).toBe(false)
      expect(yield* port.runners(60_000), when).toEqual([])
      // The cluster, which looks once more, would warn that there is nobody.
      expect(yield* storage.getRunners, when).toHaveLength(1)
    })
  )
)
