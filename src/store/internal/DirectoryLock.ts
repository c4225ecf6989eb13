/**
 * One directory, one process: a lock of the operating system, gone when the process is, however it died.
 *
 * It is an EXCLUSIVE transaction on a small SQLite file of its own, because Node has no file locks. The file beside it
 * that names the holder's pid is for people only: nothing is decided by it.
 */
import { Effect, Schema, type Scope } from "effect"
import Database from "libsql"
import * as fs from "node:fs"
import * as path from "node:path"
import { StoreUnavailable } from "../../domain/Errors.ts"
import { codeOf, reasonOf } from "./SqliteFailure.ts"

/** Another process, or another store of this one, works on the directory. */
export class DirectoryInUse extends Schema.TaggedError<DirectoryInUse>()("DirectoryInUse", {
  directory: Schema.String,
  /** The process that holds it, where it is known. */
  pid: Schema.optional(Schema.Int)
}) {
  override get message() {
    const holder = this.pid === undefined ? "another process" : `process ${this.pid}`
    return `the store in ${this.directory} is in use by ${holder}: end it first, or name another directory (reading does not need it: \`perdure ls\`, \`trace\`, \`tail\`, \`export\`)`
  }
}

const holderOf = (file: string): number | undefined => {
  try {
    const pid = Number(fs.readFileSync(file, "utf8"))
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined
  } catch {
    return undefined
  }
}

/** Holds the directory until the scope closes. */
export const hold = (directory: string): Effect.Effect<void, StoreUnavailable | DirectoryInUse, Scope.Scope> => {
  const holder = path.join(directory, "perdure.pid")
  return Effect.acquireRelease(
    Effect.try({
      try: () => {
        const lock = new Database(path.join(directory, "perdure.lock"))
        try {
          lock.exec("BEGIN EXCLUSIVE")
        } catch (cause) {
          lock.close()
          throw cause
        }
        fs.writeFileSync(holder, String(process.pid))
        return lock
      },
      catch: (cause) => {
        if (codeOf(cause) !== "SQLITE_BUSY") {
          return new StoreUnavailable({ operation: "open", reason: `${directory}: ${reasonOf(cause)}` })
        }
        const pid = holderOf(holder)
        return new DirectoryInUse(pid === undefined ? { directory } : { directory, pid })
      }
    }),
    (lock) =>
      Effect.sync(() => {
        fs.rmSync(holder, { force: true })
        lock.close()
      })
  ).pipe(Effect.asVoid)
}
