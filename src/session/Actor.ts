/**
 * One session, awake: the only loop, and the only writer of its journal while its epoch holds.
 *
 * ```
 * events (commands, outcomes, timers) ──► entries ──► decide ──► more entries ──► one append ──► start and stop steps
 * ```
 *
 * - I1: a command is answered after the append that has it.
 * - I2: a step starts after the append that intends it, and its outcome is appended before anything follows from it.
 * - I3: an append that is fenced ends this actor at once; nothing that it holds is written later.
 * - I6: live text and the journal's end change together, in one synchronous piece of code.
 */
import { type Clock, Deferred, Effect, Fiber, Runtime, type Scope } from "effect"
import type { Command, SessionCreated } from "../domain/Entry.ts"
import { Fenced, SessionParked } from "../domain/Errors.ts"
import type { CommandId, Epoch, SessionKey, Shard } from "../domain/Id.ts"
import type { Json } from "../domain/Json.ts"
import { Live } from "../feed/index.ts"
import type { Head } from "../journal/index.ts"
import { Names } from "../telemetry/index.ts"
import type { Behaviour } from "./Behaviour.ts"
import { partsOf, recover, type Waiting } from "./Decide.ts"
import type { AttemptExit } from "./internal/attempt.ts"
import type { Remotes } from "./internal/child.ts"
import { Commands } from "./internal/commands.ts"
import { Draft } from "./internal/draft.ts"
import * as EndOnce from "./internal/endOnce.ts"
import { type Event, type Subject, take } from "./internal/event.ts"
import { follow, type Followed } from "./internal/follow.ts"
import type { Gate } from "./internal/gate.ts"
import type { Ground, Services } from "./internal/ground.ts"
import { Inbox } from "./internal/inbox.ts"
import { infoOf } from "./internal/info.ts"
import type { Loaded } from "./internal/load.ts"
import { measure } from "./internal/measure.ts"
import { pull, type Source } from "./internal/readers.ts"
import { type Host, Running } from "./internal/running.ts"
import { type Holder, Slots, type Waits } from "./internal/slots.ts"
import { Snapshots } from "./internal/snapshots.ts"
import * as TurnSpan from "./internal/turnSpan.ts"
import { type Waiter, Waiters } from "./internal/waiters.ts"
import type { Ack, PullReply, PullRequest, Refused, Unavailable } from "./Protocol.ts"
import type { Shards } from "./Shards.ts"
import type { OpenStep, SessionState } from "./State.ts"

/** Events that one append may answer. */
const mostAtOnce = 256

const none: ReadonlyArray<never> = []

// A class: closures of its own for each session would weigh more than what they do.
export class Actor implements Host, Holder, Source, Subject, Followed {
  readonly behaviour: Behaviour
  readonly live = new Live()
  readonly slots: Slots
  private readonly runtime: Runtime.Runtime<Services>
  readonly running: Running
  private readonly waiters = new Waiters()
  readonly commands: Commands
  private readonly snapshots: Snapshots
  private readonly inbox: Inbox<Event>
  private current: SessionState
  private head: Head
  /** The error that ended it, if one did: the next request wakes the session anew. */
  failure: Unavailable | null = null
  /** No step begins any more; outcomes are still journaled. */
  private leaving = false
  /** Nothing is journaled any more. */
  closed = false
  private recovered = false
  turnSpan: TurnSpan.TurnSpan = TurnSpan.none
  /** Events whose append is under way. */
  private pending: ReadonlyArray<Event> = none
  /** Whoever waits until no tool runs any more. */
  private quiet: Deferred.Deferred<void> | null = null
  /** The loop, unless it is at rest. */
  private working: Fiber.RuntimeFiber<void> | null = null

  /**
   * @param loaded what the journal says; its state is empty for a session that is about to be created
   * @param onFailure called once when an error ends the actor
   */
  static make(
    ground: Ground,
    key: SessionKey,
    shard: Shard,
    epoch: Epoch,
    loaded: Loaded,
    onFailure: (error: Unavailable) => void
  ): Effect.Effect<Actor, never, Scope.Scope> {
    return Effect.suspend(() => {
      const actor = new Actor(ground, key, shard, epoch, loaded, onFailure)
      // What runs stops at once: another runner may be at the same.
      const forgetLost = ground.shards.onLost(() => {
        if (actor.failure === null) actor.fork(actor.fail(new Fenced(key)))
      })
      actor.openSpan()
      actor.granted()
      const end = Effect.zipRight(Effect.sync(forgetLost), actor.leave())
      return Effect.as(
        Effect.addFinalizer(() => end),
        actor
      )
    })
  }

  private constructor(
    readonly ground: Ground,
    readonly key: SessionKey,
    readonly shard: Shard,
    private readonly epoch: Epoch,
    loaded: Loaded,
    private readonly onFailure: (error: Unavailable) => void
  ) {
    const { journal, settings } = ground
    this.behaviour = loaded.registered.behaviour
    this.runtime = ground.runtimeOf(loaded.registered)
    this.current = loaded.state
    this.head = loaded.head
    this.commands = new Commands(key, settings.mailboxCapacity, loaded.state.seq > 0)
    this.snapshots = new Snapshots(key, journal, loaded, settings.snapshotEntries)
    this.inbox = new Inbox(mostAtOnce, this)
    this.slots = new Slots(this)
    this.running = new Running(this)
  }

  // --- What others ask ---

  create(created: SessionCreated): Effect.Effect<Ack, Unavailable> {
    return this.ask((reply) => ({ _tag: "Create", created, reply }))
  }

  command(id: CommandId, command: Command): Effect.Effect<Ack, Unavailable | Refused> {
    return this.ask((reply) => ({ _tag: "Command", id, command, reply }))
  }

  pull(request: PullRequest): Effect.Effect<PullReply, Unavailable> {
    return pull(this, request)
  }

  get wake(): Effect.Effect<void> {
    return Effect.sync(() => this.granted())
  }

  get state(): SessionState {
    return this.current
  }

  /** The journal's end. */
  get seq(): number {
    return this.head.seq
  }

  /** The steps that wait for a slot of their pool, and since when, in milliseconds since the epoch. */
  get waiting(): ReadonlyArray<Waits> {
    return this.slots.waiting
  }

  /** Whether a command id was accepted while this actor was awake, or cannot have been before. */
  knows(id: CommandId): boolean {
    return this.commands.knows(id)
  }

  private ask<A, E>(event: (reply: Deferred.Deferred<A, E | Unavailable>) => Event): Effect.Effect<A, E | Unavailable> {
    return Effect.flatMap(Deferred.make<A, E | Unavailable>(), (reply) => {
      if (this.failure !== null) return Effect.fail(this.failure)
      this.inbox.offer(event(reply))
      return Deferred.await(reply)
    })
  }

  // --- What its parts ask of it ---

  /** Something was granted, or is due: it is decided again. */
  granted(): void {
    this.inbox.offer({ _tag: "Wake" })
  }

  gateOf(wanted: string): Gate {
    const { errands, lanes } = this.ground
    const { calls, pool } = partsOf(wanted)
    const inner = errands.gate(this.key, this.epoch, this.behaviour.agent, pool)
    if (calls === null) return inner
    const tokens = () => this.behaviour.tokens?.(this.current.behaviour) ?? null
    return lanes.gate(this.key, this.behaviour.chain?.(calls) ?? none, tokens, inner)
  }

  waited({ name, pool }: Waiting, ms: number): void {
    this.turnSpan.event(Names.EventName.poolWaited, this.clock.unsafeCurrentTimeMillis(), {
      [Names.Attribute.pool]: pool,
      [Names.Attribute.stepName]: name,
      [Names.Attribute.waitMs]: ms
    })
  }

  get clock(): Clock.Clock {
    return this.ground.clock
  }

  get remotes(): Remotes {
    return this.ground.remotes
  }

  get shards(): Shards["Type"] {
    return this.ground.shards
  }

  fork(effect: Effect.Effect<void, never, Services>): Fiber.RuntimeFiber<void> {
    return Runtime.runFork(this.runtime)(effect)
  }

  within<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.turnSpan.within(effect)
  }

  save(step: OpenStep, partial?: Json): Effect.Effect<void> {
    return this.ask<void, never>((reply) => ({ _tag: "Save", step, partial, reply })).pipe(
      // An actor that has failed stops its steps: there is nobody left to tell.
      Effect.catchAll(() => Effect.never)
    )
  }

  ended(step: OpenStep, startedAt: number, exit: AttemptExit): void {
    this.inbox.offer({ _tag: "Ended", step, startedAt, exit })
  }

  changed(): void {
    this.waiters.wake()
  }

  listen(): Waiter {
    return this.waiters.listen()
  }

  // --- Entries are on disk ---

  openSpan(): void {
    if (!this.ground.traced || this.current.turn === null) return
    const { agent, agentVersion: version, turn } = this.current
    this.turnSpan = TurnSpan.open(this.runtime, { ...this.key, agent, version, turn: turn.turn, epoch: this.epoch })
  }

  /** All that depends on the journal's end changes at once. */
  private committed(draft: Draft, next: Head): void {
    this.current = draft.state
    this.head = next
    for (const entry of draft.entries) follow(this, entry)
    this.waiters.wake()
  }

  // --- The loop ---

  /** Nothing waits for the disk any more: senders are answered, steps begin. */
  private goOn(after: ReadonlyArray<() => void>, mayBegin: boolean): void {
    for (const then of after) then()
    this.pending = none
    this.running.follow(this.current, mayBegin && !this.closed)
    if (this.current.turn === null) this.slots.rest()
    this.hush()
  }

  /** Tells who waits for it that no tool runs any more. */
  private hush(): void {
    if (this.quiet !== null && !this.running.hasTools()) Deferred.unsafeDone(this.quiet, Effect.void)
  }

  // Few effects: this runs at each step of each session.
  private turnOver(events: ReadonlyArray<Event>): Effect.Effect<void, Unavailable> {
    const { behaviour, clock, epoch, ground, head, key, shard } = this
    const draft = new Draft(behaviour, clock.unsafeCurrentTimeMillis(), this.current, this.slots)
    this.pending = events
    if (!this.recovered) {
      this.recovered = true
      for (const entry of recover(draft.state, draft.now, behaviour.policy, behaviour)) draft.push(entry)
    }
    const after: Array<() => void> = []
    for (const event of events) {
      const then = take(this, draft, event)
      if (then !== null) after.push(then)
    }
    if (this.failure !== null) return Effect.fail(this.failure)
    // What is intended here begins, though the session may be told to leave while it is appended.
    const mayBegin = !this.leaving && !ground.shards.draining()
    if (mayBegin) draft.conclude((step) => this.running.has(step))
    const { entries } = draft
    if (entries.length === 0) {
      this.goOn(after, mayBegin)
      return Effect.void
    }
    const before = this.current
    const info = infoOf(before, draft.state, entries)
    const append = ground.journal.append({ key, shard, epoch, head, at: draft.now, entries, info })
    return Effect.map(append, (appended) => {
      this.committed(draft, appended.head)
      const save = this.snapshots.after(this.current, this.head, entries.length, appended.bytes)
      if (save !== null) this.fork(save)
      this.goOn(after, mayBegin)
      measure(before, entries, draft.now)
    })
  }

  private get loop(): Effect.Effect<void, Unavailable> {
    const step: Effect.Effect<void, Unavailable> = Effect.suspend(() => {
      const events = this.inbox.next()
      if (events !== null) return Effect.flatMap(this.turnOver(events), () => step)
      this.working = null
      this.hush()
      return Effect.void
    })
    return step
  }

  /** There is something in the inbox. */
  work(): void {
    const guarded = this.loop.pipe(
      Effect.catchAll((error) => this.fail(error)),
      // A behaviour that throws in `evolve` or `decide` parks its own session and harms no other (I13).
      Effect.catchAllDefect((defect) =>
        this.fail(new SessionParked({ ...this.key, reason: `its behaviour failed: ${String(defect).slice(0, 500)}` }))
      )
    )
    // Not at once: whoever offers may be in the middle of something.
    this.working = Runtime.runFork(this.runtime)(guarded, { immediate: false })
  }

  // --- Its end ---

  /** What runs is stopped; what does not let itself be stopped must not hold up all others. */
  private get stopped(): Effect.Effect<void> {
    const warning = Effect.logWarning(`a step of session ${this.key} does not stop: it is left behind, and in doubt`)
    return Effect.asVoid(Effect.unlessEffect(warning, EndOnce.patiently(this.running.close)))
  }

  private fail(error: Unavailable): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      this.failure = error
      this.closed = true
      if (error._tag === "Fenced") this.shards.fenced(this.shard, this.epoch)
      for (const event of [...this.pending, ...this.inbox.takeAll()]) {
        if (!("reply" in event)) continue
        Deferred.unsafeDone(event.reply as Deferred.Deferred<unknown, Unavailable>, Effect.fail(error))
      }
      this.waiters.wake()
      if (this.quiet !== null) Deferred.unsafeDone(this.quiet, Effect.void)
      this.onFailure(error)
      this.slots.leave()
      yield* this.stopped
      this.slots.close()
    })
  }

  private leave(): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      const { settings } = this.ground
      this.leaving = true
      this.slots.leave()
      if (this.failure === null && (this.working !== null || this.running.hasTools())) {
        this.quiet = yield* Deferred.make<void>()
        const limit = this.shards.draining() ? settings.drain : settings.handover
        yield* Deferred.await(this.quiet).pipe(Effect.timeoutOption(limit), Effect.interruptible)
      }
      this.closed = true
      this.waiters.wake()
      this.turnSpan.end("Left")
      yield* this.stopped
      this.slots.close()
      this.inbox.close()
      if (this.working !== null) yield* Fiber.interrupt(this.working)
    })
  }
}
