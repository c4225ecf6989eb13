/**
 * The embedded store: one directory, one process, one file. Every acknowledged write is on disk (`synchronous=FULL`,
 * verified after each open).
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { Config, type ConfigError, Effect, Layer } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { StoreUnavailable, StoreUnusable } from "../domain/Errors.ts"
import { DirectoryInUse, hold } from "./internal/DirectoryLock.ts"
import * as SqliteClient from "./internal/SqliteClient.ts"
import { guard } from "./internal/SqliteFailure.ts"
import { migrate, verify } from "./internal/SqliteMigrations.ts"
import * as SqliteStore from "./internal/SqliteStore.ts"
import { Store } from "./Store.ts"

export { DirectoryInUse }

export interface Settings {
  /** Where the store lives; created when it is missing. It must be on a local disk. */
  readonly directory: string
}

export const defaults: Settings = { directory: ".perdure" }

const fileOf = (directory: string) => path.join(directory, "perdure.db")

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : "unknown"

/** One by one: where a file system says of a directory that is there that it is not (`/proc`), Node's own tries for ever. */
const makeAll = (directory: string): void => {
  if (fs.existsSync(directory)) return
  makeAll(path.dirname(directory))
  try {
    fs.mkdirSync(directory)
  } catch (cause) {
    if (codeOf(cause) !== "EEXIST") throw cause
  }
}

const makeDirectory = (directory: string) =>
  Effect.try({
    try: () => {
      makeAll(directory)
      fs.accessSync(directory, fs.constants.W_OK | fs.constants.X_OK)
    },
    catch: (cause) =>
      new StoreUnavailable({
        operation: "open",
        reason: `the directory ${directory} cannot be made or written (${codeOf(cause)}): check its path and permissions, or name another one`
      })
  })

const owner = Effect.fnUntraced(function* (filename: string) {
  const sqlite = yield* SqliteClient.open(filename, { reader: false })
  yield* migrate(sqlite, filename)
  // Nobody but us can be here: what is registered is left over from a process that died.
  yield* sqlite.client`DELETE FROM perdure_runners`.pipe(guard("open"))
  // After the first write: that is when SQLite has been seen to lose it.
  yield* sqlite.verify
  return SqliteStore.make(sqlite)
})

/**
 * The store in a directory, which is this process's alone until the layer's scope closes: any other is refused at once
 * with {@link DirectoryInUse}.
 */
export const layer = (
  settings: Partial<Settings> = {}
): Layer.Layer<Store, DirectoryInUse | StoreUnusable | StoreUnavailable> => {
  const directory = path.resolve(settings.directory ?? defaults.directory)
  return Layer.scoped(
    Store,
    Effect.gen(function* () {
      yield* makeDirectory(directory)
      yield* hold(directory)
      return yield* owner(fileOf(directory))
    })
  )
}

/** {@link layer}, with `PERDURE_DIRECTORY` naming the directory. */
export const layerConfig: Layer.Layer<
  Store,
  DirectoryInUse | StoreUnusable | StoreUnavailable | ConfigError.ConfigError
> = Layer.unwrapEffect(
  Effect.map(Config.withDefault(Config.string("PERDURE_DIRECTORY"), defaults.directory), (directory) =>
    layer({ directory })
  )
)

const refuse = (operation: string) => () =>
  new StoreUnavailable({
    operation,
    reason: "the store is open for reading only here: write through the runner that owns it"
  })

/** Whatever writes. The connection would refuse it as well, in words of its own. */
const refusals = {
  append: refuse("append"),
  saveSnapshot: refuse("saveSnapshot"),
  park: refuse("park"),
  putChunk: refuse("putChunk"),
  putBlob: refuse("putBlob"),
  collect: refuse("collect"),
  forget: refuse("forget"),
  register: refuse("register"),
  unregister: refuse("unregister"),
  heartbeat: refuse("heartbeat"),
  setHealth: refuse("setHealth"),
  acquire: refuse("acquire"),
  release: refuse("release")
} satisfies Partial<Store["Type"]>

/**
 * Reads a store, whether or not a process works on it. Everything that writes fails with `StoreUnavailable`, and
 * nothing is migrated.
 */
export const layerReader = (settings: Partial<Settings> = {}): Layer.Layer<Store, StoreUnusable | StoreUnavailable> => {
  const directory = path.resolve(settings.directory ?? defaults.directory)
  return Layer.scoped(
    Store,
    Effect.gen(function* () {
      const filename = fileOf(directory)
      if (!fs.existsSync(filename)) {
        return yield* new StoreUnusable({
          reason: `there is no store in ${directory}: start a runner on it first, or name another directory`
        })
      }
      const sqlite = yield* SqliteClient.open(filename, { reader: true })
      yield* verify(sqlite, filename)
      return { ...SqliteStore.make(sqlite), ...refusals }
    })
  )
}

/** A store in memory, gone with the layer's scope. For tests. */
export const layerMemory: Layer.Layer<Store, StoreUnusable | StoreUnavailable> = Layer.scoped(Store, owner(":memory:"))

/** A store in a directory of its own under the system's temporary one, removed with the layer's scope. For tests. */
export const layerTemporary: Layer.Layer<Store, DirectoryInUse | StoreUnusable | StoreUnavailable> = Layer.unwrapScoped(
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "perdure-"))),
      (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
    ),
    (directory) => layer({ directory })
  )
)

/**
 * A bare client with the same durability on a file of its own in the directory (`bare.db`), without the store: for
 * measuring what one commit costs here.
 */
export const layerClient = (
  settings: Partial<Settings> = {}
): Layer.Layer<SqlClient.SqlClient, StoreUnusable | StoreUnavailable> => {
  const directory = path.resolve(settings.directory ?? defaults.directory)
  return Layer.scoped(
    SqlClient.SqlClient,
    Effect.gen(function* () {
      yield* makeDirectory(directory)
      const sqlite = yield* SqliteClient.open(path.join(directory, "bare.db"), { reader: false })
      yield* sqlite.verify
      return sqlite.client
    })
  )
}
