import { PgClient } from "@effect/sql-pg"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Exit, Fiber, Layer, Logger, LogLevel, Redacted, Scope } from "effect"
import { type AddressInfo, createServer, type Server } from "node:net"
import { inspect } from "node:util"
import { StoreUnavailable, StoreUnusable } from "../../src/domain/Errors.ts"
import { Postgres, Store } from "../../src/store/index.ts"
import * as TestPostgres from "../support/Postgres.ts"
import { Proxy } from "../chaos/Proxy.ts"
import { hold, kill } from "./hold.ts"
import { group, row, session, shard, unique } from "./rows.ts"

const quiet = Logger.minimumLogLevel(LogLevel.Error)

/** A process's worth of store: connections, presence and all. */
const open = (url: Redacted.Redacted, maxConnections = Postgres.defaults.maxConnections as number) =>
  Effect.map(
    Layer.build(Layer.merge(Postgres.layer({ url, maxConnections }), quiet)),
    (context) => context.unsafeMap.get(Store.key) as Store["Type"]
  )

const client = (url: Redacted.Redacted) =>
  Effect.map(
    Layer.build(PgClient.layer({ url })),
    (context) => context.unsafeMap.get(PgClient.PgClient.key) as PgClient.PgClient
  )

const patient_ms = 60_000

const owned = Effect.fnUntraced(function* (store: Store["Type"]) {
  const at = unique()
  yield* store.register({ address: at.address, incarnation: "one", info: "", healthy: true })
  yield* store.acquire(at.address, "one", [at.shard, at.other], patient_ms)
  return at
})

const listening = Effect.acquireRelease(
  Effect.async<Server>((resume) => {
    const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1", () =>
      resume(Effect.succeed(server))
    )
  }),
  (server) => Effect.sync(() => server.close())
)

const presences = (sql: PgClient.PgClient) =>
  sql<{ readonly pid: number }>`SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

describe("a Postgres database", () => {
  it.scopedLive("that is empty is migrated once, by eight runners that start together", () =>
    Effect.gen(function* () {
      const url = yield* TestPostgres.database
      const stores = yield* Effect.forEach([1, 2, 3, 4, 5, 6, 7, 8], () => open(url), { concurrency: "unbounded" })
      const sql = yield* client(url)
      expect(yield* sql`SELECT version::int, name FROM perdure_migrations`).toEqual([
        { version: 1, name: "initial" },
        { version: 2, name: "agreements" }
      ])
      for (const store of stores) expect(yield* store.sessions({})).toEqual([])
    })
  )

  it.scopedLive("that a newer version wrote is refused: both versions are named", () =>
    Effect.gen(function* () {
      const url = yield* TestPostgres.database
      const sql = yield* client(url)
      yield* Effect.scoped(open(url))
      yield* sql`INSERT INTO perdure_migrations (version, name) VALUES (99, 'from the future')`
      const error = yield* Effect.flip(Effect.scoped(open(url)))
      expect(error).toBeInstanceOf(StoreUnusable)
      expect(error.message).toMatch(/version 99.*up to 2.*Upgrade/s)
    })
  )

  it.scopedLive("that cannot be reached is named with a remedy and without a secret", () =>
    Effect.gen(function* () {
      const good = Redacted.value(yield* TestPostgres.database)
      const refused = (change: (url: URL) => void) =>
        Effect.gen(function* () {
          const url = new URL(good)
          url.password = "canary-password"
          change(url)
          const error = yield* Effect.flip(Effect.scoped(open(Redacted.make(url.toString()))))
          expect(inspect(error, { depth: 10 })).not.toContain("canary")
          expect(JSON.stringify(error)).not.toContain("canary")
          return error
        })
      const password = yield* refused(() => undefined)
      expect(password).toBeInstanceOf(StoreUnavailable)
      expect(password.message).toContain("password is wrong")
      const port = yield* refused((url) => {
        url.port = "1"
      })
      expect(port.message).toMatch(/127.0.0.1:1.*nothing listens there/)
      const database = yield* refused((url) => {
        url.password = new URL(good).password
        url.pathname = "/nowhere"
      })
      expect(database.message).toMatch(/nowhere.*does not exist/)
      const host = yield* refused((url) => {
        url.hostname = "nowhere.invalid"
      })
      expect(host.message).toMatch(/nowhere.invalid.*(not known|resolved)/)
      const certificate = yield* refused((url) => {
        url.search = "?sslmode=verify-full&sslrootcert=/nowhere/ca.pem"
      })
      expect(certificate.message).toMatch(/a file .* not there: .*sslrootcert/)
      const text = yield* Effect.flip(Effect.scoped(open(Redacted.make("canary-not-a-url"))))
      expect(text).toBeInstanceOf(StoreUnusable)
      expect(text.message).not.toContain("canary")
    })
  )

  it.scopedLive("that is not named is asked for", () =>
    Effect.gen(function* () {
      const empty = Layer.setConfigProvider(ConfigProvider.fromMap(new Map()))
      const error = yield* Effect.flip(Layer.build(Layer.provide(Postgres.layerConfig, empty)))
      expect(error).toBeInstanceOf(StoreUnusable)
      expect(error.message).toContain("set PERDURE_DATABASE_URL")
    })
  )

  it.scopedLive("that is not configured well is refused with the variable and its form, not its value", () =>
    Effect.gen(function* () {
      const wrong = {
        PERDURE_DATABASE_CONNECTIONS: ["canary", "1"],
        PERDURE_DATABASE_CONNECT_TIMEOUT: ["canary", "5"],
        PERDURE_DATABASE_STATEMENT_TIMEOUT: ["canary"]
      }
      for (const [name, values] of Object.entries(wrong)) {
        for (const value of values) {
          const set = ConfigProvider.fromMap(
            new Map([
              ["DATABASE_URL", "postgres://localhost:1/x"],
              [name, value]
            ])
          )
          const layer = Layer.provide(Postgres.layerConfig, Layer.setConfigProvider(set))
          const error = yield* Effect.flip(Layer.build(layer))
          expect(error).toBeInstanceOf(StoreUnusable)
          expect(error.message).toContain(`${name} is not valid: write a`)
          expect(error.message).not.toContain("canary")
        }
      }
    })
  )

  it.scopedLive("that is full fails an append with a remedy, shows no row, and goes on when there is room", () =>
    Effect.gen(function* () {
      const url = yield* TestPostgres.database
      const store = yield* open(url)
      const sql = yield* client(url)
      const at = yield* owned(store)
      yield* sql.unsafe(`CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'could not extend file: canary %', NEW.tag USING ERRCODE = '53100'; END $$`)
      yield* sql.unsafe(
        "CREATE TRIGGER disk_full BEFORE INSERT ON perdure_journal FOR EACH ROW EXECUTE FUNCTION full_disk()"
      )
      const rows = [row(1, { tag: "canary" })]
      const error = yield* Effect.flip(store.append([group(at, "s", 1, rows)]))
      expect(error).toMatchObject({ _tag: "StoreUnavailable", operation: "append" })
      expect(error.reason).toContain("disk of Postgres is full")
      expect(inspect(error, { depth: 10 })).not.toContain("canary")
      yield* sql.unsafe("DROP TRIGGER disk_full ON perdure_journal")
      expect(yield* store.append([group(at, "s", 1, rows)])).toEqual(["written"])
    })
  )
})

describe("runners on Postgres", () => {
  it.scopedLive("a takeover waits for the append in flight, and the appends after it are fenced (I3)", () =>
    Effect.gen(function* () {
      const url = yield* TestPostgres.database
      const [store, rival, sql] = [yield* open(url), yield* open(url), yield* client(url)]
      const at = yield* owned(store)
      const next = unique()
      yield* rival.register({ address: next.address, incarnation: "n", info: "", healthy: true })
      // The append has to wait for another transaction, which holds its row's key: it is in flight for as long.
      const scope = yield* Scope.make()
      const blocker = yield* Scope.extend(sql.reserve, scope)
      const run = (text: string) => blocker.executeUnprepared(text, [], undefined)
      yield* run("BEGIN")
      yield* run(`INSERT INTO perdure_journal (namespace, session, seq, epoch, at, tag, payload, digest, chain)
        VALUES ('${at.namespace}', 's', 1, 1, 1, 'T', '', '', '')`)
      const waiting = (n: number) =>
        Effect.repeat(sql`SELECT 1 FROM pg_locks WHERE NOT granted`, { until: (rows) => rows.length >= n })
      const appending = yield* Effect.fork(store.append([group(at, "s", 1, [row(1)])]))
      yield* waiting(1)
      const taking = yield* Effect.fork(rival.acquire(next.address, "n", [at.shard], -patient_ms))
      yield* waiting(2)
      yield* run("ROLLBACK")
      yield* Scope.close(scope, Exit.void)
      expect(yield* Fiber.join(appending)).toEqual(["written"])
      expect(yield* Fiber.join(taking)).toEqual([{ shard: at.shard, epoch: 2 }])
      expect(yield* store.append([group(at, "s", 1, [row(2)])])).toEqual(["fenced"])
      expect(yield* store.heartbeat(at.address, "one")).toBe(false)
    })
  )

  for (const what of ["takeover", "release"]) {
    it.scopedLive(
      `an append of many shards and a ${what} of the same ones do not wait for each other in a circle`,
      () =>
        Effect.gen(function* () {
          const url = yield* TestPostgres.database
          const [store, rival, sql] = [yield* open(url), yield* open(url), yield* client(url)]
          const at = unique()
          const next = unique()
          const [a, b, c] = [shard("a"), shard("b"), shard("c")]
          yield* store.register({ address: at.address, incarnation: "one", info: "", healthy: true })
          yield* rival.register({ address: next.address, incarnation: "n", info: "", healthy: true })
          yield* store.acquire(at.address, "one", [c, b, a], patient_ms)
          const waiting = (n: number) =>
            Effect.repeat(sql`SELECT 1 FROM pg_locks WHERE NOT granted`, { until: (rows) => rows.length >= n })
          // Stops the append half way through its shards, whichever half.
          const scope = yield* Scope.make()
          const blocker = yield* Scope.extend(sql.reserve, scope)
          yield* blocker.executeUnprepared("BEGIN", [], undefined)
          yield* blocker.executeUnprepared("SELECT 1 FROM perdure_leases WHERE shard = 'b' FOR UPDATE", [], undefined)
          const groups = [c, a, b].map((shard) => group({ ...at, shard }, `s-${shard}`, 1, [row(1)]))
          const appending = yield* Effect.fork(store.append(groups))
          yield* waiting(1)
          const freeing = yield* Effect.fork<unknown, StoreUnavailable, never>(
            what === "takeover"
              ? rival.acquire(next.address, "n", [c, a], -patient_ms)
              : rival.release(at.address, "one", [c, a])
          )
          yield* waiting(2)
          yield* blocker.executeUnprepared("COMMIT", [], undefined)
          yield* Scope.close(scope, Exit.void)
          expect(yield* Fiber.join(appending)).toEqual(["written", "written", "written"])
          yield* Fiber.join(freeing)
          expect(yield* store.owned(at.address, "one", [a, b, c])).toEqual([b])
        })
    )
  }

  it.scopedLive("a runner that was killed loses its shards at once, long before it would expire", () =>
    Effect.gen(function* () {
      const url = yield* TestPostgres.database
      const store = yield* open(url)
      const next = unique()
      yield* store.register({ address: next.address, incarnation: "n", info: "", healthy: true })
      const child = yield* hold("postgres", Redacted.value(url))
      const wanted = [shard("shard:held")]
      expect(yield* store.acquire(next.address, "n", wanted, patient_ms)).toEqual([])
      expect((yield* store.runners(patient_ms)).map((runner) => runner.address).toSorted()).toEqual(
        ["held:1", next.address].toSorted()
      )
      yield* kill(child)
      const taken = yield* Effect.repeat(store.acquire(next.address, "n", wanted, patient_ms), {
        until: (taken) => taken.length > 0
      }).pipe(Effect.timeout("5 seconds"))
      expect(taken).toEqual([{ shard: "shard:held", epoch: 2 }])
      expect((yield* store.runners(patient_ms)).map((runner) => runner.address)).toEqual([next.address])
    })
  )

  it.scopedLive("a runner whose presence connection is ended takes it again and keeps its shards", () =>
    Effect.gen(function* () {
      const url = yield* TestPostgres.database
      const [store, rival, sql] = [yield* open(url), yield* open(url), yield* client(url)]
      const at = yield* owned(store)
      const [before] = yield* presences(sql)
      const next = unique()
      yield* rival.register({ address: next.address, incarnation: "n", info: "", healthy: true })
      yield* sql`SELECT pg_terminate_backend(${before!.pid})`
      for (let i = 0; i < 20; i++) {
        expect(yield* rival.acquire(next.address, "n", [at.shard], patient_ms)).toEqual([])
        expect((yield* rival.runners(patient_ms)).length).toBe(2)
      }
      yield* Effect.repeat(presences(sql), {
        until: (rows) => rows.length === 2 && rows.every((row) => row.pid !== before!.pid)
      })
      expect(yield* store.heartbeat(at.address, "one")).toBe(true)
      expect(yield* store.append([group(at, "s", 1, [row(1)])])).toEqual(["written"])
    })
  )

  it.scopedLive("a store that is closed is absent, though its process lives", () =>
    Effect.gen(function* () {
      const url = yield* TestPostgres.database
      const store = yield* open(url)
      const next = unique()
      yield* store.register({ address: next.address, incarnation: "n", info: "", healthy: true })
      const at = yield* Effect.scoped(Effect.flatMap(open(url), owned))
      const taken = yield* store.acquire(next.address, "n", [at.shard], patient_ms)
      expect(taken).toEqual([{ shard: at.shard, epoch: 2 }])
    })
  )

  it.scopedLive("a runner that is absent is given time while its door is open, and none once it is shut", () =>
    Effect.gen(function* () {
      const url = yield* TestPostgres.database
      const store = yield* open(url)
      const next = unique()
      yield* store.register({ address: next.address, incarnation: "n", info: "", healthy: true })
      const door = yield* listening
      const { address, port } = door.address() as AddressInfo
      const { shard } = unique()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const other = yield* open(url)
          yield* other.register({ address: `${address}:${port}`, incarnation: "one", info: "", healthy: true })
          yield* other.acquire(`${address}:${port}`, "one", [shard], patient_ms)
        })
      )
      const acquire = store.acquire(next.address, "n", [shard], patient_ms)
      for (let i = 0; i < 3; i++) expect(yield* acquire).toEqual([])
      expect((yield* store.runners(patient_ms)).length).toBe(2)
      yield* Effect.async<void>((resume) => void door.close(() => resume(Effect.void)))
      expect(yield* acquire).toEqual([{ shard, epoch: 2 }])
    })
  )

  it.scopedLive("a runner with the address of one that lives is refused, and takes its place when that is gone", () =>
    Effect.gen(function* () {
      const url = yield* TestPostgres.database
      const store = yield* open(url)
      const { address } = unique()
      const register = (incarnation: string) => ({ address, incarnation, info: "", healthy: true })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const first = yield* open(url)
          yield* first.register(register("one"))
          const refused = yield* Effect.flip(store.register(register("two")))
          expect(refused.message).toContain(`another runner that lives is registered as ${address}`)
          expect(yield* first.heartbeat(address, "one")).toBe(true)
          yield* first.register(register("one"))
        })
      )
      yield* store.register(register("two"))
      expect(yield* store.heartbeat(address, "two")).toBe(true)
    })
  )

  it.scopedLive("a runner that stays absent is gone, whoever listens at its address", () =>
    Effect.gen(function* () {
      const url = yield* TestPostgres.database
      const store = yield* open(url)
      const { address, port } = (yield* listening).address() as AddressInfo
      yield* Effect.scoped(
        Effect.flatMap(open(url), (other) =>
          other.register({ address: `${address}:${port}`, incarnation: "one", info: "", healthy: true })
        )
      )
      expect((yield* store.runners(patient_ms)).length).toBe(1)
      yield* Effect.sleep("600 millis")
      expect(yield* store.runners(patient_ms)).toEqual([])
    })
  )

  it.scopedLive(
    "all runners survive a crash of Postgres and keep their shards",
    () =>
      Effect.gen(function* () {
        // A server of its own, because it is crashed.
        const server = yield* Effect.acquireRelease(Effect.promise(TestPostgres.start), (server) =>
          Effect.promise(server.stop)
        )
        const url = yield* TestPostgres.databaseOn(server.url)
        const [store, rival] = [yield* open(url), yield* open(url)]
        const at = yield* owned(store)
        const next = yield* owned(rival)
        expect(yield* store.append([group(at, "s", 1, [row(1)])])).toEqual(["written"])
        yield* Effect.promise(() => server.restart("immediate"))
        // Either may meet its dead connections once.
        const patiently = <A>(effect: Effect.Effect<A, StoreUnavailable>) => Effect.retry(effect, { times: 20 })
        expect(yield* patiently(rival.acquire(next.address, "one", [at.shard], patient_ms))).toEqual([])
        expect(yield* patiently(store.acquire(at.address, "one", [next.shard], patient_ms))).toEqual([])
        const sql = yield* client(url)
        yield* Effect.repeat(presences(sql), { until: (rows) => rows.length === 2 })
        expect(yield* patiently(store.heartbeat(at.address, "one"))).toBe(true)
        expect(yield* patiently(rival.heartbeat(next.address, "one"))).toBe(true)
        expect(yield* patiently(store.append([group(at, "s", 1, [row(2)])]))).toEqual(["written"])
        expect((yield* store.read(at.namespace, session("s"), 0, 10)).map((row): number => row.seq)).toEqual([1, 2])
      }),
    120_000
  )

  /** A runner's store over a proxy. */
  const proxied = (maxConnections: number) =>
    Effect.gen(function* () {
      const url = new URL(Redacted.value(yield* TestPostgres.database))
      const target = { host: url.hostname, port: Number(url.port) }
      const proxy = yield* Effect.acquireRelease(
        Effect.promise(() => Proxy.listen(target, { host: "127.0.0.1", port: 0 })),
        (proxy) => Effect.sync(() => proxy.close())
      )
      url.hostname = "127.0.0.1"
      url.port = String(proxy.port)
      const store = yield* open(Redacted.make(url.toString()), maxConnections)
      yield* store.register({ address: "here:1", incarnation: "one", info: "", healthy: true })
      return { proxy, beat: store.heartbeat("here:1", "one") }
    })
  const heartbeat = /UPDATE perdure_runners SET heartbeat_at/

  it.scopedLive("a runner of which one connection dies silently under a heartbeat is heard on another one", () =>
    Effect.gen(function* () {
      const { beat, proxy } = yield* proxied(10)
      proxy.forgetAt = heartbeat
      expect(yield* Effect.timeoutOption(beat, "4 seconds")).toMatchObject({ _tag: "Some", value: true })
      expect(proxy.forgetAt).toBeNull()
      // The dead one is not asked again.
      for (let i = 0; i < 20; i++)
        expect(yield* Effect.timeoutOption(beat, "800 millis")).toMatchObject({ value: true })
    })
  )

  it.scopedLive("a heartbeat that nobody waits for any more leaves no dead connection in the pool", () =>
    Effect.gen(function* () {
      // One is the runner's presence.
      const { beat, proxy } = yield* proxied(2)
      proxy.forgetAt = heartbeat
      expect((yield* Effect.timeoutOption(beat, "1500 millis"))._tag).toBe("None")
      expect(yield* Effect.timeoutOption(beat, "4 seconds")).toMatchObject({ _tag: "Some", value: true })
    })
  )
})
