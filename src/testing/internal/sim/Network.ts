/**
 * A network of simulated processes: connections that are slow, cut, refused and partitioned.
 *
 * A connection is what TCP makes of a bad network: bytes come in order and once, late or never. What is doubled or
 * overtaken is so because somebody asked again over another connection, or after a time-out.
 *
 * - A process that dies: its kernel closes its connections, unless the whole machine is gone; then there is silence, until
 *   another one has its address: what is sent again and again comes there, and is answered with a reset.
 * - A process that is stopped: its kernel accepts connections and bytes; it answers when it goes on.
 * - A partition: bytes wait (they are sent again and again) until it ends.
 */
import { End, type Trouble } from "./End.ts"
import { machineOf } from "./machine.ts"
import type { Prng } from "./Prng.ts"
import type { SimProcess } from "./SimProcess.ts"
import type { World } from "./World.ts"

interface Listener {
  readonly process: SimProcess
  readonly accept: (end: End) => void
}

export interface Weather {
  /** Milliseconds that bytes take: mostly the first, now and then up to the second. */
  readonly latency: readonly [number, number]
}

export class Network {
  /** Everything takes so many times as long. */
  slowness = 1
  readonly #random: Prng
  readonly #listeners = new Map<string, Listener>()
  readonly #ends = new Set<End>()
  /** Pairs of machines that do not hear each other. */
  readonly #cuts = new Set<string>()
  /** Where processes have listened. */
  readonly #addresses = new Map<SimProcess, string>()
  /** Addresses of machines that are gone, and the connections to them over which something is sent again and again. */
  readonly #silent = new Map<string, Set<End>>()
  readonly #held: Array<() => boolean> = []

  constructor(
    readonly world: World,
    readonly weather: Weather
  ) {
    this.#random = world.random.fork("network")
  }

  #delay(): number {
    const [from, to] = this.weather.latency
    return this.#random.skewed(from, to) * this.slowness
  }

  #note(from: SimProcess, to: string, what: string, fate: "delivered" | "dropped" | "refused"): void {
    this.world.history.record({ _tag: "Message", from: from.name, to, what, fate })
  }

  // --- Addresses ---

  listen(process: SimProcess, address: string, accept: (end: End) => void): () => void {
    const listener = { process, accept }
    this.#listeners.set(address, listener)
    this.#addresses.set(process, address)
    for (const end of this.#silent.get(address) ?? []) this.#reset(end, process)
    this.#silent.delete(address)
    process.onDeath(() => this.#forget(address, listener))
    return () => this.#forget(address, listener)
  }

  #forget(address: string, listener: Listener): void {
    if (this.#listeners.get(address) === listener) this.#listeners.delete(address)
  }

  /** Calls back once, unless there is silence. Returns how to give up. */
  connect(from: SimProcess, address: string, then: (result: End | Trouble) => void): () => void {
    let given = false
    const answer = (result: End | Trouble) => {
      if (given) return
      given = true
      this.#carry(from, from, () => then(result))
    }
    const knock = () => {
      const listener = this.#listeners.get(address)
      if (listener === undefined || listener.process.state === "dead") {
        this.#note(from, address, "connect", "refused")
        return answer("refused")
      }
      if (given || from.state === "dead") return
      const mine = new End(from)
      const theirs = new End(listener.process)
      mine.peer = theirs
      theirs.peer = mine
      this.#ends.add(mine)
      this.#ends.add(theirs)
      answer(mine)
      listener.process.task(() => listener.accept(theirs))
    }
    // A machine that is gone does not even refuse.
    if (this.#silent.has(address)) return () => {}
    const listener = this.#listeners.get(address)
    this.#carry(from, listener?.process ?? from, knock)
    return () => {
      given = true
    }
  }

  // --- Bytes ---

  /** Lets something happen at the other side after the way there; later if there is no way now. */
  #carry(from: SimProcess, to: SimProcess, happen: () => void): void {
    const arrive = () => {
      if (this.#isCut(from, to)) {
        this.#held.push(() => {
          if (this.#isCut(from, to)) return false
          this.world.after(this.#delay(), arrive)
          return true
        })
        return
      }
      to.task(happen)
    }
    this.world.after(this.#delay(), arrive)
  }

  send(from: End, bytes: Uint8Array): Trouble | null {
    if (from.closed !== null) return from.closed
    const to = from.peer
    const at = Math.max(this.world.now + this.#delay(), to.lastArrival)
    to.lastArrival = at
    this.world.after(at - this.world.now, () => this.#arrive(from, to, () => to.receive(bytes)))
    return null
  }

  /** Bytes and closing come in the order in which they were sent, partitions included. */
  #arrive(from: End, to: End, happen: () => void): void {
    if (to.process.state === "dead") {
      this.#sendAgain(from, to)
      return
    }
    if (to.held !== null || this.#isCut(from.process, to.process)) {
      if (to.held === null) this.#hold(from, to)
      to.held!.push(happen)
      return
    }
    to.process.task(happen)
  }

  /** Nobody has had what was sent: whoever has the address now knows nothing of the connection. */
  #sendAgain(from: End, to: End): void {
    const address = this.#addresses.get(to.process)
    if (address === undefined) return
    const listener = this.#listeners.get(address)
    if (listener === undefined) this.#silent.get(address)?.add(from)
    else this.#reset(from, listener.process)
  }

  /** After the way back, and a pause between two times that it was sent. */
  #reset(end: End, by: SimProcess): void {
    const reset = () => {
      this.#ends.delete(end)
      end.close("reset")
    }
    this.world.after(this.#random.skewed(1, 2_000), () => this.#carry(by, end.process, reset))
  }

  #hold(from: End, to: End): void {
    to.held = []
    this.#held.push(() => {
      if (this.#isCut(from.process, to.process)) return false
      const held = to.held ?? []
      to.held = null
      for (const happen of held) to.process.task(happen)
      return true
    })
  }

  /** Closes a connection from one side: the other learns it after what was sent. */
  close(end: End, trouble: Trouble = "closed"): void {
    if (end.closed !== null && !this.#ends.has(end)) return
    this.#ends.delete(end)
    end.close(trouble)
    const { peer } = end
    if (peer.closed !== null) return
    const at = Math.max(this.world.now + this.#delay(), peer.lastArrival)
    peer.lastArrival = at
    this.world.after(at - this.world.now, () =>
      this.#arrive(end, peer, () => {
        this.#ends.delete(peer)
        peer.close(trouble)
      })
    )
  }

  // --- Trouble ---

  /** @param silently the machine is gone too: nobody is told */
  died(process: SimProcess, silently: boolean): void {
    const address = this.#addresses.get(process)
    if (silently && address !== undefined) this.#silent.set(address, new Set())
    for (const end of [...this.#ends]) {
      if (end.process !== process) continue
      if (silently) this.#ends.delete(end)
      else this.close(end, this.#random.chance(0.5) ? "reset" : "closed")
    }
  }

  /** Cuts one of the connections between processes, with all bytes that are on their way. */
  cutOne(): string | null {
    const ends = [...this.#ends].filter((end) => end.closed === null && end.peer.closed === null)
    if (ends.length === 0) return null
    const end = this.#random.pick(ends)
    const { peer } = end
    for (const one of [end, peer]) {
      this.#ends.delete(one)
      one.process.task(() => one.close("reset"))
    }
    return `${end.process.name} – ${peer.process.name}`
  }

  partition(a: string, b: string): void {
    this.#cuts.add(`${a} ${b}`)
  }

  heal(a: string, b: string): void {
    this.#cuts.delete(`${a} ${b}`)
    this.#release()
  }

  calm(): void {
    this.slowness = 1
    this.#cuts.clear()
    this.#release()
  }

  #release(): void {
    const held = this.#held.splice(0)
    for (const one of held) if (!one()) this.#held.push(one)
  }

  #isCut(from: SimProcess, to: SimProcess): boolean {
    if (this.#cuts.size === 0) return false
    const a = machineOf(from)
    const b = machineOf(to)
    return this.#cuts.has(`${a} ${b}`) || this.#cuts.has(`${b} ${a}`)
  }
}
