/**
 * Group commit: one flush in flight a runner; what comes meanwhile goes together in the next, as one commit.
 *
 *     append ─► waiting ─┐                    ┌─ written ──► callers go on
 *     append ─► waiting ─┼─► take ─► commit ──┼─ fenced ───► Fenced
 *     append ─► waiting ─┘    ▲               └─ unknown ──► look the rows up ─┬─ ours: written
 *                             └─────────── try again later ◄── not there ──────┴─ another's: Fenced
 *
 * - The flusher takes what waits when it is free, and waits for nothing: an idle journal commits at once.
 * - Appends of one session are written in the order of their calls. One that follows another which failed fails too.
 * - What is tried again is what was tried before, byte for byte, so that finding its hash in the store means that it was
 *   written: nothing is lost, nothing doubled (I1).
 * - What fails again and again is tried by itself, each session alone and beside the others, so that one whose rows the
 *   store cannot take does not hold them up (I13).
 */
import { Cause, Clock, Effect, Exit, Fiber, Random, type Scope } from "effect"
import { StoreUnavailable } from "../../domain/Errors.ts"
import type { Store, Written } from "../../store/Store.ts"
import { Metrics, Spans } from "../../telemetry/index.ts"
import * as Codec from "../Codec.ts"
import type { Values } from "../Settings.ts"
import type { Prepared } from "./Prepared.ts"
import { type Failure, Queue } from "./Queue.ts"
import * as Unit from "./Unit.ts"

/** After so many tries whose outcome is unknown a session is committed alone. */
const attemptsTogether = 3

/** When so many sessions in a row fail alone, the store is down: the others are not tried now. */
const failuresAlone = 3

const closing = new StoreUnavailable({
  operation: "append",
  reason: "the runner is stopping: send it again to another one"
})

type Found = "ours" | "another's" | "absent"

/** Takes prepared appends and returns when they are on disk. Closing the scope commits what waits. */
export const make = (
  store: Store["Type"],
  settings: Values
): Effect.Effect<(prepared: Prepared) => Effect.Effect<void, Failure>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const latch = yield* Effect.makeLatch(false)
    const clock = yield* Effect.clock
    const queue = new Queue(settings)
    let isClosed = false

    const rowAfter = ({ append: { key } }: Prepared, seq: number) =>
      Effect.map(store.read(key.namespace, key.session, seq, 1), (rows) => rows[0])

    /** Whether the store holds the unit's rows. It is written in whole or not at all: its first row tells. */
    const lookUp = (unit: Unit.Unit): Effect.Effect<Found, StoreUnavailable> => {
      const { prepared } = unit.members[0]!
      const mine = prepared.rows[0]!
      return Effect.map(rowAfter(prepared, prepared.append.head.seq), (row) => {
        if (row === undefined || row.seq !== mine.seq) return "absent"
        return Codec.sameBytes(row.chain, mine.chain) ? "ours" : "another's"
      })
    }

    /** Those whose outcome stays unknown after the store was asked for their rows. */
    const stillUnknown = Effect.fnUntraced(function* (units: ReadonlyArray<Unit.Unit>) {
      const unknown: Array<Unit.Unit> = []
      let isDown = false
      for (const unit of units) {
        const found: Exit.Exit<Found, StoreUnavailable> | null = isDown ? null : yield* Effect.exit(lookUp(unit))
        isDown = found === null || Exit.isFailure(found)
        if (found?._tag === "Success" && found.value === "ours") queue.succeed(unit)
        else if (found?._tag === "Success" && found.value === "another's") queue.fence(unit)
        else unknown.push(unit)
      }
      return unknown
    })

    /**
     * The store says that the unit's rows, or its command, are there already: from a try whose acknowledgement was
     * lost, or another's. Where they are absent the session is not as its writer believes (its command was accepted
     * before): it has to start again from the journal, like one whose place was taken.
     */
    const settleConflict = Effect.fnUntraced(function* (unit: Unit.Unit) {
      const found = yield* lookUp(unit)
      if (found === "ours") queue.succeed(unit)
      else queue.fence(unit)
    })

    /** Tries again later, or gives up. */
    const postpone = Effect.fnUntraced(function* (unit: Unit.Unit, cause: Cause.Cause<Failure>) {
      const now = yield* Clock.currentTimeMillis
      if (isClosed || now - unit.failedAt >= settings.retryMs) return queue.fail(unit, cause)
      const full = Math.min(settings.retryDelayMaxMs, settings.retryDelayMs * 2 ** Math.min(unit.attempts, 20))
      unit.retryAt = now + full * (0.5 + (yield* Random.next) / 2)
      queue.retry(unit)
    })

    /** What became of a commit that is not as simple as it mostly is. Returns why the store did not answer for some of it. */
    const settle = Effect.fnUntraced(function* (
      units: ReadonlyArray<Unit.Unit>,
      exit: Exit.Exit<ReadonlyArray<Written>, StoreUnavailable>
    ) {
      let unknown: ReadonlyArray<Unit.Unit> = []
      let cause: Cause.Cause<Failure> | null = null
      if (Exit.isFailure(exit)) {
        unknown = yield* stillUnknown(units)
        if (unknown.length > 0) cause = exit.cause
      } else {
        for (let i = 0; i < units.length; i++) {
          const unit = units[i]!
          if (exit.value[i] === "written") queue.succeed(unit)
          else if (exit.value[i] === "fenced") queue.fence(unit)
          else {
            const settled = yield* Effect.exit(settleConflict(unit))
            if (Exit.isSuccess(settled)) continue
            cause = settled.cause
            unknown = [...unknown, unit]
          }
        }
      }
      if (cause === null) return null
      const now = yield* Clock.currentTimeMillis
      for (const unit of unknown) {
        if (unit.attempts === 0) unit.failedAt = now
        unit.attempts++
        yield* postpone(unit, cause)
      }
      return cause
    })

    /** One commit. Returns why the store did not answer for some of it, or `null`. Few effects: this runs at each step. */
    const commit = (units: ReadonlyArray<Unit.Unit>): Effect.Effect<Cause.Cause<Failure> | null> => {
      const groups = units.map(Unit.toGroup)
      let entries = 0
      for (const { rows } of groups) entries += rows.length
      const begun = clock.unsafeCurrentTimeMillis()
      const appended = store.append(groups).pipe(Spans.append({ sessions: groups.length, entries }))
      return Effect.flatMap(Effect.exit(appended), (exit) => {
        Metrics.appended({ entries, durationMs: clock.unsafeCurrentTimeMillis() - begun })
        if (Exit.isFailure(exit) || exit.value.some((written) => written !== "written")) return settle(units, exit)
        for (const unit of units) queue.succeed(unit)
        return Effect.succeed(null)
      })
    }

    const commitAlone = Effect.fnUntraced(function* (units: ReadonlyArray<Unit.Unit>) {
      let failures = 0
      let last: Cause.Cause<Failure> = Cause.empty
      for (const unit of [...units].sort((a, b) => a.attempts - b.attempts)) {
        if (failures >= failuresAlone) {
          yield* postpone(unit, last)
          continue
        }
        const cause = yield* commit([unit])
        failures = cause === null ? 0 : failures + 1
        last = cause ?? last
      }
    })

    /** Without those that follow an append which failed. */
    const weedOut = Effect.fnUntraced(function* (units: ReadonlyArray<Unit.Unit>) {
      const sound: Array<Unit.Unit> = []
      for (const unit of units) {
        const { prepared } = unit.members[0]!
        if (!queue.isDoomed(prepared)) {
          sound.push(unit)
          continue
        }
        // A failure whose outcome was unknown may have been a success: then its row is there, and this goes on from it.
        const { head } = prepared.append
        const found = yield* Effect.exit(rowAfter(prepared, head.seq - 1))
        if (Exit.isFailure(found)) queue.fail(unit, found.cause)
        else if (found.value !== undefined && Codec.sameBytes(found.value.chain, head.chain)) {
          queue.pardon(prepared)
          sound.push(unit)
        } else queue.fence(unit)
      }
      return sound
    })

    const flushWithCare = Effect.fnUntraced(function* (taken: ReadonlyArray<Unit.Unit>) {
      const units = yield* weedOut(taken)
      const together: Array<Unit.Unit> = []
      const alone: Array<Unit.Unit> = []
      for (const unit of units) (unit.attempts < attemptsTogether ? together : alone).push(unit)
      if (together.length > 0) yield* commit(together)
      if (alone.length > 0) yield* commitAlone(alone)
    })

    const isTried = (unit: Unit.Unit) => unit.attempts > 0
    const flush = (taken: ReadonlyArray<Unit.Unit>): Effect.Effect<unknown> =>
      queue.hasDoomed || taken.some(isTried) ? flushWithCare(taken) : commit(taken)

    const run: Effect.Effect<void> = Effect.suspend(() => {
      // Closed before it is looked at: what is pushed from here on opens it again.
      latch.unsafeClose()
      const next = queue.nextRetryAt
      const now = next === null ? 0 : clock.unsafeCurrentTimeMillis()
      const units = queue.take(isClosed ? Number.POSITIVE_INFINITY : now)
      if (units.length > 0) return Effect.flatMap(flush(units), () => run)
      if (isClosed) return Effect.void
      const waited = next === null ? latch.await : Effect.raceFirst(latch.await, Effect.sleep(Math.max(0, next - now)))
      return Effect.flatMap(waited, () => run)
    })

    // Nobody must wait for a flusher that is not there.
    const guarded = Effect.tapErrorCause(run, (cause) =>
      Effect.sync(() => {
        isClosed = true
        queue.failAll(
          new StoreUnavailable({
            operation: "append",
            reason: "the journal stopped on a bug: restart the runner and report it",
            cause: Cause.squash(cause)
          })
        )
      })
    )
    const flusher = yield* Effect.forkDaemon(guarded)
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        isClosed = true
        latch.unsafeOpen()
        const ended = yield* Effect.timeoutOption(Fiber.await(flusher), settings.closeMs)
        if (ended._tag === "None") yield* Fiber.interrupt(flusher)
        queue.failAll(closing)
      })
    )

    return (prepared) =>
      Effect.uninterruptible(
        Effect.async<void, Failure>((resume) => {
          if (isClosed) return resume(Effect.fail(closing))
          queue.push({ prepared, resume })
          latch.unsafeOpen()
        })
      )
  })
