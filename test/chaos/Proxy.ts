/** What lies between two processes: a TCP proxy that is slow, deaf, forgetful, or loses answers, when told. */
import * as net from "node:net"

export interface Target {
  readonly host: string
  readonly port: number
}

/** One direction of a connection: what goes in comes out in order, late, or when the proxy hears again. */
class Lane {
  readonly #waiting: Array<{ readonly due: number; readonly run: () => void }> = []
  #timer: NodeJS.Timeout | null = null

  constructor(readonly isDeaf: () => boolean) {}

  pass(latencyMs: number, run: () => void): void {
    this.#waiting.push({ due: performance.now() + latencyMs, run })
    this.pump()
  }

  pump(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    while (!this.isDeaf() && this.#waiting.length > 0) {
      const wait = this.#waiting[0]!.due - performance.now()
      if (wait > 0.5) {
        this.#timer = setTimeout(() => this.pump(), wait)
        return
      }
      this.#waiting.shift()!.run()
    }
  }
}

interface Pair {
  readonly client: net.Socket
  readonly server: net.Socket
  readonly lanes: ReadonlyArray<Lane>
  /** What the client said last. */
  asked: string
  /** Both sockets are open, and nothing passes any more. */
  isForgotten: boolean
}

/** Postgres' answer to a statement that has written: it is committed then. */
const written = /INSERT 0 [1-9]|SELECT [1-9]/

export class Proxy {
  /** Milliseconds that each piece is late, either way. */
  latencyMs = 0
  /** How many answers to appends are still to be lost: Postgres has committed, and the connection is cut. */
  lose = 0
  /** How many have been. */
  lost = 0
  /** An answer of the server after which nothing passes any more: it does not pass either. */
  deafAt: RegExp | null = null
  /** A statement of the client at which its connection, and no other, dies without anybody being told. */
  forgetAt: RegExp | null = null
  #deaf = false
  readonly #pairs = new Set<Pair>()
  readonly #server: net.Server

  private constructor(readonly target: Target) {
    this.#server = net.createServer((client) => this.#open(client))
  }

  static listen(target: Target, at: Target): Promise<Proxy> {
    const proxy = new Proxy(target)
    return new Promise((resolve, reject) => {
      proxy.#server.once("error", reject)
      proxy.#server.listen(at, () => resolve(proxy))
    })
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port
  }

  #open(client: net.Socket): void {
    const lane = () => new Lane(() => this.#deaf)
    const pair: Pair = {
      client,
      server: net.connect(this.target),
      lanes: [lane(), lane()],
      asked: "",
      isForgotten: false
    }
    this.#pairs.add(pair)
    this.#join(pair, client, pair.server, pair.lanes[0]!)
    this.#join(pair, pair.server, client, pair.lanes[1]!)
  }

  #join(pair: Pair, from: net.Socket, to: net.Socket, lane: Lane): void {
    from.setNoDelay(true)
    from.on("error", () => {})
    from.on("data", (piece) => {
      if (pair.isForgotten) return
      if (from === pair.client) {
        pair.asked = piece.toString("latin1")
        if (this.forgetAt?.test(pair.asked) === true) {
          this.forgetAt = null
          pair.isForgotten = true
          return
        }
      } else if (this.lose > 0 && pair.asked.includes("perdure_append") && written.test(piece.toString("latin1"))) {
        this.lose--
        this.lost++
        return this.#cut(pair)
      }
      if (from === pair.server && this.deafAt?.test(piece.toString("latin1")) === true) {
        this.deafAt = null
        this.deaf = true
      }
      lane.pass(this.latencyMs, () => to.write(piece))
    })
    from.on("close", () => {
      if (!pair.isForgotten) lane.pass(this.latencyMs, () => this.#cut(pair))
    })
  }

  #cut(pair: Pair): void {
    this.#pairs.delete(pair)
    pair.client.destroy()
    pair.server.destroy()
  }

  get deaf(): boolean {
    return this.#deaf
  }

  /** Nothing passes, nobody is told: as when packets are dropped. What waits comes through when it hears again. */
  set deaf(deaf: boolean) {
    this.#deaf = deaf
    if (!deaf) for (const { lanes } of [...this.#pairs]) for (const lane of lanes) lane.pump()
  }

  /** The connections that there are are dead, and neither side learns it: as after a firewall's restart. New ones work. */
  forget(): void {
    for (const pair of this.#pairs) pair.isForgotten = true
  }

  /** All connections are reset. */
  cut(): void {
    for (const pair of [...this.#pairs]) this.#cut(pair)
  }

  /** As good as new, but for connections that are dead. */
  heal(): void {
    this.latencyMs = 0
    this.lose = 0
    this.deaf = false
  }

  close(): void {
    this.cut()
    this.#server.close()
  }
}
