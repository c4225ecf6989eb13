/**
 * What a driver of the store must do, line by line of its contract. A new driver is a line in `store.test.ts`.
 *
 * All tests of a driver share a store; each has names of its own.
 */
import { describe, expect, layer } from "@effect/vitest"
import { Effect, FastCheck, Fiber, Layer, Logger, LogLevel } from "effect"
import type { Namespace, Shard } from "../../src/domain/Id.ts"
import { textArbitrary } from "../../src/domain/Json.ts"
import { type Row, Store, type Waking } from "../../src/store/index.ts"
import { command, epoch, group, info, plain, row, session, timer, unique } from "./rows.ts"

/** Nobody is silent for that long. */
const patient_ms = 60_000
/** Everybody has been silent for longer than this: the test does not have to wait for it. */
const impatient_ms = -60_000

const bytes = FastCheck.uint8Array({ maxLength: 300 })
const text = textArbitrary(FastCheck)
const attributes = FastCheck.dictionary(text, text, { maxKeys: 4 }).map((record) => ({ ...record }))

/** A registered runner that owns the test's two shards, both at the epoch that it returns. */
const owner = Effect.fnUntraced(function* () {
  const at = unique()
  const store = yield* Store
  yield* store.register({ address: at.address, incarnation: "one", info: "{}", healthy: true })
  const taken = yield* store.acquire(at.address, "one", [at.shard, at.other], patient_ms)
  expect(taken.map((lease) => lease.epoch)).toEqual([1, 1])
  return { ...at, store, epoch: 1 }
})

const all = (namespace: Namespace, id: string) =>
  Effect.flatMap(Store, (store) => store.read(namespace, session(id), 0, 10_000))

const seqs = (rows: ReadonlyArray<Row>) => rows.map((row): number => row.seq)

export const suite = <E>(name: string, live: Layer.Layer<Store, E>): void => {
  // That runners are declared dead is what is tested here: no need to warn of it.
  const quiet = Layer.merge(live, Logger.minimumLogLevel(LogLevel.Error))
  layer(quiet, { excludeTestServices: true, timeout: "60 seconds" })(name, (it) => {
    describe("the journal", () => {
      it.effect("gives back what was appended, in the order of seq", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const rows = [row(1), row(2, { command: command("c-1"), tag: "CommandAccepted" }), row(3)]
          expect(yield* at.store.append([group(at, "s", 1, rows)])).toEqual(["written"])
          expect(plain(yield* all(at.namespace, "s"))).toEqual(plain(rows.map((row) => ({ ...row, epoch: epoch(1) }))))
          const accepted = yield* at.store.accepted(at.namespace, session("s"), command("c-1"))
          expect(accepted?.seq).toBe(2)
          expect((yield* at.store.head(at.namespace, session("s")))?.seq).toBe(3)
        })
      )

      it.effect("answers with nothing for a session that is not there", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          expect(yield* all(at.namespace, "none")).toEqual([])
          expect(yield* at.store.head(at.namespace, session("none"))).toBeNull()
          expect(yield* at.store.accepted(at.namespace, session("none"), command("c"))).toBeNull()
          expect(yield* at.store.session(at.namespace, session("none"))).toBeNull()
          expect(yield* at.store.waking(at.namespace, session("none"), 9)).toEqual({ snapshot: null, rows: [] })
          expect(yield* at.store.append([])).toEqual([])
        })
      )

      it.effect("is read in pages, from after a seq", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          yield* at.store.append([
            group(
              at,
              "s",
              1,
              [1, 2, 3, 4, 5].map((n) => row(n))
            )
          ])
          expect(seqs(yield* at.store.read(at.namespace, session("s"), 0, 2))).toEqual([1, 2])
          expect(seqs(yield* at.store.read(at.namespace, session("s"), 2, 2))).toEqual([3, 4])
          expect(seqs(yield* at.store.read(at.namespace, session("s"), 5, 2))).toEqual([])
        })
      )

      it.effect.prop(
        "keeps every byte of a payload, NUL and all",
        [FastCheck.array(bytes, { minLength: 1, maxLength: 5 })],
        ([payloads]) =>
          Effect.gen(function* () {
            const at = yield* owner()
            const rows = payloads.map((payload, i) => row(i + 1, { payload }))
            expect(yield* at.store.append([group(at, "s", 1, rows)])).toEqual(["written"])
            const read = yield* all(at.namespace, "s")
            expect(plain(read).map((row) => row.payload)).toEqual(plain(rows).map((row) => row.payload))
          }),
        { fastCheck: { numRuns: 30 } }
      )

      it.effect("takes a payload of 5 MB, and an empty one beside it", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const large = new Uint8Array(5 * 1024 * 1024).map((_, i) => i * 31)
          const rows = [row(1, { payload: new Uint8Array(0) }), row(2, { payload: large }), row(3)]
          expect(yield* at.store.append([group(at, "s", 1, rows)])).toEqual(["written"])
          const read = yield* all(at.namespace, "s")
          expect(read.map((row) => row.payload.length)).toEqual([0, large.length, 9])
          expect(Buffer.from(read[1]!.payload).equals(Buffer.from(large))).toBe(true)
        })
      )

      it.effect("takes a hundred groups at once and answers in their order", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const groups = Array.from({ length: 100 }, (_, i) => {
            const rows = [row(1), row(2)]
            return group(at, `s-${i}`, i % 10 === 3 ? 7 : 1, rows, { info: info() })
          })
          const written = yield* at.store.append(groups)
          expect(written).toEqual(groups.map((_, i) => (i % 10 === 3 ? "fenced" : "written")))
          expect(seqs(yield* all(at.namespace, "s-99"))).toEqual([1, 2])
          expect(yield* all(at.namespace, "s-93")).toEqual([])
        })
      )

      it.effect("keeps namespaces apart", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const elsewhere = { ...at, namespace: unique().namespace }
          const rows = [row(1, { command: command("same") })]
          expect(yield* at.store.append([group(at, "s", 1, rows), group(elsewhere, "s", 1, rows)])).toEqual([
            "written",
            "written"
          ])
          yield* at.store.forget(elsewhere.namespace, session("s"))
          expect(seqs(yield* all(at.namespace, "s"))).toEqual([1])
        })
      )
    })

    describe("uniqueness (I1, I4)", () => {
      it.effect("a seq that is there already conflicts, and the first one stays", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          yield* at.store.append([group(at, "s", 1, [row(1, { tag: "First" })])])
          expect(yield* at.store.append([group(at, "s", 1, [row(1, { tag: "Second" })])])).toEqual(["conflict"])
          expect((yield* all(at.namespace, "s")).map((row) => row.tag)).toEqual(["First"])
        })
      )

      it.effect("a command id is accepted once in a session, and is free in another", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const once = (id: string, seq: number) => group(at, id, 1, [row(seq, { command: command("c") })])
          expect(yield* at.store.append([once("s", 1)])).toEqual(["written"])
          expect(yield* at.store.append([once("s", 2), once("t", 1)])).toEqual(["conflict", "written"])
          expect((yield* at.store.accepted(at.namespace, session("s"), command("c")))?.seq).toBe(1)
        })
      )

      it.effect("of a batch only the guilty groups conflict, and nothing of them is written", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          yield* at.store.append([group(at, "guilty", 1, [row(1), row(2)])])
          const written = yield* at.store.append([
            group(at, "before", 1, [row(1)]),
            group(at, "guilty", 1, [row(3), row(2)], {
              info: info(),
              timersSet: [{ timer: timer("t"), due: 1 }],
              blobs: ["hash"]
            }),
            group(at, "stale", 9, [row(1)]),
            group(at, "after", 1, [row(1)], { timersSet: [{ timer: timer("kept"), due: 1 }] })
          ])
          expect(written).toEqual(["written", "conflict", "fenced", "written"])
          expect(seqs(yield* all(at.namespace, "guilty"))).toEqual([1, 2])
          expect(yield* at.store.session(at.namespace, session("guilty"))).toBeNull()
          expect((yield* at.store.timers([at.shard])).map((timer): string => timer.timer)).toEqual(["kept"])
          expect(seqs(yield* all(at.namespace, "after"))).toEqual([1])
          expect(yield* all(at.namespace, "stale")).toEqual([])
        })
      )

      it.effect("two groups of one session in a batch build on each other", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const written = yield* at.store.append([
            group(at, "s", 1, [row(1)], {
              info: info({ status: "active" }),
              timersSet: [
                { timer: timer("cleared-later"), due: 1 },
                { timer: timer("moved"), due: 2 }
              ]
            }),
            group(at, "s", 1, [row(2)], {
              info: info({ status: "resting" }),
              timersCleared: [timer("cleared-later")],
              timersSet: [{ timer: timer("moved"), due: 3 }]
            }),
            group(at, "s", 1, [row(2)], { info: info({ status: "ended" }) })
          ])
          expect(written).toEqual(["written", "written", "conflict"])
          expect((yield* at.store.session(at.namespace, session("s")))?.status).toBe("resting")
          expect(yield* at.store.timers([at.shard])).toEqual([
            { namespace: at.namespace, session: "s", shard: at.shard, timer: "moved", due: 3 }
          ])
        })
      )

      it.effect("a stale group and a fresh one of one session in a batch do not speak for each other", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const written = yield* at.store.append([
            group(at, "s", 1, [row(1)], { info: info({ status: "resting" }) }),
            group(at, "s", 8, [row(2)], { info: info({ status: "ended" }) })
          ])
          expect(written).toEqual(["written", "fenced"])
          expect((yield* at.store.session(at.namespace, session("s")))?.status).toBe("resting")
        })
      )
    })

    describe("fencing (I3)", () => {
      it.effect("an epoch that is not the shard's current one writes nothing, older or newer", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          yield* at.store.acquire(at.address, "one", [at.shard], patient_ms)
          const nowhere = { ...at, shard: unique().shard }
          const written = yield* at.store.append([
            group(at, "old", 1, [row(1)], { info: info(), timersSet: [{ timer: timer("t"), due: 1 }] }),
            group(at, "new", 3, [row(1)]),
            group(nowhere, "unowned", 1, [row(1)]),
            group(at, "right", 2, [row(1)])
          ])
          expect(written).toEqual(["fenced", "fenced", "fenced", "written"])
          for (const id of ["old", "new", "unowned"]) {
            expect(yield* all(at.namespace, id)).toEqual([])
            expect(yield* at.store.session(at.namespace, session(id))).toBeNull()
          }
          expect(yield* at.store.timers([at.shard])).toEqual([])
        })
      )

      it.effect("a released shard is still fenced by its epoch until another takes it", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const next = unique()
          yield* at.store.release(at.address, "one")
          yield* at.store.register({ address: next.address, incarnation: "n", info: "", healthy: true })
          expect(yield* at.store.acquire(next.address, "n", [at.shard], patient_ms)).toEqual([
            { shard: at.shard, epoch: 2 }
          ])
          expect(yield* at.store.append([group(at, "s", 1, [row(1)])])).toEqual(["fenced"])
        })
      )

      it.effect("after a takeover under load, no row of the old epoch follows one of the new", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const next = unique()
          yield* at.store.register({ address: next.address, incarnation: "n", info: "", healthy: true })
          const writer = yield* Effect.gen(function* () {
            for (let seq = 1; ; seq++) {
              const [written] = yield* at.store.append([group(at, "s", 1, [row(seq)])])
              if (written !== "written") return { seq, written }
            }
          }).pipe(Effect.fork)
          yield* Effect.repeat(at.store.head(at.namespace, session("s")), { until: (head) => (head?.seq ?? 0) >= 20 })
          // The writer is declared dead while it writes.
          const [lease] = yield* at.store.acquire(next.address, "n", [at.shard], impatient_ms)
          expect(lease?.epoch).toBe(2)
          const head = (yield* at.store.head(at.namespace, session("s")))!
          const first = group(at, "s", lease!.epoch, [row(head.seq + 1)])
          expect(yield* at.store.append([first])).toEqual(["written"])
          const stopped = yield* Fiber.join(writer)
          expect(stopped).toEqual({ seq: head.seq + 1, written: "fenced" })
          const rows = yield* all(at.namespace, "s")
          expect(seqs(rows)).toEqual(rows.map((_, i) => i + 1))
          expect(rows.map((row): number => row.epoch)).toEqual([...rows.slice(0, -1).map(() => 1), 2])
          expect(yield* at.store.heartbeat(at.address, "one")).toBe(false)
        })
      )
    })

    describe("waking", () => {
      const snapshot = (seq: number, fingerprint: string, chain = row(seq).chain) => ({
        seq: row(seq).seq,
        fingerprint,
        chain,
        state: Buffer.from(`state ${seq} ${fingerprint}`)
      })
      const rowsTo = (last: number) => Array.from({ length: last }, (_, i) => row(i + 1))
      /** Where the snapshot ends, its state, and the rows. */
      const told = ({ rows, snapshot }: Waking) => [
        snapshot === null ? null : Buffer.from(snapshot.state).toString(),
        ...seqs(rows)
      ]

      it.effect("gives the first row, the newest snapshot whoever wrote it, and what came after", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const save = (seq: number, fingerprint: string) =>
            at.store.saveSnapshot(at.namespace, session("s"), snapshot(seq, fingerprint))
          const wake = (limit: number) => at.store.waking(at.namespace, session("s"), limit)
          yield* at.store.append([group(at, "s", 1, rowsTo(9))])
          expect(told(yield* wake(9))).toEqual([null, 1, 2, 3, 4, 5, 6, 7, 8, 9])
          expect(told(yield* wake(3))).toEqual([null, 1, 2, 3, 4])
          yield* save(5, "a")
          yield* save(3, "b")
          expect(told(yield* wake(9))).toEqual(["state 5 a", 1, 6, 7, 8, 9])
          expect(told(yield* wake(2))).toEqual(["state 5 a", 1, 6, 7])
          // At the same seq the later one.
          yield* save(5, "c\u0000\ud800")
          const { rows, snapshot: found } = yield* wake(9)
          expect({ ...found, chain: Buffer.from(found!.chain), state: Buffer.from(found!.state) }).toEqual({
            ...snapshot(5, "c\u0000\ud800"),
            chain: Buffer.from(row(5).chain)
          })
          expect(plain(rows)).toEqual(plain([1, 6, 7, 8, 9].map((n) => ({ ...row(n), epoch: epoch(1) }))))
          yield* save(9, "d")
          expect(told(yield* wake(9))).toEqual(["state 9 d", 1])
        })
      )

      it.effect("gives no snapshot of what the journal does not hold, and one of the first row", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          yield* at.store.append([group(at, "s", 1, rowsTo(4)), group(at, "t", 1, rowsTo(2))])
          const wake = (id: string) => Effect.map(at.store.waking(at.namespace, session(id), 9), told)
          yield* at.store.saveSnapshot(at.namespace, session("s"), snapshot(3, "f", row(4).chain))
          yield* at.store.saveSnapshot(at.namespace, session("t"), snapshot(3, "f"))
          yield* at.store.saveSnapshot(at.namespace, session("u"), snapshot(3, "f"))
          expect(yield* wake("s")).toEqual([null, 1, 2, 3, 4])
          expect(yield* wake("t")).toEqual([null, 1, 2])
          expect(yield* wake("u")).toEqual([null])
          yield* at.store.append([group(at, "v", 1, rowsTo(2))])
          yield* at.store.saveSnapshot(at.namespace, session("v"), snapshot(1, "f"))
          expect(yield* wake("v")).toEqual(["state 1 f", 1, 2])
        })
      )

      it.effect("many at once each get their own, and whoever gives up takes nothing from the others", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const ids = Array.from({ length: 40 }, (_, i) => `beside-${i}`)
          for (const [i, id] of ids.entries()) {
            const rows = rowsTo(i % 5).map((one) => ({ ...one, payload: Buffer.from(`${id}/${one.seq}`) }))
            if (rows.length > 0) yield* at.store.append([group(at, id, 1, rows)])
            if (i % 3 > 0) yield* at.store.saveSnapshot(at.namespace, session(id), snapshot(i % 3, id))
          }
          const wake = (id: string) => at.store.waking(at.namespace, session(id), 2)
          const impatient = yield* Effect.fork(wake("beside-4"))
          const all = yield* Effect.fork(Effect.forEach(ids, wake, { concurrency: "unbounded" }))
          yield* Effect.yieldNow()
          yield* Fiber.interrupt(impatient)
          const found = (yield* all).map(({ rows, snapshot }) => [
            snapshot === null ? null : Buffer.from(snapshot.state).toString(),
            ...rows.map(({ payload }) => Buffer.from(payload).toString())
          ])
          const expected = ids.map((id, i) => {
            const last = i % 5
            const folded = i % 3 <= last ? i % 3 : 0
            const after = [1, 2, 3, 4].filter((n) => n <= last && n > Math.max(1, folded)).slice(0, 2)
            const numbers = last === 0 ? [] : [1, ...after]
            return [folded === 0 ? null : `state ${folded} ${id}`, ...numbers.map((n) => `${id}/${n}`)]
          })
          expect(found).toEqual(expected)
        })
      )
    })

    describe("sessions", () => {
      it.effect.prop(
        "attributes are kept and found, whatever text they are",
        [attributes, text],
        ([attributes, agentVersion]) =>
          Effect.gen(function* () {
            const at = yield* owner()
            const row1 = [row(1)]
            yield* at.store.append([
              group(at, "s", 1, row1, { info: info({ attributes, agentVersion }) }),
              group(at, "t", 1, row1, { info: info({ attributes: {} }) })
            ])
            const found = yield* at.store.session(at.namespace, session("s"))
            expect(found?.attributes).toEqual(attributes)
            expect(found?.agentVersion).toBe(agentVersion)
            const searched = yield* at.store.sessions({ namespace: at.namespace, attributes })
            expect(searched.map((info): string => info.session).sort()).toEqual(
              Object.keys(attributes).length === 0 ? ["s", "t"] : ["s"]
            )
            for (const key of Object.keys(attributes)) {
              const other = { ...attributes, [key]: `${attributes[key]}x` }
              expect(yield* at.store.sessions({ namespace: at.namespace, attributes: other })).toEqual([])
            }
          }),
        { fastCheck: { numRuns: 40 } }
      )

      it.effect("are listed newest first, by namespace, agent, status and attributes", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const made = (id: string, updatedAt: number, more: Parameters<typeof info>[0]) =>
            group(at, id, 1, [row(1)], { info: info({ updatedAt, ...more }) })
          yield* at.store.append([
            made("a", 1, { attributes: { user: "ann", tier: "1" } }),
            made("b", 3, { attributes: { user: "ann", tier: "2" }, status: "resting" }),
            made("c", 2, { attributes: { user: "bob" }, agent: "other" as never })
          ])
          const list = (filter: Parameters<typeof at.store.sessions>[0]) =>
            Effect.map(at.store.sessions({ namespace: at.namespace, ...filter }), (found) =>
              found.map((info): string => info.session)
            )
          expect(yield* list({})).toEqual(["b", "c", "a"])
          expect(yield* list({ limit: 2 })).toEqual(["b", "c"])
          expect(yield* list({ status: "resting" })).toEqual(["b"])
          expect(yield* list({ agent: "other" as never })).toEqual(["c"])
          expect(yield* list({ attributes: { user: "ann" } })).toEqual(["b", "a"])
          expect(yield* list({ attributes: { user: "ann", tier: "1" } })).toEqual(["a"])
          expect(yield* list({ attributes: { tier: "3" } })).toEqual([])
          expect((yield* at.store.sessions({ limit: 1000 })).length).toBeGreaterThanOrEqual(3)
        })
      )

      it.effect("the unfinished ones of a shard are its active ones", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const made = (id: string, shard: Shard, status: "active" | "resting" | "ended") =>
            group({ ...at, shard }, id, 1, [row(1)], { info: info({ status }) })
          yield* at.store.append([
            made("active", at.shard, "active"),
            made("resting", at.shard, "resting"),
            made("ended", at.shard, "ended"),
            made("elsewhere", at.other, "active")
          ])
          const unfinished = (shards: ReadonlyArray<Shard>) =>
            Effect.map(at.store.unfinished(shards), (found) => found.map((info): string => info.session).sort())
          expect(yield* unfinished([at.shard])).toEqual(["active"])
          expect(yield* unfinished([at.shard, at.other])).toEqual(["active", "elsewhere"])
          expect(yield* unfinished([])).toEqual([])
          yield* at.store.append([group(at, "active", 1, [row(2)], { info: info({ status: "resting" }) })])
          expect(yield* unfinished([at.shard])).toEqual([])
        })
      )

      it.effect("a parked one says why and is not woken again", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          yield* at.store.append([group(at, "s", 1, [row(1)], { info: info({ attributes: { user: "ann" } }) })])
          yield* at.store.park(at.namespace, session("s"), "bad \u0000 entry")
          yield* at.store.park(at.namespace, session("not there"), "no")
          const found = yield* at.store.session(at.namespace, session("s"))
          expect(found?.status).toBe("parked")
          expect(found?.attributes).toEqual({ user: "ann", parked: "bad \u0000 entry" })
          expect(yield* at.store.unfinished([at.shard])).toEqual([])
        })
      )

      it.effect("a forgotten one leaves nothing, and its neighbours stay", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const made = (id: string) =>
            group(at, id, 1, [row(1)], { info: info(), timersSet: [{ timer: timer("t"), due: 1 }], blobs: [`b-${id}`] })
          yield* at.store.append([made("s"), made("t")])
          const state = { fingerprint: "f", chain: Buffer.alloc(32), state: Buffer.alloc(1), seq: row(1).seq }
          yield* at.store.saveSnapshot(at.namespace, session("s"), state)
          yield* at.store.forget(at.namespace, session("s"))
          expect(yield* all(at.namespace, "s")).toEqual([])
          expect(yield* at.store.session(at.namespace, session("s"))).toBeNull()
          expect(yield* at.store.waking(at.namespace, session("s"), 9)).toEqual({ snapshot: null, rows: [] })
          expect((yield* at.store.timers([at.shard])).map((timer): string => timer.session)).toEqual(["t"])
          expect(seqs(yield* all(at.namespace, "t"))).toEqual([1])
        })
      )
    })

    describe("timers (I9)", () => {
      it.effect("are set, moved, cleared and listed by shard, the soonest first", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const hostile = timer("a\u0000\ud800\\b")
          yield* at.store.append([
            group(at, "s", 1, [row(1)], {
              timersSet: [
                { timer: timer("late"), due: 30 },
                { timer: hostile, due: 20 },
                { timer: timer("gone"), due: 5 }
              ]
            }),
            group({ ...at, shard: at.other }, "t", 1, [row(1)], { timersSet: [{ timer: timer("else"), due: 1 }] })
          ])
          yield* at.store.append([
            group(at, "s", 1, [row(2)], {
              timersSet: [{ timer: timer("late"), due: 10 }],
              timersCleared: [timer("gone"), timer("never was")]
            })
          ])
          expect(yield* at.store.timers([at.shard])).toEqual([
            { namespace: at.namespace, session: "s", shard: at.shard, timer: "late", due: 10 },
            { namespace: at.namespace, session: "s", shard: at.shard, timer: hostile, due: 20 }
          ])
          expect((yield* at.store.timers([at.other, at.shard])).map((timer) => timer.due)).toEqual([1, 10, 20])
        })
      )
    })

    describe("blobs", () => {
      const put = (at: { readonly namespace: Namespace }, hash: string, chunks: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          const store = yield* Store
          for (const chunk of chunks) yield* store.putChunk(at.namespace, chunk, Buffer.from(`content of ${chunk}`))
          yield* store.putBlob(at.namespace, { hash, bytes: 11 * chunks.length, chunks })
        })

      it.effect("chunks and manifests come back as they were put; putting again changes nothing", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const chunks = ["c3", "c1", "c2", "c1"]
          yield* put(at, "b", chunks)
          yield* put(at, "b", chunks)
          yield* put(at, "empty", [])
          expect(yield* at.store.getBlob(at.namespace, "b")).toEqual({ hash: "b", bytes: 44, chunks })
          expect(yield* at.store.getBlob(at.namespace, "empty")).toEqual({ hash: "empty", bytes: 0, chunks: [] })
          expect(Buffer.from((yield* at.store.getChunk(at.namespace, "c1"))!).toString()).toBe("content of c1")
          expect(yield* at.store.getChunk(at.namespace, "none")).toBeNull()
          expect(yield* at.store.getBlob(at.namespace, "none")).toBeNull()
          expect(yield* at.store.getChunk(unique().namespace, "c1")).toBeNull()
        })
      )

      it.effect("a manifest of thousands of chunks keeps their order", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const chunks = Array.from({ length: 2500 }, (_, i) => `chunk-${(i * 7919) % 2500}`)
          yield* at.store.putBlob(at.namespace, { hash: "b", bytes: 1, chunks })
          expect((yield* at.store.getBlob(at.namespace, "b"))?.chunks).toEqual(chunks)
        })
      )

      it.effect("collect deletes what nobody names and nobody has put lately, and shared chunks stay", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          yield* at.store.collect(impatient_ms)
          yield* put(at, "named", ["shared", "own"])
          yield* put(at, "loose", ["shared", "only-loose"])
          yield* at.store.putChunk(at.namespace, "stray", Buffer.from("x"))
          yield* at.store.append([group(at, "s", 1, [row(1)], { blobs: ["named"] })])
          expect(yield* at.store.collect(patient_ms)).toBe(0)
          expect(yield* at.store.getBlob(at.namespace, "loose")).not.toBeNull()
          expect(yield* at.store.collect(impatient_ms)).toBe(1)
          const there = (chunk: string) => Effect.map(at.store.getChunk(at.namespace, chunk), (found) => found !== null)
          expect(yield* at.store.getBlob(at.namespace, "loose")).toBeNull()
          expect(yield* Effect.forEach(["shared", "own", "only-loose", "stray"], there)).toEqual([
            true,
            true,
            false,
            false
          ])
          yield* at.store.forget(at.namespace, session("s"))
          expect(yield* at.store.collect(impatient_ms)).toBe(1)
          expect(yield* Effect.forEach(["shared", "own"], there)).toEqual([false, false])
        })
      )

      it.effect("a blob stays as long as one of its sessions does", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          yield* put(at, "b", ["c"])
          const names = (id: string) => group(at, id, 1, [row(1)], { blobs: ["b", "b"] })
          expect(yield* at.store.append([names("s"), names("t")])).toEqual(["written", "written"])
          yield* at.store.forget(at.namespace, session("s"))
          yield* at.store.collect(impatient_ms)
          expect(yield* at.store.getBlob(at.namespace, "b")).not.toBeNull()
        })
      )

      it.effect("a group that is fenced holds no blob", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          yield* put(at, "b", ["c"])
          yield* at.store.append([group(at, "s", 5, [row(1)], { blobs: ["b"] })])
          yield* at.store.collect(impatient_ms)
          expect(yield* at.store.getBlob(at.namespace, "b")).toBeNull()
        })
      )
    })

    describe("agreements", () => {
      it.effect("the first proposal wins, whoever asks and how many at once", () =>
        Effect.gen(function* () {
          const store = yield* Store
          const name = unique().address
          const answers = yield* Effect.forEach(["1", "2", "3", "4"], (proposal) => store.agree(name, proposal), {
            concurrency: "unbounded"
          })
          expect(new Set(answers).size).toBe(1)
          expect(yield* store.agree(name, "later")).toBe(answers[0])
          expect(yield* store.agree(`${name} other`, "its own")).toBe("its own")
        })
      )
    })

    describe("runners and shards", () => {
      const register = (address: string, incarnation: string) =>
        Effect.flatMap(Store, (store) =>
          store.register({ address, incarnation, info: `{"of":"${address}\u0000"}`, healthy: true })
        )
      const known = (address: string, expiryMs = patient_ms) =>
        Effect.flatMap(Store, (store) =>
          Effect.map(store.runners(expiryMs), (rows) => rows.filter((row) => row.address === address))
        )

      it.effect("a registered runner is seen, with its info and health, until it unregisters", () =>
        Effect.gen(function* () {
          const at = unique()
          const store = yield* Store
          yield* register(at.address, "one")
          expect(yield* known(at.address)).toEqual([
            { address: at.address, incarnation: "one", info: `{"of":"${at.address}\u0000"}`, healthy: true }
          ])
          yield* store.setHealth(at.address, "another", false)
          expect((yield* known(at.address))[0]?.healthy).toBe(true)
          yield* store.setHealth(at.address, "one", false)
          expect((yield* known(at.address))[0]?.healthy).toBe(false)
          expect(yield* store.heartbeat(at.address, "one")).toBe(true)
          yield* store.unregister(at.address, "one")
          expect(yield* known(at.address)).toEqual([])
          expect(yield* store.heartbeat(at.address, "one")).toBe(false)
        })
      )

      it.effect("who is not registered gets no shard", () =>
        Effect.gen(function* () {
          const at = unique()
          const store = yield* Store
          expect(yield* store.acquire(at.address, "one", [at.shard], patient_ms)).toEqual([])
          yield* register(at.address, "two")
          expect(yield* store.acquire(at.address, "one", [at.shard], patient_ms)).toEqual([])
        })
      )

      it.effect("shards are not taken from the living, and are from who left", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const next = unique()
          yield* register(next.address, "n")
          const wanted = [at.other, at.shard, next.shard]
          const sorted = (leases: ReadonlyArray<{ readonly shard: Shard; readonly epoch: number }>) =>
            Object.fromEntries(leases.map(({ shard, epoch }) => [shard, epoch]))
          expect(sorted(yield* at.store.acquire(next.address, "n", wanted, patient_ms))).toEqual({ [next.shard]: 1 })
          expect((yield* at.store.owned(at.address, "one", wanted)).toSorted()).toEqual([at.other, at.shard].toSorted())
          yield* at.store.unregister(at.address, "one")
          expect(sorted(yield* at.store.acquire(next.address, "n", wanted, patient_ms))).toEqual({
            [at.shard]: 2,
            [at.other]: 2,
            [next.shard]: 2
          })
          expect(yield* at.store.owned(at.address, "one", wanted)).toEqual([])
        })
      )

      it.effect("who has been silent for too long is declared dead and told so", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const next = unique()
          yield* register(next.address, "n")
          expect(yield* known(at.address, impatient_ms)).toEqual([])
          expect(yield* at.store.heartbeat(at.address, "one")).toBe(true)
          const taken = yield* at.store.acquire(next.address, "n", [at.shard], impatient_ms)
          expect(taken).toEqual([{ shard: at.shard, epoch: 2 }])
          expect(yield* at.store.heartbeat(at.address, "one")).toBe(false)
          expect(yield* known(at.address)).toEqual([])
          expect(yield* at.store.heartbeat(next.address, "n")).toBe(true)
          expect(yield* at.store.acquire(at.address, "one", [at.shard], patient_ms)).toEqual([])
        })
      )

      it.effect("a new incarnation replaces the old one, whose shards are free", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          yield* register(at.address, "two")
          expect(yield* at.store.heartbeat(at.address, "one")).toBe(false)
          expect(yield* at.store.heartbeat(at.address, "two")).toBe(true)
          expect((yield* known(at.address)).map((row) => row.incarnation)).toEqual(["two"])
          const taken = yield* at.store.acquire(at.address, "two", [at.shard], patient_ms)
          expect(taken).toEqual([{ shard: at.shard, epoch: 2 }])
          expect(yield* at.store.append([group(at, "s", 1, [row(1)])])).toEqual(["fenced"])
          // What the old one does when it wakes changes nothing.
          yield* at.store.release(at.address, "one")
          yield* at.store.unregister(at.address, "one")
          expect(yield* at.store.owned(at.address, "two", [at.shard])).toEqual([at.shard])
          expect(yield* at.store.heartbeat(at.address, "two")).toBe(true)
        })
      )

      it.effect("some shards are released, or all", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          const third = unique().shard
          const wanted = [at.shard, at.other, third]
          yield* at.store.acquire(at.address, "one", [third], patient_ms)
          yield* at.store.release(at.address, "one", [at.shard])
          expect((yield* at.store.owned(at.address, "one", wanted)).toSorted()).toEqual([at.other, third].toSorted())
          yield* at.store.release(at.address, "one", [])
          expect((yield* at.store.owned(at.address, "one", wanted)).length).toBe(2)
          yield* at.store.release(at.address, "one")
          expect(yield* at.store.owned(at.address, "one", wanted)).toEqual([])
        })
      )

      it.effect("a shard that is released and taken again and again grows its epoch by one each time", () =>
        Effect.gen(function* () {
          const at = yield* owner()
          for (let n = 2; n <= 30; n++) {
            const [lease] = yield* at.store.acquire(at.address, "one", [at.shard], patient_ms)
            expect(lease?.epoch).toBe(n)
          }
        })
      )

      it.effect("of several that want the same shards at once, each shard has one owner", () =>
        Effect.gen(function* () {
          const store = yield* Store
          const shards = Array.from({ length: 20 }, () => unique().shard)
          const rivals = Array.from({ length: 4 }, () => unique().address)
          yield* Effect.forEach(rivals, (address) => register(address, "r"))
          const taken = yield* Effect.forEach(
            rivals,
            (address, i) => store.acquire(address, "r", i % 2 === 0 ? shards : shards.toReversed(), patient_ms),
            { concurrency: "unbounded" }
          )
          expect(
            taken
              .flat()
              .map((lease) => lease.shard)
              .toSorted()
          ).toEqual(shards.toSorted())
          expect(taken.flat().every((lease) => lease.epoch === 1)).toBe(true)
        })
      )
    })
  })
}
