/**
 * Turns what was asked for into what is spawned, and says before anything is started why it cannot be. Behind a
 * supervisor the system's own errors would be an exit code and a line on stderr.
 */
import { constants } from "node:fs"
import { access, stat } from "node:fs/promises"
import { resolve as resolvePath } from "node:path"
import { Effect } from "effect"
import type { Spawn } from "../Spawn.ts"
import { NotFound, NotPermitted, SpawnFailed } from "../ProcessError.ts"
import { markerName } from "./nest.ts"

export interface Resolved {
  /** Absolute. */
  readonly file: string
  readonly args: ReadonlyArray<string>
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/** Where a command is looked for when the process is granted no PATH, as `execvp` does. */
const defaultPath = "/bin:/usr/bin"

type Found = "usable" | "forbidden" | "missing"

const look = (path: string, kind: "file" | "directory"): Effect.Effect<Found> =>
  Effect.promise(async () => {
    try {
      const info = await stat(path)
      if (kind === "file" ? !info.isFile() : !info.isDirectory()) return "forbidden"
      await access(path, constants.X_OK)
      return "usable"
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code
      return code === "EACCES" || code === "EPERM" ? "forbidden" : "missing"
    }
  })

const environment = (spawn: Spawn, marker: string): Record<string, string> => {
  const env: Record<string, string> = {}
  for (const name of spawn.inherit ?? ["PATH"]) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  Object.assign(env, spawn.env)
  // A runner that is itself a step of another one passes on whose it is.
  const outer = process.env[markerName]
  env[markerName] = outer === undefined ? marker : `${outer},${marker}`
  return env
}

const locate = (command: string, cwd: string, path: string): Effect.Effect<string, NotFound | NotPermitted> =>
  Effect.gen(function* () {
    const candidates = command.includes("/")
      ? [resolvePath(cwd, command)]
      : path.split(":").map((directory) => resolvePath(cwd, directory, command))
    let forbidden = false
    for (const candidate of command === "" ? [] : candidates) {
      const found = yield* look(candidate, "file")
      if (found === "usable") return candidate
      if (found === "forbidden") forbidden = true
    }
    return yield* forbidden
      ? new NotPermitted({ what: "command", path: command })
      : new NotFound({ what: "command", path: command })
  })

export const resolve = (spawn: Spawn, marker: string): Effect.Effect<Resolved, NotFound | NotPermitted | SpawnFailed> =>
  Effect.gen(function* () {
    const env = environment(spawn, marker)
    const args = spawn.args ?? []
    const cwd = resolvePath(spawn.cwd ?? ".")
    if ([spawn.command, cwd, ...args, ...Object.keys(env), ...Object.values(env)].some((text) => text.includes("\0"))) {
      const reason =
        "its name, directory, arguments and environment cannot hold NUL characters: pass such data by stdin"
      return yield* new SpawnFailed({ command: spawn.command.replaceAll("\0", "\\0"), reason })
    }
    if (Object.keys(env).some((name) => name === "" || name.includes("="))) {
      const reason = 'names of environment variables cannot be empty or hold "="'
      return yield* new SpawnFailed({ command: spawn.command, reason })
    }
    const found = yield* look(cwd, "directory")
    if (found === "missing") return yield* new NotFound({ what: "directory", path: cwd })
    if (found === "forbidden") return yield* new NotPermitted({ what: "directory", path: cwd })
    const file = yield* locate(spawn.command, cwd, env["PATH"] ?? defaultPath)
    return { file, args, cwd, env }
  })
