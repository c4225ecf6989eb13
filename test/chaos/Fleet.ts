/**
 * Runners and clients as OS processes, as an orchestrator keeps them: each place holds one process after another, behind a
 * proxy towards Postgres and one towards whoever asks it.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { createServer, type AddressInfo } from "node:net"
import { join } from "node:path"
import { Proxy } from "./Proxy.ts"
import type { Log } from "./Log.ts"

/** One life of one process. */
export interface Life {
  readonly name: string
  readonly child: ChildProcess
  /** Of a runner: as the others reach it. */
  readonly address: string
  readonly database: Proxy
  readonly peers: Proxy | null
  readonly log: string
  isUp: boolean
  isStopped: boolean
  /** Asked to leave. */
  isLeaving: boolean
  /** Killed by us: when the next one is due, by `performance.now()`. */
  nextAt: number | null
  isOver: boolean
  output: string
  readonly ended: Promise<void>
}

export interface Place {
  readonly index: number
  lives: number
  life: Life | null
  isWanted: boolean
}

export interface Options {
  readonly log: Log
  /** Where the processes' own logs go. */
  readonly directory: string
  readonly runner: string
  readonly client: string
  readonly database: URL
  readonly environment: Readonly<Record<string, string>>
}

/** What a runner ends itself with that was taken for dead, or hung. */
const lost: ReadonlySet<number | null> = new Set([75, 76])

const endOf = (life: Life, code: number | null, signal: NodeJS.Signals | null) => {
  if (signal === "SIGKILL") return "killed"
  if (code === 0 && (life.isLeaving || life.output.includes("done\n"))) return "left"
  // Whoever cannot begin, because its store is away or it is told to leave already, is started again.
  return lost.has(code) || !life.isUp || life.isLeaving ? "lost" : "crashed"
}

const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

export class Fleet {
  readonly places: Array<Place> = []
  readonly clients: Place = { index: 0, lives: 0, life: null, isWanted: true }
  /** All that ever were. */
  readonly lives: Array<Life> = []
  #isOver = false

  constructor(readonly options: Options) {}

  /** Runners that are there, stopped ones included. */
  get running(): ReadonlyArray<Place & { readonly life: Life }> {
    return this.places.filter((place): place is Place & { readonly life: Life } => place.life !== null)
  }

  #said(life: Life, what: "born" | "stopped" | "continued" | "killed" | "leaving" | "left" | "lost" | "crashed"): void {
    this.options.log.record({ _tag: "Life", process: life.name, what })
  }

  async add(): Promise<Place> {
    const place: Place = { index: this.places.length + 1, lives: 0, life: null, isWanted: true }
    this.places.push(place)
    await this.start(place)
    return place
  }

  async start(place: Place): Promise<void> {
    if (place.life !== null || this.#isOver) return
    const isRunner = place !== this.clients
    const name = `${isRunner ? "runner" : "client"}-${place.index}.${++place.lives}`
    const { database, directory, environment } = this.options
    const port = await freePort()
    const host = `127.0.0.${10 + place.index}`
    const url = new URL(database)
    const toDatabase = await Proxy.listen(
      { host: "127.0.0.1", port: Number(database.port) },
      { host: "127.0.0.1", port: 0 }
    )
    url.port = String(toDatabase.port)
    const peers = isRunner ? await Proxy.listen({ host: "127.0.0.1", port }, { host, port }) : null
    const log = join(directory, isRunner ? `${name}.jsonl` : "clients.jsonl")
    const child = spawn(
      process.execPath,
      ["--enable-source-maps", isRunner ? this.options.runner : this.options.client],
      {
        env: {
          PATH: process.env["PATH"],
          HOME: process.env["HOME"],
          ...environment,
          PERDURE_DATABASE_URL: url.toString(),
          ...(isRunner ? { PERDURE_HOST: host, PERDURE_PORT: String(port), PERDURE_LISTEN: "127.0.0.1" } : {}),
          CHAOS_PROCESS: name,
          CHAOS_LOG: log
        },
        stdio: ["ignore", "pipe", "pipe"]
      }
    )
    const life: Life = {
      name,
      child,
      address: `${host}:${port}`,
      database: toDatabase,
      peers,
      log,
      isUp: false,
      isStopped: false,
      isLeaving: false,
      nextAt: null,
      isOver: false,
      output: "",
      ended: new Promise((resolve) => child.once("exit", () => resolve()))
    }
    const heard = (data: Buffer) => {
      life.output = (life.output + data.toString()).slice(-200_000)
      if (life.output.includes("up\n")) life.isUp = true
    }
    child.stdout.on("data", heard)
    child.stderr.on("data", heard)
    child.once("exit", (code, signal) => this.#ended(place, life, code, signal))
    place.life = life
    this.lives.push(life)
    this.#said(life, "born")
    if (this.#isOver) child.kill("SIGKILL")
  }

  #ended(place: Place, life: Life, code: number | null, signal: NodeJS.Signals | null): void {
    life.isOver = true
    this.#said(life, endOf(life, code, signal))
    this.options.log.record({ _tag: "Told", process: life.name, what: `ended with ${code ?? signal}` })
    life.peers?.close()
    life.database.close()
    if (place.life !== life) return
    place.life = null
    // What was not asked to end is started again, as any orchestrator does.
    if (life.output.includes("done\n")) return
    this.later(place, life.nextAt === null ? 500 : Math.max(0, life.nextAt - performance.now()))
  }

  later(place: Place, ms: number): void {
    setTimeout(() => {
      if (place.isWanted) void this.start(place)
    }, ms)
  }

  kill(place: Place, downMs: number): void {
    const { life } = place
    if (life === null) return
    life.nextAt = performance.now() + downMs
    life.child.kill("SIGKILL")
  }

  stop(place: Place, ms: number): void {
    const { life } = place
    if (life === null || life.isStopped || life.isOver) return
    life.isStopped = true
    life.child.kill("SIGSTOP")
    this.#said(life, "stopped")
    setTimeout(() => this.continue(life), ms)
  }

  continue(life: Life): void {
    if (!life.isStopped || life.isOver) return
    life.isStopped = false
    this.#said(life, "continued")
    life.child.kill("SIGCONT")
  }

  /** SIGTERM, and after half a minute SIGKILL: as Kubernetes. A deploy brings another one at once. */
  leave(place: Place, isDeploy: boolean): void {
    const { life } = place
    if (life === null || life.isLeaving) return
    life.isLeaving = true
    place.isWanted = isDeploy
    place.life = null
    this.#said(life, "leaving")
    life.child.kill("SIGTERM")
    const patience = setTimeout(() => life.child.kill("SIGKILL"), 30_000)
    life.child.once("exit", () => clearTimeout(patience))
    if (isDeploy) void this.start(place)
  }

  /** All that stood still goes on, all that was slow or deaf is well, and all that should be there is started. */
  calm(atLeast: number): void {
    for (const life of this.lives) {
      if (life.isOver) continue
      this.continue(life)
      life.database.heal()
      life.peers?.heal()
    }
    for (const place of [...this.places.slice(0, atLeast), this.clients]) {
      place.isWanted = true
      if (place.life === null) void this.start(place)
    }
  }

  /** Ends all of them. Whoever leaves at SIGTERM within five seconds is not killed. */
  async close(): Promise<void> {
    this.#isOver = true
    const left = this.lives.filter(({ isOver }) => !isOver)
    for (const life of left) {
      life.isLeaving = true
      life.child.kill("SIGCONT")
      life.child.kill("SIGTERM")
    }
    const all = Promise.all(left.map(({ ended }) => ended))
    await Promise.race([all, new Promise((resolve) => setTimeout(resolve, 5000))])
    for (const life of left) if (!life.isOver) life.child.kill("SIGKILL")
    await all
  }
}
