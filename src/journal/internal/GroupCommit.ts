/**
 * Group commit: one flush in flight a runner; what comes meanwhile goes together in the next, as one commit.
 *
 *     append ─► waiting ─┐                    ┌─ written ──► callers go on
 *     append ─► waiting ─┼─► take ─► commit ──┼─ fenced ───► Fenced
 *     append ─► waiting ─┘    ▲               └─ unknown ──► look the rows up ─┬─ ours: written
 *                             └──────────── wait, try again ◄── not there ─────┴─ another's: Fenced
 *
 * - The flusher takes what waits when it is free, and waits for nothing: an idle journal commits at once.
 * - Appends of one session are written in the order of their calls. One that follows another which failed fails too:
 *   its rows would leave a gap (I4).
 * - What is tried again is what was tried before, byte for byte, so that finding its hash in the store means that it was
 *   written: nothing is lost, nothing doubled (I1).
 * - A commit that fails again and again is divided into its sessions, so that one whose rows the store cannot take does
 *   not hold up the others (I13).
 */
import { Cause, Clock, Deferred, Effect, Exit, Fiber, Random, type Scope } from "effect"
import { Fenced, StoreUnavailable } from "../../domain/Errors.ts"
import type { Store, Written } from "../../store/Store.ts"
import * as Codec from "../Codec.ts"
import type { Values } from "../Settings.ts"
import type { Prepared } from "./Prepared.ts"
import * as Unit from "./Unit.ts"

type Failure = Fenced | StoreUnavailable

/** After so many tries whose outcome is unknown, sessions are committed one by one. */
const attemptsTogether = 3

/** How many sessions in a row may fail one by one before the store itself is taken to be down. */
const failuresAlone = 3

/** How many heads of failed appends are remembered: an append that follows one of them may come late. */
const doomedHeads = 4096

const closing = new StoreUnavailable({
  operation: "append",
  reason: "the runner is stopping: send it again to another one"
})

export const make = (
  store: Store["Type"],
  settings: Values
): Effect.Effect<(prepared: Prepared) => Effect.Effect<void, Failure>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const latch = yield* Effect.makeLatch(false)
    const closed = yield* Deferred.make<void>()
    let isClosed = false
    let waiting: Array<Unit.Waiting> = []
    /** Tried, with an unknown outcome: tried again before their sessions' next appends. */
    let unsettled: Array<Unit.Unit> = []
    const doomed = new Set<string>()

    const succeed = (unit: Unit.Unit) => {
      for (const member of unit.members) member.resume(Effect.void)
    }

    const doom = (prepared: Prepared) => {
      doomed.add(Codec.hex(prepared.head.chain))
      if (doomed.size > doomedHeads) doomed.delete(doomed.values().next().value!)
    }

    const fail = (unit: Unit.Unit, cause: Cause.Cause<Failure>) => {
      const outcome = Effect.failCause(cause)
      for (const member of unit.members) {
        doom(member.prepared)
        member.resume(outcome)
      }
      const others: Array<Unit.Waiting> = []
      for (const next of waiting) {
        if (next.prepared.id === unit.id && doomed.has(Codec.hex(next.prepared.append.head.chain))) {
          doom(next.prepared)
          next.resume(outcome)
        } else others.push(next)
      }
      waiting = others
    }

    /** Without those that follow an append which failed: after it they would leave a gap. */
    const weedOut = Effect.fnUntraced(function* (units: ReadonlyArray<Unit.Unit>) {
      const sound: Array<Unit.Unit> = []
      for (const unit of units) {
        const { append } = unit.members[0]!.prepared
        if (unit.attempts > 0 || !doomed.has(Codec.hex(append.head.chain))) {
          sound.push(unit)
          continue
        }
        // A failure whose outcome was unknown may have been a success: then its row is there, and this goes on from it.
        const found = yield* Effect.exit(store.read(append.key.namespace, append.key.session, append.head.seq - 1, 1))
        if (Exit.isFailure(found)) fail(unit, found.cause)
        else if (found.value[0] !== undefined && Codec.sameBytes(found.value[0].chain, append.head.chain)) {
          doomed.delete(Codec.hex(append.head.chain))
          sound.push(unit)
        } else fenced(unit)
      }
      return sound
    })

    const fenced = (unit: Unit.Unit) => fail(unit, Cause.fail(new Fenced(unit.members[0]!.prepared.append.key)))

    /** What is to be committed now: first what is unsettled, then what waits, as much as one commit takes. */
    const take = (): Array<Unit.Unit> => {
      const units = unsettled
      unsettled = []
      const held = new Set(units.map((unit) => unit.id))
      const fresh = new Map<string, Unit.Unit>()
      const left: Array<Unit.Waiting> = []
      let rows = 0
      let bytes = 0
      for (let i = 0; i < waiting.length; i++) {
        const next = waiting[i]!
        const { prepared } = next
        rows += prepared.rows.length
        bytes += prepared.bytes
        if ((rows > settings.batchRows || bytes > settings.batchBytes) && (units.length > 0 || fresh.size > 0)) {
          for (; i < waiting.length; i++) left.push(waiting[i]!)
          break
        }
        const unit = fresh.get(prepared.id)
        if (held.has(prepared.id)) left.push(next)
        else if (unit === undefined) fresh.set(prepared.id, Unit.make(next))
        else if (Unit.precedes(unit, prepared)) unit.members.push(next)
        else {
          held.add(prepared.id)
          left.push(next)
        }
      }
      waiting = left
      for (const unit of fresh.values()) units.push(unit)
      return units
    }

    /** Whether the store holds the unit's rows. A unit is written in whole or not at all: its first row tells. */
    const lookUp = (unit: Unit.Unit) => {
      const { append, rows } = unit.members[0]!.prepared
      return Effect.map(
        store.read(append.key.namespace, append.key.session, append.head.seq, 1),
        (found): "ours" | "another's" | "absent" => {
          const row = found[0]
          if (row === undefined || row.seq !== rows[0]!.seq) return "absent"
          return Codec.sameBytes(row.chain, rows[0]!.chain) ? "ours" : "another's"
        }
      )
    }

    /** What the store said of a unit. Returns false while its outcome is unknown. */
    const settle = (unit: Unit.Unit, written: Written) => {
      if (written === "written") return Effect.sync(() => succeed(unit))
      if (written === "fenced") return Effect.sync(() => fenced(unit))
      return Effect.map(Effect.exit(lookUp(unit)), (found) => {
        if (Exit.isFailure(found)) return found.cause
        // Where its rows are absent the session is not as its writer believes (its command was accepted before): it has
        // to start again from the journal, like one whose place was taken.
        if (found.value === "ours") succeed(unit)
        else fenced(unit)
      })
    }

    /** The store did not answer. Returns the units whose outcome stays unknown. */
    const lookUpAll = Effect.fnUntraced(function* (units: ReadonlyArray<Unit.Unit>) {
      const unknown: Array<Unit.Unit> = []
      let down = false
      for (const unit of units) {
        const found: Exit.Exit<"ours" | "another's" | "absent", StoreUnavailable> | undefined = down
          ? undefined
          : yield* Effect.exit(lookUp(unit))
        down = found === undefined || Exit.isFailure(found)
        if (found?._tag === "Success" && found.value === "ours") succeed(unit)
        else if (found?._tag === "Success" && found.value === "another's") fenced(unit)
        else unknown.push(unit)
      }
      return unknown
    })

    /** One commit. Returns false when the store did not answer for all of it. */
    const commit = Effect.fnUntraced(function* (units: ReadonlyArray<Unit.Unit>) {
      const exit = yield* Effect.exit(store.append(units.map(Unit.toGroup)))
      let unknown: ReadonlyArray<Unit.Unit> = []
      let cause: Cause.Cause<Failure> = Cause.empty
      if (Exit.isSuccess(exit)) {
        for (let i = 0; i < units.length; i++) {
          const failed = yield* settle(units[i]!, exit.value[i]!)
          if (failed === undefined) continue
          unknown = [...unknown, units[i]!]
          cause = failed
        }
      } else {
        unknown = yield* lookUpAll(units)
        cause = exit.cause
      }
      if (unknown.length === 0) return true
      const now = yield* Clock.currentTimeMillis
      for (const unit of unknown) {
        if (unit.attempts === 0) unit.failedAt = now
        unit.attempts++
        if (isClosed || now - unit.failedAt >= settings.retryMs) fail(unit, cause)
        else unsettled.push(unit)
      }
      return false
    })

    /** Commits sessions one by one. One that fails where others succeed is itself the reason. */
    const commitAlone = Effect.fnUntraced(function* (units: ReadonlyArray<Unit.Unit>) {
      let succeeded = false
      let failed = 0
      const untried: Array<Unit.Unit> = []
      for (const unit of units) {
        if (!succeeded && failed >= failuresAlone) untried.push(unit)
        else if (yield* commit([unit])) succeeded = true
        else failed++
      }
      if (succeeded) {
        const suspects = unsettled
        unsettled = []
        for (const unit of suspects) {
          fail(
            unit,
            Cause.fail(
              new StoreUnavailable({
                operation: "append",
                reason: `the store does not take the rows of session ${unit.id}, though it takes others: see its log`
              })
            )
          )
        }
      }
      // Others first in the next round: those that failed must not be the only ones that are ever tried.
      unsettled.unshift(...untried)
      return succeeded
    })

    const backOff = Effect.fnUntraced(function* (attempts: number) {
      const random = yield* Random.next
      const full = Math.min(settings.retryDelayMaxMs, settings.retryDelayMs * 2 ** Math.min(attempts, 20))
      yield* Effect.raceFirst(Effect.sleep(full * (0.5 + random / 2)), Deferred.await(closed))
    })

    const flush = Effect.gen(function* () {
      while (true) {
        let units = take()
        if (units.length === 0) return
        if (doomed.size > 0) units = yield* weedOut(units)
        if (units.length === 0) continue
        const alone = units.length > 1 && units.some((unit) => unit.attempts >= attemptsTogether)
        const answered = yield* alone ? commitAlone(units) : commit(units)
        if (!answered) yield* backOff(Math.max(0, ...unsettled.map((unit) => unit.attempts)))
      }
    })

    const run = Effect.gen(function* () {
      while (!isClosed) {
        yield* latch.await
        latch.unsafeClose()
        yield* flush
      }
    })

    const flusher = yield* Effect.forkDaemon(run)
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        isClosed = true
        latch.unsafeOpen()
        yield* Deferred.succeed(closed, void 0)
        const ended = yield* Effect.timeoutOption(Fiber.await(flusher), settings.closeMs)
        if (ended._tag === "None") yield* Fiber.interrupt(flusher)
        for (const unit of unsettled) fail(unit, Cause.fail(closing))
        for (const next of waiting) next.resume(Effect.fail(closing))
      })
    )

    const submit = (prepared: Prepared): Effect.Effect<void, Failure> =>
      // Once it waits it may be on its way to the disk: its caller learns what became of it.
      Effect.uninterruptible(
        Effect.async<void, Failure>((resume) => {
          if (isClosed) return resume(Effect.fail(closing))
          waiting.push({ prepared, resume })
          latch.unsafeOpen()
        })
      )

    return submit
  })
