/**
 * Where a session is on this runner, asleep or awake: it wakes when the first request comes for it, and answers what needs
 * no actor. A class with methods: closures of its own for each session would weigh more than what they do.
 */
import { type Entity, type EntityAddress, ShardId, type Sharding } from "@effect/cluster"
import { type Context, Effect, ExecutionStrategy, Exit, Runtime, Scope } from "effect"
import { Claim } from "../../blob/index.ts"
import type { Command, SessionCreated } from "../../domain/Entry.ts"
import * as Errors from "../../domain/Errors.ts"
import { type CommandId, SessionKey, type Shard } from "../../domain/Id.ts"
import type { Json } from "../../domain/Json.ts"
import { OneAtATime } from "../../domain/OneAtATime.ts"
import { Actor } from "../Actor.ts"
import type { Unavailable } from "../Protocol.ts"
import { isActive } from "../State.ts"
import type { Ground } from "./ground.ts"
import { keepAwake } from "./keepAwake.ts"
import { creation, load } from "./load.ts"
import type { Vigil } from "./vigil.ts"

/** What the cluster gives each of its entities. */
export type Surroundings = Context.Context<Entity.CurrentAddress | Sharding.Sharding>

export class Home {
  private readonly key: SessionKey
  private readonly shard: Shard
  private readonly waking = new OneAtATime()
  private awake: { readonly actor: Actor; readonly scope: Scope.CloseableScope } | null = null

  constructor(
    private readonly ground: Ground,
    private readonly vigil: Vigil,
    private readonly address: EntityAddress.EntityAddress,
    private readonly surroundings: Surroundings,
    private readonly scope: Scope.Scope
  ) {
    this.key = SessionKey.parse(address.entityId)
    this.shard = ShardId.ShardId.toString(address.shardId) as Shard
  }

  /** The actor; `null` where there is no such session and nobody creates it. */
  wake(created?: SessionCreated): Effect.Effect<Actor | null, Unavailable> {
    return Effect.suspend(() => {
      const actor = this.actor()
      return actor === null ? this.waking.run(this.wakeOnce(created)) : Effect.succeed(actor)
    })
  }

  private actor(): Actor | null {
    return this.awake !== null && this.awake.actor.failure === null ? this.awake.actor : null
  }

  private wakeOnce(created: SessionCreated | undefined): Effect.Effect<Actor | null, Unavailable> {
    const { ground, key, shard } = this
    return Effect.gen(this, function* () {
      const running = this.actor()
      if (running !== null) return running
      const last = this.awake
      this.awake = null
      if (last !== null) yield* Scope.close(last.scope, Exit.void)
      const epoch = ground.shards.epoch(shard)
      if (epoch === null) return yield* new Errors.Fenced(key)
      const found = yield* load(key)
      const loaded = found ?? (created === undefined ? null : yield* creation(created, key))
      if (loaded === null) return null
      const scope = yield* Scope.fork(this.scope, ExecutionStrategy.sequential)
      const onFailure = (error: Unavailable) => this.onFailure(error)
      const actor = yield* Actor.make(ground, key, shard, epoch, loaded, onFailure).pipe(Scope.extend(scope))
      this.awake = { actor, scope }
      this.stayAwake()
      return actor
    }).pipe(
      Effect.provide(ground.context),
      Effect.tapErrorTag("SessionParked", (error) => this.park(error)),
      Effect.uninterruptible
    )
  }

  /** For whoever lists sessions to see. What another runner has taken meanwhile is its to judge. */
  private park({ reason }: Errors.SessionParked): Effect.Effect<void> {
    const { ground, key, shard } = this
    return Effect.suspend(() =>
      ground.shards.epoch(shard) === null
        ? Effect.void
        : Effect.ignore(ground.store.park(key.namespace, key.session, reason))
    )
  }

  /** Unfinished work must go on when the store does, though nobody asks. */
  private onFailure(error: Unavailable): void {
    const { runtime, settings } = this.ground
    if (error._tag === "SessionParked") Runtime.runFork(runtime)(this.park(error))
    if (error._tag !== "StoreUnavailable") return
    Runtime.runFork(runtime)(
      this.wake().pipe(
        Effect.delay(settings.retryWake),
        Effect.retry({ while: (error) => error._tag === "StoreUnavailable" }),
        Effect.ignore,
        Effect.forkIn(this.scope)
      )
    )
  }

  private isBusy(): boolean {
    return this.awake !== null && isActive(this.awake.actor.state)
  }

  private stayAwake(): void {
    if (!this.isBusy()) return
    const keep = (active: boolean) => Effect.provide(keepAwake(active), this.surroundings)
    this.vigil.watch(this.address.entityId, () => this.isBusy(), keep)
  }

  existing(): Effect.Effect<Actor, Unavailable | Errors.SessionNotFound> {
    return Effect.flatMap(this.wake(), (actor) =>
      actor === null ? Effect.fail(new Errors.SessionNotFound(this.key)) : Effect.succeed(actor)
    )
  }

  create(created: SessionCreated) {
    return Effect.gen(this, function* () {
      const actor = (yield* this.wake(created))!
      const agent = actor.state.seq === 0 ? created.agent : actor.state.agent
      if (agent !== created.agent) {
        return yield* new Errors.AgentMismatch({ ...this.key, expected: created.agent, actual: agent })
      }
      return yield* actor.create(created)
    })
  }

  accept(id: CommandId, command: Command) {
    const { ground, key } = this
    return Effect.gen(this, function* () {
      const bytes = Buffer.byteLength(JSON.stringify(command))
      if (bytes > ground.settings.messageBytes) {
        return yield* new Errors.MessageTooLarge({ bytes, limit: ground.settings.messageBytes })
      }
      const actor = yield* this.existing()
      const claimed = (yield* Claim.check(key.namespace, command as unknown as Json, {
        textsOnly: true
      })) as unknown as Command
      if (!actor.knows(id)) {
        const before = yield* ground.journal
          .accepted(key, id)
          .pipe(
            Effect.catchTag("EntryUnreadable", (error) => new Errors.SessionParked({ ...key, reason: error.message }))
          )
        if (before !== null) {
          const same =
            before.entry._tag === "CommandAccepted" && JSON.stringify(before.entry.command) === JSON.stringify(claimed)
          return same ? { seq: before.seq as number } : yield* new Errors.CommandConflict({ ...key, command: id })
        }
      }
      const ack = yield* actor.command(id, claimed)
      this.stayAwake()
      return ack
    }).pipe(Effect.provide(ground.context))
  }
}
