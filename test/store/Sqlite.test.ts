import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import Database from "libsql"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { StoreUnavailable, StoreUnusable } from "../../src/domain/Errors.ts"
import { Sqlite, Store } from "../../src/store/index.ts"
import * as SqliteClient from "../../src/store/internal/SqliteClient.ts"
import * as SqliteMigrations from "../../src/store/internal/SqliteMigrations.ts"
import * as SqliteStore from "../../src/store/internal/SqliteStore.ts"
import { hold, kill } from "./hold.ts"
import { group, info, namespace, row, session, shard, unique } from "./rows.ts"

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "perdure-store-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

const open = <E>(live: Layer.Layer<Store, E>) =>
  Effect.map(Layer.build(live), (context) => context.unsafeMap.get(Store.key) as Store["Type"])

const owned = Effect.fnUntraced(function* (store: Store["Type"]) {
  const at = unique()
  yield* store.register({ address: at.address, incarnation: "one", info: "", healthy: true })
  const [lease] = yield* store.acquire(at.address, "one", [at.shard], 60_000)
  return { ...at, epoch: lease!.epoch as number }
})

describe("the embedded store", () => {
  it.scopedLive("refuses a second one on its directory, and names the directory, the holder and the remedy", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      yield* open(Sqlite.layer({ directory }))
      const error = yield* Effect.flip(Effect.scoped(open(Sqlite.layer({ directory }))))
      expect(error).toBeInstanceOf(Sqlite.DirectoryInUse)
      expect(error.message).toContain(directory)
      expect(error.message).toContain(String(process.pid))
    })
  )

  it.scopedLive("is refused while another process has it, and taken over when that one was killed", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const child = yield* hold("sqlite", directory)
      const error = yield* Effect.flip(Effect.scoped(open(Sqlite.layer({ directory }))))
      expect(error).toMatchObject({ _tag: "DirectoryInUse", directory, pid: child.pid })
      yield* kill(child)
      const store = yield* open(Sqlite.layer({ directory }))
      expect((yield* store.head(namespace("held"), session("s")))?.seq).toBe(1)
      expect(yield* store.runners(60_000)).toEqual([])
      yield* store.register({ address: "next:1", incarnation: "n", info: "", healthy: true })
      expect(yield* store.acquire("next:1", "n", [shard("shard:held")], 60_000)).toEqual([
        { shard: "shard:held", epoch: 2 }
      ])
    })
  )

  it.scopedLive("is free again when its scope has closed, with all that was written", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const at = yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* open(Sqlite.layer({ directory }))
          const at = yield* owned(store)
          yield* store.append([group(at, "s", at.epoch, [row(1)])])
          return at
        })
      )
      const store = yield* open(Sqlite.layer({ directory }))
      expect((yield* store.head(at.namespace, session("s")))?.seq).toBe(1)
    })
  )

  it.scopedLive("is read by others while its owner writes, and they cannot write", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const store = yield* open(Sqlite.layer({ directory }))
      const at = yield* owned(store)
      const reader = yield* open(Sqlite.layerReader({ directory }))
      yield* store.append([group(at, "s", at.epoch, [row(1)], { info: info() })])
      expect((yield* reader.head(at.namespace, session("s")))?.seq).toBe(1)
      expect((yield* reader.sessions({})).length).toBe(1)
      const refused = [
        reader.append([group(at, "s", at.epoch, [row(2)])]),
        reader.register({ address: "r:1", incarnation: "r", info: "", healthy: true }),
        reader.putChunk(at.namespace, "hash", Buffer.from("x")),
        reader.forget(at.namespace, session("s")),
        reader.acquire(at.address, "one", [at.shard], 60_000)
      ]
      for (const effect of refused) {
        const error = yield* Effect.flip(Effect.asVoid(effect as Effect.Effect<unknown, StoreUnavailable>))
        expect(error).toBeInstanceOf(StoreUnavailable)
        expect(error.reason).toContain("reading only")
      }
      expect(yield* store.append([group(at, "s", at.epoch, [row(2)])])).toEqual(["written"])
      expect((yield* reader.head(at.namespace, session("s")))?.seq).toBe(2)
    })
  )

  it.scopedLive("is read after its owner was killed, too", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      yield* Effect.flatMap(hold("sqlite", directory), kill)
      const reader = yield* open(Sqlite.layerReader({ directory }))
      expect((yield* reader.head(namespace("held"), session("s")))?.seq).toBe(1)
    })
  )

  it.scopedLive("keeps synchronous=FULL after its first write and after it is opened again", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const file = path.join(directory, "perdure.db")
      for (const _ of [1, 2]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const sqlite = yield* SqliteClient.open(file, { reader: false })
            yield* SqliteMigrations.migrate(sqlite, file)
            expect(yield* sqlite.client`PRAGMA synchronous`).toEqual([{ synchronous: 2 }])
            expect(yield* sqlite.client`PRAGMA journal_mode`).toEqual([{ journal_mode: "wal" }])
            yield* sqlite.verify
            yield* sqlite.client`PRAGMA synchronous = NORMAL`
            expect(yield* Effect.flip(sqlite.verify)).toBeInstanceOf(StoreUnusable)
          })
        )
      }
    })
  )

  it.scopedLive(
    "lets the timers of the process fire while thousands of appends and reads run",
    () =>
      Effect.gen(function* () {
        const store = yield* open(Sqlite.layerTemporary)
        const at = yield* owned(store)
        let fired = 0
        const started = performance.now()
        const interval = setInterval(() => fired++, 5)
        for (let seq = 1; seq <= 3000; seq++) {
          yield* store.append([group(at, "s", at.epoch, [row(seq)])])
          if (seq % 10 === 0) yield* store.head(at.namespace, session("s"))
        }
        clearInterval(interval)
        // It fired all along: a quarter of what an idle process would see, or once in ten commits where the disk is slow.
        expect(fired).toBeGreaterThan(Math.min((performance.now() - started) / 5 / 4, 300))
      }),
    120_000
  )

  it.scopedLive("outlives a full disk: the append fails with a remedy, and goes on when there is room", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const sqlite = yield* SqliteClient.open(path.join(directory, "perdure.db"), { reader: false })
      yield* SqliteMigrations.migrate(sqlite, directory)
      const store = SqliteStore.make(sqlite)
      const at = yield* owned(store)
      const [pages] = yield* sqlite.client<{ readonly page_count: number }>`PRAGMA page_count`
      yield* sqlite.client.unsafe(`PRAGMA max_page_count = ${pages!.page_count + 2}`)
      const large = group(at, "s", at.epoch, [row(1), row(2, { payload: new Uint8Array(100_000) })])
      const error = yield* Effect.flip(store.append([large]))
      expect(error).toMatchObject({ _tag: "StoreUnavailable", operation: "append" })
      expect(error.reason).toContain("disk is full")
      expect(yield* store.head(at.namespace, session("s"))).toBeNull()
      yield* sqlite.client.unsafe("PRAGMA max_page_count = 1000000")
      expect(yield* store.append([large])).toEqual(["written"])
    })
  )
})

describe("a directory that is no store", () => {
  const refused = (live: (directory: string) => Layer.Layer<Store, unknown>, prepare: (directory: string) => void) =>
    Effect.gen(function* () {
      const directory = yield* temporary
      prepare(directory)
      return (yield* Effect.flip(Effect.scoped(open(live(directory))))) as Error
    })
  const owner = (directory: string) => Sqlite.layer({ directory })
  const reader = (directory: string) => Sqlite.layerReader({ directory })

  it.scopedLive("has a file that is no database: it is named, with what to do", () =>
    Effect.gen(function* () {
      const write = (directory: string) => fs.writeFileSync(path.join(directory, "perdure.db"), "hello ".repeat(1000))
      for (const live of [owner, reader]) {
        const error = yield* refused(live, write)
        expect(error).toBeInstanceOf(StoreUnusable)
        expect(error.message).toContain("is not a SQLite database")
      }
    })
  )

  it.scopedLive("was written by a newer version: both versions are named", () =>
    Effect.gen(function* () {
      const write = (directory: string) => {
        const db = new Database(path.join(directory, "perdure.db"))
        db.exec("CREATE TABLE perdure_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        db.exec("INSERT INTO perdure_migrations VALUES (99, 'from the future')")
        db.close()
      }
      for (const live of [owner, reader]) {
        const error = yield* refused(live, write)
        expect(error).toBeInstanceOf(StoreUnusable)
        expect(error.message).toMatch(/version 99.*up to 2.*Upgrade/s)
      }
    })
  )

  it.scopedLive("has nothing for a reader, and a reader makes nothing", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const error = yield* Effect.flip(Effect.scoped(open(reader(directory))))
      expect(error).toBeInstanceOf(StoreUnusable)
      expect(fs.readdirSync(directory)).toEqual([])
    })
  )

  it.scopedLive("is a file, or cannot be made", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const file = path.join(directory, "file")
      fs.writeFileSync(file, "")
      for (const at of [file, path.join(file, "below")]) {
        const error = yield* Effect.flip(Effect.scoped(open(owner(at))))
        expect(error).toBeInstanceOf(StoreUnavailable)
        expect(error.message).toContain(at)
      }
    })
  )

  it.scopedLive.skipIf(process.platform !== "linux")("cannot be made there, which is said at once", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(open(Sqlite.layer({ directory: "/proc/nowhere/at/all" })))
      expect(error.message).toContain("/proc/nowhere/at/all cannot be made or written (ENOENT)")
    })
  )

  it.scopedLive.skipIf(process.getuid?.() === 0)("may not be written by this user", () =>
    Effect.gen(function* () {
      const error = yield* refused(owner, (directory) => fs.chmodSync(directory, 0o500))
      expect(error).toBeInstanceOf(StoreUnavailable)
      expect(error.message).toContain("permissions")
    })
  )
})
