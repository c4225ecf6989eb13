/** A session is within reach though a request to it was interrupted, at whatever instruction. Found by the simulator. */
import { Entity, EntityAddress, EntityId, type Envelope, Message, Sharding } from "@effect/cluster"
import { Rpc } from "@effect/rpc"
import { expect, it } from "@effect/vitest"
import { Effect, FiberId, Layer, Option, Runtime, Schema, Scheduler } from "effect"
import { Cluster, Membership, RunnerSettings } from "../../src/runner/index.ts"
import { whole } from "../../src/runner/internal/whole.ts"
import { Alarms } from "../../src/session/index.ts"
import { SimStore } from "../../src/testing/internal/sim/SimStore.ts"

const Thing = Entity.make("Thing", [Rpc.make("Ask", { success: Schema.Number })])

const layer = Thing.toLayer({ Ask: () => Effect.succeed(1) }, { concurrency: "unbounded" }).pipe(
  Layer.provideMerge(Cluster.layerEmbedded),
  Layer.provide(Membership.layer),
  Layer.provide([Alarms.layer, SimStore.layer, RunnerSettings.layer({ heartbeatExpiry: "1 hour" })])
)

/** Stops a fiber once, before one of its instructions, until it is let go. */
class Breakpoint implements Scheduler.Scheduler {
  private readonly tasks: Array<() => void> = []
  private instructions = 0
  private isOver = false

  constructor(private readonly at: number) {}

  shouldYield(): number | false {
    return ++this.instructions === this.at ? 0 : false
  }

  get isReached(): boolean {
    return this.instructions >= this.at
  }

  scheduleTask(task: () => void, priority: number): void {
    if (this.isOver) Scheduler.defaultScheduler.scheduleTask(task, priority)
    else this.tasks.push(task)
  }

  /** @returns whether there was something to do */
  step(): boolean {
    const task = this.tasks.shift()
    task?.()
    return task !== undefined
  }

  letGo(): void {
    this.isOver = true
    while (this.step());
  }
}

/** As it comes from another runner. */
const incoming = (sharding: Sharding.Sharding["Type"], id: string) =>
  Effect.map(
    sharding.getSnowflake,
    (requestId) =>
      new Message.IncomingRequest({
        envelope: {
          _tag: "Request",
          requestId,
          address: EntityAddress.EntityAddress.make({
            entityType: Thing.type,
            entityId: EntityId.make(id),
            shardId: sharding.getShardId(EntityId.make(id), "default")
          }),
          tag: "Ask",
          payload: undefined,
          headers: {}
        } as unknown as Envelope.Request.PartialEncoded,
        respond: () => Effect.void,
        lastSentReply: Option.none()
      })
  )

/** The instructions of a request after which its session is out of reach when it was interrupted there. */
const unreachable = (wrap: (sharding: Sharding.Sharding["Type"]) => Sharding.Sharding["Type"]) =>
  Effect.gen(function* () {
    const client = yield* Thing.client
    const sharding = yield* Sharding.Sharding
    const runtime = yield* Effect.runtime()
    yield* client("warm").Ask()
    const found: Array<number> = []
    let at = 1
    for (; ; at++) {
      const id = `thing-${at}`
      const breakpoint = new Breakpoint(at)
      const message = yield* incoming(sharding, id)
      const fiber = Runtime.runFork(runtime)(wrap(sharding).send(message), { scheduler: breakpoint })
      while (!breakpoint.isReached && breakpoint.step());
      const isReached = breakpoint.isReached
      fiber.unsafeInterruptAsFork(FiberId.none)
      breakpoint.letGo()
      if (!isReached) break
      const answer = yield* Effect.timeoutOption(client(id).Ask(), "1 second")
      if (answer._tag === "None") found.push(at)
    }
    expect(at).toBeGreaterThan(50)
    return found
  }).pipe(Effect.provide(layer))

it.live("a request that is interrupted at any instruction keeps no later one from its session", () =>
  Effect.gen(function* () {
    expect(yield* unreachable(whole)).toEqual([])
    // When the cluster does so by itself, `whole` can go.
    expect((yield* unreachable((sharding) => sharding)).length).toBeGreaterThan(0)
  })
)
