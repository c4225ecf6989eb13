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
import { Deferred, Effect, Fiber, Option, Runtime, type Scope } from "effect"
import type { Command, Entry, SessionCreated } from "../domain/Entry.ts"
import { Fenced, SessionParked } from "../domain/Errors.ts"
import type { CommandId, Epoch, SessionKey, Shard, TimerId } from "../domain/Id.ts"
import type { Json } from "../domain/Json.ts"
import { Live } from "../feed/index.ts"
import type { Head } from "../journal/index.ts"
import { Names } from "../telemetry/index.ts"
import { partsOf, recover } from "./Decide.ts"
import { afford } from "./internal/afford.ts"
import { type AttemptExit, entryOf } from "./internal/attempt.ts"
import { Commands } from "./internal/commands.ts"
import { Draft } from "./internal/draft.ts"
import type { Ground } from "./internal/ground.ts"
import { Inbox } from "./internal/inbox.ts"
import { infoOf } from "./internal/info.ts"
import type { Loaded } from "./internal/load.ts"
import { measure } from "./internal/measure.ts"
import { readers } from "./internal/readers.ts"
import { Running } from "./internal/running.ts"
import { Slots, type Waits } from "./internal/slots.ts"
import { Snapshots } from "./internal/snapshots.ts"
import * as TurnSpan from "./internal/turnSpan.ts"
import { Waiters } from "./internal/waiters.ts"
import type { Ack, PullReply, PullRequest, Refused, Unavailable } from "./Protocol.ts"
import type { OpenStep, SessionState } from "./State.ts"

type Event =
  | { readonly _tag: "Create"; readonly created: SessionCreated; readonly reply: Deferred.Deferred<Ack, Unavailable> }
  | {
      readonly _tag: "Command"
      readonly id: CommandId
      readonly command: Command
      readonly reply: Deferred.Deferred<Ack, Unavailable | Refused>
    }
  | { readonly _tag: "Ended"; readonly step: OpenStep; readonly startedAt: number; readonly exit: AttemptExit }
  | {
      readonly _tag: "Save"
      readonly step: OpenStep
      readonly partial: Json
      readonly reply: Deferred.Deferred<void, Unavailable>
    }
  | { readonly _tag: "Wake" }

export interface Actor {
  readonly create: (created: SessionCreated) => Effect.Effect<Ack, Unavailable>
  readonly command: (id: CommandId, command: Command) => Effect.Effect<Ack, Unavailable | Refused>
  readonly pull: (request: PullRequest) => Effect.Effect<PullReply, Unavailable>
  readonly wake: Effect.Effect<void>
  readonly state: () => SessionState
  /** The steps that wait for a slot of their pool, and since when, in milliseconds since the epoch. */
  readonly waiting: () => ReadonlyArray<Waits>
  /** The error that ended it, if one did: the next request wakes the session anew. */
  readonly failure: () => Unavailable | null
  /** Whether a command id was accepted while this actor was awake, or cannot have been before. */
  readonly knows: (id: CommandId) => boolean
}

/** Events that one append may answer. */
const mostAtOnce = 256

/** How long a step that is interrupted may take to end: code that cannot be interrupted never does. */
const longestStopMs = 1_000

const none: ReadonlyArray<never> = []

/**
 * @param loaded what the journal says; its state is empty for a session that is about to be created
 * @param onFailure called once when an error ends the actor
 */
export const make = (
  { alarms, clock, errands, journal, lanes, remotes, runtimeOf, settings, shards, traced }: Ground,
  key: SessionKey,
  shard: Shard,
  epoch: Epoch,
  loaded: Loaded,
  onFailure: (error: Unavailable) => void
): Effect.Effect<Actor, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { behaviour } = loaded.registered
    const runtime = runtimeOf(loaded.registered)
    const runFork = Runtime.runFork(runtime)

    let state = loaded.state
    let head: Head = loaded.head
    let failure: Unavailable | null = null
    /** No step begins any more; outcomes are still journaled. */
    let leaving = false
    /** Nothing is journaled any more. */
    let closed = false
    let recovered = false
    let turnSpan = TurnSpan.none
    const live = new Live()
    const waiters = new Waiters()
    const commands = new Commands(key, settings.mailboxCapacity, loaded.state.seq > 0)
    const snapshots = new Snapshots(key, journal, loaded, settings.snapshotEntries)
    const inbox = new Inbox<Event>(mostAtOnce, () => work())
    /** Events whose append is under way. */
    let pending: ReadonlyArray<Event> = none
    /** Whoever waits until no tool runs any more. */
    let quiet: Deferred.Deferred<void> | null = null

    const ask = <A, E>(
      event: (reply: Deferred.Deferred<A, E | Unavailable>) => Event
    ): Effect.Effect<A, E | Unavailable> =>
      Effect.flatMap(Deferred.make<A, E | Unavailable>(), (reply) => {
        if (failure !== null) return Effect.fail(failure)
        inbox.offer(event(reply))
        return Deferred.await(reply)
      })

    const tokens = () => behaviour.tokens?.(state.behaviour) ?? null
    const gateOf = (wanted: string) => {
      const { calls, pool } = partsOf(wanted)
      const inner = errands.gate(key, epoch, behaviour.agent, pool)
      return calls === null ? inner : lanes.gate(key, behaviour.chain?.(calls) ?? none, tokens, inner)
    }
    const slots = new Slots(
      gateOf,
      () => inbox.offer({ _tag: "Wake" }),
      ({ name, pool }, ms) =>
        turnSpan.event(Names.EventName.poolWaited, clock.unsafeCurrentTimeMillis(), {
          [Names.Attribute.pool]: pool,
          [Names.Attribute.stepName]: name,
          [Names.Attribute.waitMs]: ms
        })
    )

    const running = new Running({
      key,
      behaviour,
      live,
      slots,
      remotes,
      clock,
      fork: runFork,
      state: () => state,
      within: (effect) => turnSpan.within(effect),
      save: (step, partial) =>
        ask<void, never>((reply) => ({ _tag: "Save", step, partial, reply })).pipe(
          // An actor that has failed stops its steps: there is nobody left to tell.
          Effect.catchAll(() => Effect.never)
        ),
      ended: (step, startedAt, exit) => inbox.offer({ _tag: "Ended", step, startedAt, exit }),
      changed: waiters.wake
    })

    // --- Events become entries ---

    /** Drafts what an event leads to, and returns what to do for its sender once that is on disk. */
    const onEvent = (draft: Draft, event: Event): (() => void) | null => {
      switch (event._tag) {
        case "Create":
          if (draft.state.seq === 0) draft.push(event.created)
          return () => Deferred.unsafeDone(event.reply, Effect.succeed({ seq: 1 }))
        case "Command": {
          const answer = commands.accept(draft, event.id, event.command)
          return () => Deferred.unsafeDone(event.reply, answer)
        }
        case "Ended": {
          running.delete(event.step.step)
          const step = draft.state.open[event.step.step]
          if (step === undefined || step.attempt !== event.step.attempt) return null
          if (event.exit._tag === "Unstorable") {
            failure = event.exit.error
            return null
          }
          const stopping = draft.state.turn?.stopping != null
          const entry = entryOf(behaviour, step, stopping, event.startedAt, draft.now, event.exit)
          draft.push(afford(behaviour, draft.state, draft.now, entry))
          return null
        }
        case "Save": {
          const { attempt, step } = event.step
          if (draft.state.open[step]?.attempt === attempt) {
            draft.push({ _tag: "StepProgress", step, attempt, partial: event.partial })
          }
          return () => Deferred.unsafeDone(event.reply, Effect.void)
        }
        case "Wake":
          for (const [timer, due] of Object.entries(draft.state.timers)) {
            if (due <= draft.now) draft.push({ _tag: "TimerFired", timer: timer as TimerId })
          }
          return null
      }
    }

    // --- Entries are on disk ---

    const openSpan = () => {
      if (!traced || state.turn === null) return
      const { agent, agentVersion: version } = state
      turnSpan = TurnSpan.open(runtime, { ...key, agent, version, turn: state.turn.turn, epoch })
    }

    const follow = (entry: Entry) => {
      if (traced && (entry._tag === "AttemptFailed" || entry._tag === "StepFailed")) {
        TurnSpan.attemptFailed(turnSpan, entry, clock.unsafeCurrentTimeMillis())
      }
      switch (entry._tag) {
        case "AttemptFailed":
          return entry.nextInput === "continue"
            ? live.goOn(entry.step)
            : live.begin(entry.step, { text: "", reasoning: "" })
        case "StepSucceeded":
        case "StepFailed":
        case "StepInDoubt":
          return live.end(entry.step)
        case "TurnStarted":
          return openSpan()
        case "TurnEnded":
          turnSpan.end(entry.outcome._tag)
          turnSpan = TurnSpan.none
          return
        case "Noted":
        case "Paused":
        case "Resumed":
          return traced ? TurnSpan.noted(turnSpan, entry, clock.unsafeCurrentTimeMillis()) : undefined
        case "TimerSet":
          return alarms.set(key, shard, entry.timer, entry.due)
        case "TimerFired":
        case "TimerCleared":
          return alarms.clear(key, entry.timer)
      }
    }

    /** All that depends on the journal's end changes at once. */
    const committed = (draft: Draft, next: Head) => {
      state = draft.state
      head = next
      for (const entry of draft.entries) follow(entry)
      waiters.wake()
    }

    // --- The loop ---

    /** Nothing waits for the disk any more: senders are answered, steps begin. */
    const goOn = (after: ReadonlyArray<() => void>, mayBegin: boolean) => {
      for (const then of after) then()
      pending = none
      running.follow(state, mayBegin && !closed)
      if (state.turn === null) slots.rest()
      if (quiet !== null && !running.hasTools()) Deferred.unsafeDone(quiet, Effect.void)
    }

    // Few effects: this runs at each step of each session.
    const turnOver = (events: ReadonlyArray<Event>): Effect.Effect<void, Unavailable> => {
      const draft = new Draft(behaviour, clock.unsafeCurrentTimeMillis(), state, slots)
      pending = events
      if (!recovered) {
        recovered = true
        for (const entry of recover(draft.state, draft.now, behaviour.policy, behaviour)) draft.push(entry)
      }
      const after: Array<() => void> = []
      for (const event of events) {
        const then = onEvent(draft, event)
        if (then !== null) after.push(then)
      }
      if (failure !== null) return Effect.fail(failure)
      // What is intended here begins, though the session may be told to leave while it is appended.
      const mayBegin = !leaving && !shards.draining()
      if (mayBegin) draft.conclude((step) => running.has(step))
      const { entries } = draft
      if (entries.length === 0) {
        goOn(after, mayBegin)
        return Effect.void
      }
      const before = state
      const info = infoOf(before, draft.state, entries)
      return Effect.map(journal.append({ key, shard, epoch, head, at: draft.now, entries, info }), (appended) => {
        committed(draft, appended.head)
        const save = snapshots.after(state, head, entries.length, appended.bytes)
        if (save !== null) runFork(save)
        goOn(after, mayBegin)
        measure(before, entries, draft.now)
      })
    }

    /** What runs is stopped; what does not let itself be stopped must not hold up all others. */
    const stopped = Effect.flatMap(
      Effect.interruptible(Effect.timeoutOption(running.close, longestStopMs)),
      Option.match({
        onNone: () => Effect.logWarning(`a step of session ${key} does not stop: it is left behind, and in doubt`),
        onSome: () => Effect.void
      })
    )

    const fail = (error: Unavailable) =>
      Effect.gen(function* () {
        failure = error
        closed = true
        if (error._tag === "Fenced") shards.fenced(shard, epoch)
        for (const event of [...pending, ...inbox.takeAll()]) {
          if (!("reply" in event)) continue
          Deferred.unsafeDone(event.reply as Deferred.Deferred<unknown, Unavailable>, Effect.fail(error))
        }
        waiters.wake()
        if (quiet !== null) Deferred.unsafeDone(quiet, Effect.void)
        onFailure(error)
        slots.leave()
        yield* stopped
        slots.close()
      })

    /** The loop, unless it is at rest. */
    let working: Fiber.RuntimeFiber<void> | null = null
    const loop: Effect.Effect<void, Unavailable> = Effect.suspend(() => {
      const events = inbox.next()
      if (events !== null) return Effect.flatMap(turnOver(events), () => loop)
      working = null
      if (quiet !== null && !running.hasTools()) Deferred.unsafeDone(quiet, Effect.void)
      return Effect.void
    })
    const guarded = loop.pipe(
      Effect.catchAll(fail),
      // A behaviour that throws in `evolve` or `decide` parks its own session and harms no other (I13).
      Effect.catchAllDefect((defect) =>
        fail(new SessionParked({ ...key, reason: `its behaviour failed: ${String(defect).slice(0, 500)}` }))
      )
    )
    // Not at once: whoever offers may be in the middle of something.
    const work = () => {
      working = runFork(guarded, { immediate: false })
    }

    // What runs stops at once: another runner may be at the same.
    const forgetLost = shards.onLost(() => {
      if (failure === null) runFork(fail(new Fenced(key)))
    })

    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        leaving = true
        slots.leave()
        forgetLost()
        if (failure === null && (working !== null || running.hasTools())) {
          quiet = yield* Deferred.make<void>()
          const limit = shards.draining() ? settings.drain : settings.handover
          yield* Deferred.await(quiet).pipe(Effect.timeoutOption(limit), Effect.interruptible)
        }
        closed = true
        waiters.wake()
        turnSpan.end("Left")
        yield* stopped
        slots.close()
        inbox.close()
        if (working !== null) yield* Fiber.interrupt(working)
      })
    )

    const pull = readers({
      live,
      waiters,
      shards,
      now: () => ({ seq: head.seq, ended: state.ended !== null, closed, failure })
    })

    openSpan()
    inbox.offer({ _tag: "Wake" })

    return {
      create: (created) => ask((reply) => ({ _tag: "Create", created, reply })),
      command: (id, command) => ask((reply) => ({ _tag: "Command", id, command, reply })),
      pull,
      wake: Effect.sync(() => inbox.offer({ _tag: "Wake" })),
      state: () => state,
      waiting: () => slots.waiting,
      failure: () => failure,
      knows: (id) => commands.knows(id)
    }
  })
