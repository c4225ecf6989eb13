import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, type Layer, Stream } from "effect"
import type { Entry } from "../../src/domain/Entry.ts"
import { AgentName, CommandId, TimerId } from "../../src/domain/Id.ts"
import { Journal, JournalSettings } from "../../src/journal/index.ts"
import { Sqlite } from "../../src/store/index.ts"
import { type SessionRow, Store, type StoredRow } from "../../src/store/Store.ts"
import * as Arbitraries from "../../src/testing/Arbitraries.ts"
import * as Claim from "../../src/domain/Claim.ts"
import {
  accepted,
  created,
  Faults,
  key,
  lease,
  namespace,
  noted,
  postgres,
  shard,
  withFaults,
  writer
} from "../support/journal.ts"
import * as Verified from "../../src/journal/Verified.ts"

const rowsOf = (session: string) =>
  Effect.flatMap(Store, (store) => store.read(namespace, key(session).session, 0, 100_000))

const suite = (name: string, store: Layer.Layer<Store, unknown>) => {
  const live = <A, E>(effect: Effect.Effect<A, E, Journal | Store | Faults>) =>
    effect.pipe(Effect.provide(withFaults(store)), Effect.orDie)

  describe(`the journal on ${name}`, () => {
    it.live("reads back a history that was appended, in order, with a chain that verifies (I4)", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const [epoch] = yield* lease()
        const w = yield* writer("a", epoch!)
        const history = [created, ...Array.from({ length: 600 }, (_, i) => noted(i)), accepted("c-1")]
        for (let i = 0; i < history.length; i += 7) yield* w.append(...history.slice(i, i + 7))

        const all = Chunk.toReadonlyArray(yield* Stream.runCollect(journal.read(w.key, 0)))
        expect(all.map((recorded) => recorded.entry)).toEqual(history)
        expect(all.map((recorded) => recorded.seq)).toEqual(history.map((_, i) => i + 1))
        expect(yield* journal.page(w.key, 10, 3)).toEqual(all.slice(10, 13))
        const after = yield* Stream.runCollect(journal.read(w.key, 300))
        expect(Chunk.toReadonlyArray(after)).toEqual(all.slice(300))
        expect(yield* journal.head(w.key)).toEqual(yield* w.head)
        expect(yield* journal.verify(w.key)).toEqual({ entries: history.length, redacted: 0, problems: [] })
      }).pipe(live)
    )

    it.live("returns the entries in their places, as a reader will see them", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const [epoch] = yield* lease()
        const w = yield* writer("a", epoch!)
        const { bytes, entries } = yield* w.append(created, noted(1))
        expect(yield* journal.page(w.key, 0, 10)).toEqual(entries)
        expect(bytes).toBe((yield* rowsOf("a")).reduce((sum, row) => sum + row.payload.length, 0))
      }).pipe(live)
    )

    it.live("is empty for a session that is not there", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        expect(yield* journal.page(key("none"), 0, 10)).toEqual([])
        expect(yield* journal.head(key("none"))).toBeNull()
        expect(yield* journal.accepted(key("none"), CommandId.make("c"))).toBeNull()
        expect(yield* journal.verify(key("none"))).toEqual({ entries: 0, redacted: 0, problems: [] })
        expect(Chunk.size(yield* Stream.runCollect(journal.read(key("none"), 0)))).toBe(0)
      }).pipe(live)
    )

    it.live("finds a command by its id, and takes it once in a session (I1)", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const [epoch] = yield* lease()
        const a = yield* writer("a", epoch!)
        const b = yield* writer("b", epoch!)
        yield* a.append(created, accepted("c-1"))
        yield* b.append(created, accepted("c-1"))
        expect((yield* journal.accepted(a.key, CommandId.make("c-1")))?.seq).toBe(2)
        expect(yield* journal.accepted(a.key, CommandId.make("c-2"))).toBeNull()
        const again = yield* Effect.flip(a.append(noted(1), accepted("c-1")))
        expect(again._tag).toBe("Fenced")
        expect((yield* rowsOf("a")).length).toBe(2)
      }).pipe(live)
    )

    it.live("refuses a stale epoch (I3), and a head that is not the session's (I4)", () =>
      Effect.gen(function* () {
        const [first] = yield* lease()
        const w = yield* writer("a", first!)
        yield* w.append(created)
        const [second] = yield* lease([shard], "2")
        expect((yield* Effect.flip(w.append(noted(1))))._tag).toBe("Fenced")
        const late = yield* writer("a", second!)
        expect((yield* Effect.flip(late.append(created)))._tag).toBe("Fenced")
        const next = yield* writer("a", second!, { head: yield* w.head })
        yield* next.append(noted(2))
        expect((yield* rowsOf("a")).map((row) => row.epoch)).toEqual([first, second])
      }).pipe(live)
    )

    it.live("keeps the columns that can be searched: status, timers, blobs", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const { commits } = yield* Faults
        const [epoch] = yield* lease()
        const w = yield* writer("a", epoch!)
        const t = TimerId.make
        const hash = "ab".repeat(32)
        const claim = Claim.make({ hash, bytes: 1, chars: 1, form: "text", head: "x", tail: "" })
        const info: SessionRow = {
          agent: AgentName.make("test"),
          agentVersion: "1",
          status: "active",
          attributes: {},
          createdAt: 1,
          updatedAt: 2
        }
        const entries: ReadonlyArray<Entry> = [
          created,
          { _tag: "TimerSet", timer: t("stays"), due: 10 },
          { _tag: "TimerSet", timer: t("fires"), due: 20 },
          { _tag: "TimerFired", timer: t("fires") },
          { _tag: "TimerSet", timer: t("is set again"), due: 30 },
          { _tag: "TimerCleared", timer: t("is set again") },
          { _tag: "TimerSet", timer: t("is set again"), due: 40 },
          noted(claim)
        ]
        yield* journal.append({ ...w.make(yield* w.head, entries), info })
        const store = yield* Store
        expect((yield* store.session(namespace, w.key.session))?.status).toBe("active")
        const timers = yield* store.timers([shard])
        expect(Object.fromEntries(timers.map(({ due, timer }) => [timer, due]))).toEqual({
          stays: 10,
          "is set again": 40
        })
        expect(commits[0]![0]!.blobs).toEqual([hash])
      }).pipe(live)
    )

    it.live("gives a snapshot with what came after, for the session that it was folded from", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const [epoch] = yield* lease()
        const w = yield* writer("a", epoch!)
        yield* w.append(created, noted(1))
        const head = yield* w.head
        const state = Buffer.from("state")
        const seqs = (entries: ReadonlyArray<{ readonly seq: number }> = []) => entries.map(({ seq }) => seq)
        const before = yield* journal.waking(w.key)
        expect(before).toMatchObject({ first: { seq: 1, entry: created }, snapshot: null, hasMore: false })
        expect(seqs(before?.entries)).toEqual([1, 2])
        yield* journal.saveSnapshot(w.key, { head, fingerprint: "v1", state })
        yield* w.append(noted(2), noted(3))
        const waking = yield* journal.waking(w.key)
        expect(waking?.first.entry).toEqual(created)
        expect(waking?.snapshot).toMatchObject({ head, fingerprint: "v1" })
        expect(Buffer.from(waking!.snapshot!.state).toString()).toBe("state")
        expect(seqs(waking?.entries)).toEqual([3, 4])

        const store = yield* Store
        yield* store.forget(namespace, w.key.session)
        const again = yield* writer("a", epoch!)
        yield* again.append(created, noted("another life"))
        yield* journal.saveSnapshot(w.key, { head, fingerprint: "v1", state })
        const anew = yield* journal.waking(w.key)
        expect(anew?.snapshot).toBeNull()
        expect(seqs(anew?.entries)).toEqual([1, 2])
      }).pipe(live)
    )

    it.live("gives what precedes an unreadable entry, then says which one and why (I13)", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const store = yield* Store
        const [epoch] = yield* lease()
        const w = yield* writer("a", epoch!)
        yield* w.append(created, noted(1))
        const [, row] = yield* rowsOf("a")
        yield* store.append([
          {
            ...{ namespace, session: w.key.session, shard, epoch: epoch! },
            rows: [{ ...row!, seq: 3 as StoredRow["seq"], payload: Buffer.from(`{"v":9}`) }]
          }
        ])
        const seen: Array<number> = []
        const error = yield* Effect.flip(
          Stream.runForEach(journal.read(w.key, 0), (recorded) => Effect.sync(() => seen.push(recorded.seq)))
        )
        expect(seen).toEqual([1, 2])
        expect(error).toMatchObject({ _tag: "EntryUnreadable", seq: 3, session: "a" })
        expect(error.message).toMatch(/version 9/)
        expect((yield* Effect.flip(journal.page(w.key, 0, 10)))._tag).toBe("EntryUnreadable")
        expect((yield* journal.verify(w.key)).problems.map((problem) => problem.seq)).toContain(3)
      }).pipe(live)
    )
  })
}

suite("sqlite", Sqlite.layerMemory)
suite("postgres", postgres)

describe("the audit chain", () => {
  const history = Effect.gen(function* () {
    const [epoch] = yield* lease()
    const w = yield* writer("a", epoch!)
    yield* w.append(created, accepted("c-1"))
    yield* w.append(noted("text"), noted(2))
    return yield* rowsOf("a")
  }).pipe(Effect.provide(withFaults(Sqlite.layerMemory)), Effect.orDie)

  const verify = (rows: ReadonlyArray<StoredRow>) => rows.reduce(Verified.step, Verified.begin(key("a"))).problems

  it.effect("finds any single changed byte", () =>
    Effect.gen(function* () {
      const rows = yield* history
      expect(verify(rows)).toEqual([])
      for (let i = 0; i < rows.length; i++) {
        const changed = (row: Partial<StoredRow>) => rows.map((old, at) => (at === i ? { ...old, ...row } : old))
        for (const column of ["payload", "digest", "chain"] as const) {
          for (let byte = 0; byte < rows[i]![column].length; byte++) {
            const flipped = Uint8Array.from(rows[i]![column])
            flipped[byte]! ^= 1 << (byte % 8)
            const problems = verify(changed({ [column]: flipped }))
            expect(
              problems.map((problem) => problem.seq),
              `${column}[${byte}] of row ${i + 1}`
            ).toContain(i + 1)
          }
        }
        expect(verify(changed({ at: rows[i]!.at + 1 }))).not.toEqual([])
        expect(verify(changed({ epoch: (rows[i]!.epoch + 1) as StoredRow["epoch"] }))).not.toEqual([])
        expect(verify(changed({ tag: "TimerSet" }))).not.toEqual([])
        expect(verify(changed({ command: CommandId.make("other") }))).not.toEqual([])
      }
    })
  )

  it.effect("finds a missing row, an exchanged one, and one of another session", () =>
    Effect.gen(function* () {
      const rows = yield* history
      expect(verify(rows.filter((row) => row.seq !== 2))).toEqual([{ seq: 3, problem: "entry 2 is missing" }])
      expect(verify(rows.slice(2))).toEqual([{ seq: 3, problem: "entries 1 to 2 are missing" }])
      expect(
        verify(rows.map((row) => ({ ...row, ...(row.seq === 3 ? { ...rows[3]!, seq: row.seq } : {}) })))
      ).not.toEqual([])
      expect(rows.reduce(Verified.step, Verified.begin(key("b"))).problems).toHaveLength(1)
    })
  )

  it.effect("holds when the content of a row is redacted, and only its content", () =>
    Effect.gen(function* () {
      const rows = yield* history
      const redact = (row: StoredRow) => (row.seq === 3 ? { ...row, payload: new Uint8Array(0) } : row)
      const walked = rows.map(redact).reduce(Verified.step, Verified.begin(key("a")))
      expect(walked).toMatchObject({ entries: 4, redacted: 1, problems: [] })
      expect(verify(rows.map(redact).map((row) => (row.seq === 3 ? { ...row, tag: "TimerSet" } : row)))).not.toEqual([])
    })
  )
})

describe("any history", () => {
  it.effect.prop(
    "is read as it was written, however it was divided into appends",
    [Arbitraries.entries],
    ([entries]) =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const [epoch] = yield* lease()
        const one = yield* writer("one", epoch!)
        const many = yield* writer("many", epoch!)
        yield* one.append(...entries)
        for (const entry of entries) yield* many.append(entry)
        for (const { key } of [one, many]) {
          const read = yield* journal.page(key, 0, 1000)
          expect(read.map((recorded) => recorded.entry)).toEqual(entries)
          expect((yield* journal.verify(key)).problems).toEqual([])
        }
      }).pipe(Effect.provide(withFaults(Sqlite.layerMemory)), Effect.provide(JournalSettings.layer({}))),
    { fastCheck: { numRuns: 30 } }
  )
})
