import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, FastCheck as fc, Fiber, Layer, Option, Scope } from "effect"
import type { Fenced, StoreUnavailable } from "../../src/domain/Errors.ts"
import { type Epoch, Shard } from "../../src/domain/Id.ts"
import { Journal, JournalSettings, type JournalSettingsValues } from "../../src/journal/index.ts"
import { Sqlite } from "../../src/store/index.ts"
import { Store } from "../../src/store/Store.ts"
import {
  accepted,
  created,
  type Fate,
  Faults,
  faulty,
  key,
  lease,
  namespace,
  noted,
  postgres,
  shard,
  withFaults,
  writer
} from "../support/journal.ts"

const live =
  (settings: Partial<JournalSettingsValues> = {}, store: Layer.Layer<Store, unknown> = Sqlite.layerMemory) =>
  <A, E>(effect: Effect.Effect<A, E, Journal | Store | Faults>) =>
    effect.pipe(
      Effect.provide(withFaults(store)),
      Effect.provide(JournalSettings.layer({ retryDelayMs: 0.1, retryDelayMaxMs: 1, ...settings })),
      Effect.orDie
    )

const rowsOf = (session: string) =>
  Effect.flatMap(Store, (store) => store.read(namespace, key(session).session, 0, 100_000))

/** What the rows of a session say, by its notes. */
const notesOf = (session: string) =>
  Effect.map(rowsOf(session), (rows) =>
    rows.map(({ payload }) => JSON.parse(Buffer.from(payload).toString()).entry.detail as unknown)
  )

/** Stops the store before its next append, which returns when it has got there. */
const stop = Effect.gen(function* () {
  const faults = yield* Faults
  const gate = yield* Deferred.make<void>()
  const reached = yield* Deferred.make<void>()
  faults.gate = gate
  faults.onGate = () => Effect.runSync(Deferred.succeed(reached, void 0))
  return {
    reached: Deferred.await(reached),
    go: Effect.suspend(() => {
      faults.gate = null
      return Deferred.succeed(gate, void 0)
    })
  }
})

const tagOf = (exit: Exit.Exit<unknown, Fenced | StoreUnavailable>) =>
  Exit.match(exit, {
    onSuccess: () => "written",
    onFailure: (cause) => (cause._tag === "Fail" ? cause.error._tag : cause._tag)
  })

describe("group commit", () => {
  it.live("shares commits among sessions, and keeps each session's order (I4)", () =>
    Effect.gen(function* () {
      const faults = yield* Faults
      const [epoch] = yield* lease()
      yield* Effect.forEach(
        Array.from({ length: 50 }, (_, i) => `s${i}`),
        (session) =>
          Effect.gen(function* () {
            const w = yield* writer(session, epoch!)
            for (let i = 0; i < 20; i++) yield* w.append(noted(i))
          }),
        { concurrency: "unbounded" }
      )
      for (let i = 0; i < 50; i++) expect(yield* notesOf(`s${i}`)).toEqual(Array.from({ length: 20 }, (_, i) => i))
      expect(faults.commits.length).toBeLessThanOrEqual(60)
    }).pipe(live())
  )

  it.live("commits at once when it is idle, and has one commit in flight", () =>
    Effect.gen(function* () {
      const faults = yield* Faults
      const [epoch] = yield* lease()
      const gate = yield* stop
      const fibers = [yield* Effect.fork((yield* writer("first", epoch!)).append(created))]
      yield* gate.reached
      for (const session of ["a", "b", "c"]) {
        fibers.push(yield* Effect.fork((yield* writer(session, epoch!)).append(created)))
      }
      yield* Effect.yieldNow()
      expect(faults.commits.length).toBe(1)
      yield* gate.go
      yield* Fiber.joinAll(fibers)
      expect(faults.commits.map((groups) => groups.map((group) => group.session))).toEqual([["first"], ["a", "b", "c"]])
    }).pipe(live())
  )

  it.live("bounds a commit by rows and by bytes, and divides no append", () =>
    Effect.gen(function* () {
      const faults = yield* Faults
      const [epoch] = yield* lease()
      const append = (session: string, ...details: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          const w = yield* writer(session, epoch!)
          return yield* w.append(...details.map(noted))
        })
      const gate = yield* stop
      const fibers = [yield* Effect.fork(append("first", "x"))]
      yield* gate.reached
      fibers.push(yield* Effect.fork(append("a", "1", "2")))
      fibers.push(yield* Effect.fork(append("b", "1", "2")))
      fibers.push(yield* Effect.fork(append("c", "1", "2", "3", "4", "5", "6")))
      fibers.push(yield* Effect.fork(append("d", "x".repeat(2000))))
      fibers.push(yield* Effect.fork(append("e", "1")))
      yield* Effect.yieldNow()
      yield* gate.go
      yield* Fiber.joinAll(fibers)
      const sizes = faults.commits.map((groups) => groups.map((group) => `${group.session}${group.rows.length}`))
      expect(sizes).toEqual([["first1"], ["a2", "b2"], ["c6"], ["d1"], ["e1"]])
    }).pipe(live({ batchRows: 4, batchBytes: 1000 }))
  )

  it.live("takes an append that follows one that has not returned, into the same commit", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const faults = yield* Faults
      const [epoch] = yield* lease()
      const gate = yield* stop
      const other = yield* Effect.fork((yield* writer("other", epoch!)).append(created))
      yield* gate.reached
      const w = yield* writer("a", epoch!)
      const one = w.make(yield* w.head, [noted(1), accepted("c")])
      const two = w.make(Journal.after(one), [noted(2)])
      const three = w.make(Journal.after(two), [noted(3)])
      const fibers = []
      for (const append of [one, two, three]) fibers.push(yield* Effect.fork(journal.append(append)))
      yield* Effect.yieldNow()
      yield* gate.go
      yield* Fiber.join(other)
      const appended = yield* Fiber.joinAll(fibers)
      expect(appended.map(({ head }) => head.seq)).toEqual([2, 3, 4])
      expect(faults.commits.length).toBe(2)
      expect((yield* journal.verify(w.key)).problems).toEqual([])
      expect(yield* journal.head(w.key)).toEqual(appended[2]!.head)
    }).pipe(live())
  )

  it.live("fails an append that follows one that failed, whether it waits or comes late (I4)", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const faults = yield* Faults
      const [epoch] = yield* lease()
      const w = yield* writer("a", epoch!)
      yield* w.append(created)
      const one = w.make(yield* w.head, [noted(1)])
      const two = w.make(Journal.after(one), [noted(2)])
      const three = w.make(Journal.after(two), [noted(3)])
      const gate = yield* stop
      faults.fate = (operation) => (operation === "append" ? "before" : "ok")
      const first = yield* Effect.fork(Effect.exit(journal.append(one)))
      yield* gate.reached
      const second = yield* Effect.fork(Effect.exit(journal.append(two)))
      yield* Effect.yieldNow()
      yield* gate.go
      expect(tagOf(yield* Fiber.join(first))).toBe("StoreUnavailable")
      expect(tagOf(yield* Fiber.join(second))).toBe("StoreUnavailable")
      faults.fate = () => "ok"
      expect(tagOf(yield* Effect.exit(journal.append(three)))).toBe("Fenced")
      expect((yield* rowsOf("a")).length).toBe(1)
      yield* w.append(noted("from the journal again"))
      expect((yield* journal.verify(w.key)).problems).toEqual([])
    }).pipe(live({ retryMs: 0 }))
  )

  it.live("gives a place to the first of two that want it, and commits them apart", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const [epoch] = yield* lease()
      const gate = yield* stop
      const fibers = [yield* Effect.fork(Effect.exit((yield* writer("warm", epoch!)).append(created)))]
      yield* gate.reached
      const w = yield* writer("a", epoch!)
      const head = yield* w.head
      for (const note of ["first", "second"]) {
        fibers.push(yield* Effect.fork(Effect.exit(journal.append(w.make(head, [noted(note)])))))
      }
      yield* Effect.yieldNow()
      yield* gate.go
      expect((yield* Fiber.joinAll(fibers)).map(tagOf)).toEqual(["written", "written", "Fenced"])
      expect(yield* notesOf("a")).toEqual(["first"])
    }).pipe(live())
  )

  it.live("goes on from an append whose failure was a success that nobody heard of", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const faults = yield* Faults
      const [epoch] = yield* lease()
      const w = yield* writer("a", epoch!)
      const one = w.make(yield* w.head, [created])
      faults.fate = (operation) => (operation === "append" ? "after" : "before")
      expect(tagOf(yield* Effect.exit(journal.append(one)))).toBe("StoreUnavailable")
      faults.fate = () => "ok"
      const again = yield* writer("a", epoch!, { head: (yield* journal.head(w.key))! })
      yield* again.append(noted(1))
      expect((yield* rowsOf("a")).length).toBe(2)
    }).pipe(live({ retryMs: 0 }))
  )

  it.live("fences one session in the middle of a commit, and no other (I3)", () =>
    Effect.gen(function* () {
      const shards = [shard, Shard.make("default:2")]
      const [first, second] = yield* lease(shards)
      const gate = yield* stop
      const fibers = [yield* Effect.fork(Effect.exit((yield* writer("warm", first!)).append(created)))]
      yield* gate.reached
      const sessions: ReadonlyArray<readonly [string, Epoch, Shard]> = [
        ["a", first!, shards[0]!],
        ["stale", (second! - 1) as Epoch, shards[1]!],
        ["b", second!, shards[1]!]
      ]
      for (const [session, epoch, shard] of sessions) {
        const w = yield* writer(session, epoch, { shard })
        fibers.push(yield* Effect.fork(Effect.exit(w.append(created))))
      }
      yield* Effect.yieldNow()
      yield* gate.go
      expect((yield* Fiber.joinAll(fibers)).map(tagOf)).toEqual(["written", "written", "Fenced", "written"])
      expect((yield* rowsOf("stale")).length).toBe(0)
    }).pipe(live())
  )

  it.live("completes what was begun, though its caller is interrupted meanwhile", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const [epoch] = yield* lease()
      const w = yield* writer("a", epoch!)
      const gate = yield* stop
      const fiber = yield* Effect.fork(journal.append(w.make(yield* w.head, [created])))
      yield* gate.reached
      const interruption = yield* Effect.fork(Fiber.interrupt(fiber))
      expect(yield* Effect.timeoutOption(Fiber.join(interruption), "50 millis")).toEqual(Option.none())
      yield* gate.go
      yield* Fiber.join(interruption)
      expect((yield* rowsOf("a")).length).toBe(1)
    }).pipe(live())
  )

  it.live("gives up after its time and says so, and another session goes on when the store does", () =>
    Effect.gen(function* () {
      const faults = yield* Faults
      const [epoch] = yield* lease()
      const a = yield* writer("a", epoch!)
      faults.fate = () => "before"
      const error = yield* Effect.flip(a.append(created))
      expect(error._tag).toBe("StoreUnavailable")
      expect(faults.commits.length).toBeGreaterThan(2)
      faults.fate = () => "ok"
      yield* (yield* writer("b", epoch!)).append(created)
    }).pipe(live({ retryMs: 30 }))
  )

  it.live("fails the one session whose rows the store cannot take, and serves the others (I13)", () =>
    Effect.gen(function* () {
      const faults = yield* Faults
      const [epoch] = yield* lease()
      faults.fate = (operation, groups) =>
        operation === "append" && groups.some((group) => group.session === "poisoned") ? "before" : "ok"
      const append = (session: string) => Effect.flatMap(writer(session, epoch!), (w) => w.append(created))
      const gate = yield* stop
      const others = [yield* Effect.fork(append("warm"))]
      yield* gate.reached
      const poisoned = yield* Effect.fork(Effect.exit(append("poisoned")))
      for (const session of ["a", "b", "c"]) others.push(yield* Effect.fork(append(session)))
      yield* Effect.yieldNow()
      yield* gate.go
      yield* Fiber.joinAll(others)
      expect(poisoned.unsafePoll()).toBeNull()
      expect(tagOf(yield* Fiber.join(poisoned))).toBe("StoreUnavailable")
    }).pipe(live({ retryMs: 300 }))
  )

  it.live("survives a store that dies, as one that does not answer", () =>
    Effect.gen(function* () {
      const faults = yield* Faults
      const [epoch] = yield* lease()
      let times = 2
      faults.before = Effect.suspend(() => (times-- > 0 ? Effect.dieMessage("a bug") : Effect.void))
      yield* (yield* writer("a", epoch!)).append(created)
      expect((yield* rowsOf("a")).length).toBe(1)
    }).pipe(live())
  )

  it.live("commits what waits when it closes, and takes nothing more", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const store = Layer.build(Layer.provideMerge(faulty, Sqlite.layerMemory))
      yield* Effect.gen(function* () {
        const journalScope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(Journal.layer, journalScope)
        yield* Effect.gen(function* () {
          const [epoch] = yield* lease()
          const gate = yield* stop
          const first = yield* Effect.fork((yield* writer("a", epoch!)).append(created))
          yield* gate.reached
          const second = yield* Effect.fork((yield* writer("b", epoch!)).append(created))
          yield* Effect.yieldNow()
          const closing = yield* Effect.fork(Scope.close(journalScope, Exit.void))
          yield* Effect.yieldNow()
          yield* gate.go
          yield* Fiber.join(closing)
          yield* Fiber.joinAll([first, second])
          const late = yield* Effect.exit((yield* writer("c", epoch!)).append(created))
          expect(tagOf(late)).toBe("StoreUnavailable")
        }).pipe(Effect.provide(context))
      }).pipe(Effect.provide(yield* Scope.extend(store, scope)))
      yield* Scope.close(scope, Exit.void)
    }).pipe(Effect.orDie)
  )
})

/** Sessions that append while the store fails as it is told. */
const surviveFaults = (next: (operation: "append" | "read") => Fate) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const faults = yield* Faults
    const [epoch] = yield* lease()
    faults.fate = next
    const sessions = Array.from({ length: 6 }, (_, i) => `s${i}`)
    yield* Effect.forEach(
      sessions,
      (session) =>
        Effect.gen(function* () {
          const w = yield* writer(session, epoch!)
          for (let i = 0; i < 8; i++) yield* w.append(noted(i), accepted(`c-${i}`))
        }),
      { concurrency: "unbounded" }
    )
    faults.fate = () => "ok"
    for (const session of sessions) {
      const notes = (yield* notesOf(session)).filter((note) => note !== undefined)
      expect(notes).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
      expect(yield* journal.verify(key(session))).toEqual({ entries: 16, redacted: 0, problems: [] })
    }
  })

const fates = fc.infiniteStream(fc.constantFrom<Fate>("ok", "ok", "before", "after"))

describe("lost acknowledgements", () => {
  it.live.prop(
    "lose nothing, double nothing and leave no gap, at any time (I1, I4)",
    [fates, fc.boolean()],
    ([fates, readsFail]) =>
      surviveFaults((operation) => (operation === "read" && !readsFail ? "ok" : fates.next().value)).pipe(live()),
    { fastCheck: { numRuns: 30 } }
  )

  it.live.prop(
    "do neither on Postgres",
    [fates],
    ([fates]) => surviveFaults(() => fates.next().value).pipe(live({}, postgres)),
    { fastCheck: { numRuns: 3 } }
  )

  it.live("do not make a writer believe that another's entry is its own (I3)", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const faults = yield* Faults
      const store = yield* Store
      const [epoch] = yield* lease()
      const w = yield* writer("a", epoch!)
      const other = w.make(yield* w.head, [noted("another's")])
      // The other's row comes between the try whose acknowledgement is lost and the look-up.
      const first = yield* writer("scratch", epoch!)
      yield* journal.append({ ...other, key: first.key })
      const [row] = yield* rowsOf("scratch")
      faults.before = Effect.suspend(() => {
        faults.before = Effect.void
        return Effect.orDie(
          Effect.tap(store.append([{ namespace, session: w.key.session, shard, epoch: epoch!, rows: [row!] }]), () => {
            faults.fate = (operation) => (operation === "append" ? "before" : "ok")
          })
        )
      })
      const gave = yield* Effect.exit(w.append(noted("mine")))
      expect(tagOf(gave)).toBe("Fenced")
      expect(yield* notesOf("a")).toEqual(["another's"])
    }).pipe(live())
  )
})
