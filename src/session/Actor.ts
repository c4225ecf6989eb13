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
import { Clock, Context, Deferred, Effect, Fiber, Queue, Runtime, type Scope } from "effect"
import { type Blobs, Claim } from "../blob/index.ts"
import type { Command, Entry, SessionCreated } from "../domain/Entry.ts"
import * as Errors from "../domain/Errors.ts"
import type { CommandId, Epoch, SessionKey, Shard, StepId } from "../domain/Id.ts"
import type { Json } from "../domain/Json.ts"
import { Feed, Live } from "../feed/index.ts"
import { type Head, Journal } from "../journal/index.ts"
import { Spans } from "../telemetry/index.ts"
import { Alarms } from "./Alarms.ts"
import { decide, recover, refuse } from "./Decide.ts"
import { type AttemptExit, entryOf, idempotencyKey, settle } from "./internal/attempt.ts"
import { infoOf } from "./internal/info.ts"
import { measure } from "./internal/measure.ts"
import * as TurnSpan from "./internal/turnSpan.ts"
import { fingerprint, type Loaded } from "./internal/load.ts"
import type { Ack, PullReply, PullRequest, Refused, Unavailable } from "./Protocol.ts"
import { SessionSettings } from "./Settings.ts"
import { Shards } from "./Shards.ts"
import { evolve, type OpenStep, type SessionState } from "./State.ts"
import type { StepContext } from "./StepContext.ts"

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
  /** The error that ended it, if one did: the next request wakes the session anew. */
  readonly failure: () => Unavailable | null
  /** Whether a command id was accepted while this actor was awake, or cannot have been before. */
  readonly knows: (id: CommandId) => boolean
}

/** A behaviour that never comes to rest is a bug that would hang the runner. */
const mostDecisions = 10_000

/** Remembered answers of commands; older ones are looked up in the store. */
const mostRemembered = 1_000

/** Entries that are being collected for one append, and the state after them. */
class Draft {
  readonly entries: Array<Entry> = []
  constructor(
    readonly loaded: Loaded,
    readonly now: number,
    public state: SessionState
  ) {}

  push(entry: Entry): void {
    this.state = evolve(this.loaded.registered.behaviour, this.state, this.now, entry)
    this.entries.push(entry)
  }
}

/**
 * @param loaded what the journal says; its state is empty for a session that is about to be created
 * @param onFailure called once when an error ends the actor
 */
export const make = (
  key: SessionKey,
  shard: Shard,
  epoch: Epoch,
  loaded: Loaded,
  onFailure: (error: Unavailable) => void
): Effect.Effect<Actor, never, Scope.Scope | Journal | Blobs | Alarms | Shards | SessionSettings> =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const alarms = yield* Alarms
    const shards = yield* Shards
    const settings = yield* SessionSettings
    const { behaviour, context } = loaded.registered
    // Waking is uninterruptible; what runs later is not.
    const runtime = yield* Effect.interruptible(Effect.runtime<Blobs>())
    const runFork = Runtime.runFork(Runtime.updateContext(runtime, Context.merge(context)))

    let state = loaded.state
    let head: Head = loaded.head
    let failure: Unavailable | null = null
    /** No step begins any more; outcomes are still journaled. */
    let leaving = false
    /** Nothing is journaled any more. */
    let closed = false
    const live = new Live()
    const traced = yield* Spans.enabled
    let turnSpan = TurnSpan.none
    const running = new Map<StepId, { readonly kind: OpenStep["kind"]; readonly fiber: Fiber.RuntimeFiber<void> }>()
    const accepted = new Map<CommandId, { readonly seq: number; readonly command: string }>()
    let forgot = loaded.state.seq > 0
    const waiters = new Set<() => void>()
    const inbox = yield* Queue.unbounded<Event>()
    const quiet = Effect.unsafeMakeLatch(false)

    const changed = () => {
      if (waiters.size === 0) return
      const woken = [...waiters]
      waiters.clear()
      for (const wake of woken) wake()
    }

    // --- Steps ---

    const contextOf = (step: OpenStep): StepContext => ({
      key,
      agent: behaviour.agent,
      turn: step.turn,
      step: step.step,
      attempt: step.attempt,
      idempotencyKey: idempotencyKey(key, step.step),
      emit: (channel, text) =>
        Effect.sync(() => {
          live.push(step.step, channel, text)
          changed()
        }),
      saved: step.partial,
      save: (partial) =>
        ask<void, never>((reply) => ({ _tag: "Save", step, partial, reply })).pipe(
          // An actor that has failed stops its steps: there is nobody left to tell.
          Effect.catchAll(() => Effect.never)
        )
    })

    /** A fresh runner has none of the text that the journal kept of a cut answer: readers count from its start. */
    const restoreLive = (step: OpenStep) =>
      step.nextInput !== "continue" || live.has(step.step)
        ? Effect.void
        : Claim.resolve(key.namespace, step.partial ?? null).pipe(
            Effect.map((partial) => live.begin(step.step, Feed.textOf(partial))),
            // The step itself will meet the same loss and say so.
            Effect.ignore
          )

    const runAttempt = (step: OpenStep) =>
      Effect.uninterruptibleMask((restore) => {
        let startedAt = step.dueAt
        return Effect.gen(function* () {
          const now = yield* Clock.currentTimeMillis
          if (step.dueAt > now) yield* Effect.sleep(step.dueAt - now)
          startedAt = Math.max(now, step.dueAt)
          yield* restoreLive(step)
          return yield* turnSpan.within(behaviour.perform(step, state.behaviour, contextOf(step)))
        }).pipe(
          restore,
          Effect.exit,
          Effect.flatMap((exit) => settle(key, step.kind, exit)),
          Effect.flatMap((exit) =>
            closed ? Effect.void : Effect.asVoid(inbox.offer({ _tag: "Ended", step, startedAt, exit }))
          )
        )
      })

    const start = (step: OpenStep) => {
      running.set(step.step, { kind: step.kind, fiber: runFork(runAttempt(step) as Effect.Effect<void>) })
    }

    /** After each append: what the state says is open runs, and what must stop is stopped. */
    const schedule = () => {
      const stopping = state.turn?.stopping != null
      for (const id in state.open) {
        const step = state.open[id]!
        const one = running.get(step.step)
        if (stopping) one?.fiber.unsafeInterruptAsFork(one.fiber.id())
        else if (one === undefined && !leaving) start(step)
      }
    }

    // --- Events ---

    /** What to do for an event's sender once its entries are on disk. */
    type After = (seqAfter: number) => void

    const onCommand = (draft: Draft, event: Extract<Event, { _tag: "Command" }>): After | null => {
      const { command, id, reply } = event
      const text = JSON.stringify(command)
      const known = accepted.get(id)
      if (known !== undefined) {
        const answer =
          known.command === text
            ? Effect.succeed({ seq: known.seq })
            : Effect.fail(new Errors.CommandConflict({ ...key, command: id }))
        return () => Deferred.unsafeDone(reply, answer)
      }
      if (draft.state.ended !== null && command._tag === "Cancel") {
        Deferred.unsafeDone(reply, Effect.succeed({ seq: draft.state.seq }))
        return null
      }
      const refused = draft.state.seq === 0 ? "missing" : refuse(draft.state, command, settings.mailboxCapacity)
      if (refused !== null) {
        Deferred.unsafeDone(reply, Effect.fail(refusal(key, refused, settings.mailboxCapacity)))
        return null
      }
      draft.push({ _tag: "CommandAccepted", id, command })
      const seq = draft.state.seq
      accepted.set(id, { seq, command: text })
      if (accepted.size > mostRemembered) {
        accepted.delete(accepted.keys().next().value!)
        forgot = true
      }
      return () => Deferred.unsafeDone(reply, Effect.succeed({ seq }))
    }

    const onEvent = (draft: Draft, event: Event): After | null => {
      switch (event._tag) {
        case "Create":
          if (draft.state.seq === 0) draft.push(event.created)
          return () => Deferred.unsafeDone(event.reply, Effect.succeed({ seq: 1 }))
        case "Command":
          return onCommand(draft, event)
        case "Ended": {
          running.delete(event.step.step)
          const step = draft.state.open[event.step.step]
          if (step === undefined || step.attempt !== event.step.attempt) return null
          if (event.exit._tag === "Unstorable") {
            failure = event.exit.error
            return null
          }
          const stopping = draft.state.turn?.stopping != null
          draft.push(entryOf(behaviour, step, stopping, event.startedAt, draft.now, event.exit))
          return null
        }
        case "Save":
          if (draft.state.open[event.step.step]?.attempt === event.step.attempt) {
            draft.push({
              _tag: "StepProgress",
              step: event.step.step,
              attempt: event.step.attempt,
              partial: event.partial
            })
          }
          return () => Deferred.unsafeDone(event.reply, Effect.void)
        case "Wake":
          for (const [timer, due] of Object.entries(draft.state.timers)) {
            if (due <= draft.now) draft.push({ _tag: "TimerFired", timer: timer as never })
          }
          return null
      }
    }

    /** What follows from the entries so far, until nothing does. */
    const conclude = (draft: Draft) => {
      for (let i = 0; ; i++) {
        if (draft.state.turn?.stopping != null) {
          for (const id in draft.state.open) {
            const step = draft.state.open[id]!
            if (running.has(step.step)) continue
            const failure = { class: "Stopped", message: "stopped before it ran" } as const
            draft.push({
              _tag: "StepFailed",
              step: step.step,
              attempt: step.attempt,
              startedAt: draft.now,
              failure
            })
          }
        }
        const entries = decide(behaviour, draft.state, draft.now)
        if (entries.length === 0) return
        if (i >= mostDecisions) throw new Error(`agent "${behaviour.agent}" never comes to rest: decide has no end`)
        for (const entry of entries) draft.push(entry)
      }
    }

    // --- The loop ---

    const openSpan = () => {
      if (!traced || state.turn === null) return
      const { agent, agentVersion: version } = state
      turnSpan = TurnSpan.open(runtime, { ...key, agent, version, turn: state.turn.turn, epoch })
    }

    /** Entries are on disk: all that depends on it changes at once. */
    const committed = (draft: Draft, next: Head) => {
      state = draft.state
      head = next
      for (const entry of draft.entries) {
        switch (entry._tag) {
          case "AttemptFailed":
            if (entry.nextInput === "continue") live.goOn(entry.step)
            else live.begin(entry.step, { text: "", reasoning: "" })
            break
          case "StepSucceeded":
          case "StepFailed":
          case "StepInDoubt":
            live.end(entry.step)
            break
          case "TurnStarted":
            openSpan()
            break
          case "TurnEnded":
            turnSpan.end(entry.outcome._tag)
            turnSpan = TurnSpan.none
            break
          case "TimerSet":
            alarms.set(key, shard, entry.timer, entry.due)
            break
          case "TimerFired":
          case "TimerCleared":
            alarms.clear(key, entry.timer)
            break
        }
      }
      changed()
    }

    const snapshots = { ...loaded.snapshot, entries: loaded.entriesSince, bytesSince: loaded.entriesSince * 300, busy: false }

    const snapshot = (entries: number, bytes: number) => {
      snapshots.entries += entries
      snapshots.bytesSince += bytes
      const due = snapshots.entries >= settings.snapshotEntries && snapshots.bytesSince * 4 >= snapshots.bytes
      if (!due || snapshots.busy) return
      snapshots.busy = true
      const encoded = new TextEncoder().encode(JSON.stringify(state))
      snapshots.entries = 0
      snapshots.bytesSince = 0
      snapshots.bytes = encoded.length
      runFork(
        journal.saveSnapshot(key, { head, fingerprint: fingerprint(behaviour), state: encoded }).pipe(
          // The journal has everything: a snapshot that could not be saved costs time at the next wake and no more.
          Effect.ignore,
          Effect.ensuring(
            Effect.sync(() => {
              snapshots.busy = false
            })
          )
        )
      )
    }

    const turnOver = (events: Iterable<Event>) =>
      Effect.gen(function* () {
        const draft = new Draft(loaded, yield* Clock.currentTimeMillis, state)
        if (!recovered) {
          recovered = true
          for (const entry of recover(draft.state, draft.now)) draft.push(entry)
        }
        const after: Array<After> = []
        for (const event of events) {
          pending.push(event)
          const then = onEvent(draft, event)
          if (then !== null) after.push(then)
        }
        if (failure !== null) return yield* Effect.fail(failure)
        if (!leaving) conclude(draft)
        if (draft.entries.length > 0) {
          const appended = yield* journal.append({
            key,
            shard,
            epoch,
            head,
            at: draft.now,
            entries: draft.entries,
            info: infoOf(state, draft.state, draft.entries)
          })
          const before = state
          committed(draft, appended.head)
          yield* measure(before, draft.entries, draft.now)
          snapshot(draft.entries.length, appended.bytes)
        }
        for (const then of after) then(state.seq)
        pending.length = 0
        schedule()
        if (leaving && ![...running.values()].some((one) => one.kind === "tool")) quiet.unsafeOpen()
      })

    let recovered = false
    const pending: Array<Event> = []

    const fail = (error: Unavailable) =>
      Effect.gen(function* () {
        failure = error
        closed = true
        if (error._tag === "Fenced") shards.fenced(shard, epoch)
        for (const event of [...pending, ...(yield* inbox.takeAll)]) {
          if ("reply" in event) Deferred.unsafeDone(event.reply as Deferred.Deferred<unknown, Unavailable>, Effect.fail(error))
        }
        changed()
        quiet.unsafeOpen()
        onFailure(error)
        yield* Fiber.interruptAll([...running.values()].map((one) => one.fiber))
      })

    yield* Queue.takeBetween(inbox, 1, 256).pipe(
      Effect.flatMap(turnOver),
      Effect.forever,
      Effect.catchAll(fail),
      // A behaviour that throws in `evolve` or `decide` parks its own session and harms no other (I13).
      Effect.catchAllDefect((defect) =>
        fail(new Errors.SessionParked({ ...key, reason: `its behaviour failed: ${String(defect).slice(0, 500)}` }))
      ),
      Effect.interruptible,
      Effect.forkScoped
    )

    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        leaving = true
        if (failure === null && [...running.values()].some((one) => one.kind === "tool")) {
          yield* quiet.await.pipe(Effect.timeoutOption(settings.drain), Effect.interruptible)
        }
        closed = true
        changed()
        turnSpan.end("Left")
        yield* Fiber.interruptAll([...running.values()].map((one) => one.fiber))
      })
    )

    const ask = <A, E>(event: (reply: Deferred.Deferred<A, E | Unavailable>) => Event): Effect.Effect<A, E | Unavailable> =>
      Effect.flatMap(Deferred.make<A, E | Unavailable>(), (reply) => {
        if (failure !== null) return Effect.fail(failure)
        inbox.unsafeOffer(event(reply))
        return Deferred.await(reply)
      })

    const nothingNew = (request: PullRequest, found: ReturnType<Live["beyond"]>) =>
      head.seq <= request.seq && found.length === 0 && state.ended === null && failure === null && !closed

    const waitForChange = Effect.async<void>((resume) => {
      const wake = () => resume(Effect.void)
      waiters.add(wake)
      return Effect.sync(() => waiters.delete(wake))
    })

    const pull = (request: PullRequest): Effect.Effect<PullReply, Unavailable> =>
      Effect.suspend(() => {
        if (failure !== null) return Effect.fail(failure)
        const found = live.beyond(request.seen)
        if (request.waitMs > 0 && !shards.draining() && nothingNew(request, found)) {
          const forget = shards.onDrain(changed)
          return waitForChange.pipe(
            Effect.timeoutOption(request.waitMs),
            Effect.ensuring(Effect.sync(forget)),
            Effect.zipRight(Effect.suspend(() => pull({ ...request, waitMs: 0 })))
          )
        }
        return Effect.succeed({ seq: head.seq, ended: state.ended !== null, live: found })
      })

    openSpan()
    yield* inbox.offer({ _tag: "Wake" })

    return {
      create: (created) => ask((reply) => ({ _tag: "Create", created, reply })),
      command: (id, command) => ask((reply) => ({ _tag: "Command", id, command, reply })),
      pull,
      wake: Effect.asVoid(inbox.offer({ _tag: "Wake" })),
      state: () => state,
      failure: () => failure,
      knows: (id) => !forgot || accepted.has(id)
    }
  })

const refusal = (key: SessionKey, why: "missing" | "closed" | "busy" | "full", capacity: number): Refused => {
  switch (why) {
    case "missing":
      return new Errors.SessionNotFound(key)
    case "closed":
      return new Errors.SessionClosed(key)
    case "busy":
      return new Errors.SessionBusy(key)
    case "full":
      return new Errors.MailboxFull({ ...key, capacity })
  }
}
