/**
 * Virtual time and the one loop in which everything of a simulated world happens, synchronously.
 *
 * ```
 * a process with something to do, by chance ──► one task of it ──► …
 * nobody has ──► time goes on to the next event ──► …        (now and then also while somebody has: a slow processor)
 * ```
 *
 * One thing happens after another, in an order that the seed decides: the same seed, the same run.
 */
import { History } from "./History.ts"
import { Heap } from "./Heap.ts"
import { Prng } from "./Prng.ts"

/** What has tasks: a simulated OS process. */
export interface Runnable {
  readonly name: string
  /** Whether it could do something now. */
  readonly ready: () => boolean
  /** Does one thing. */
  readonly step: () => void
  readonly kill: () => void
}

/** Something that will happen. */
export interface Event {
  readonly at: number
  readonly order: number
  readonly happen: () => void
  cancelled: boolean
}

/** Where virtual time begins: 2026-01-01T00:00:00Z, in milliseconds since the epoch. */
export const epoch = 1767225600000

/** The most tasks and events of a run: more means that somebody runs in circles. */
const mostTurns = 400_000

export class World {
  /** True virtual time, in milliseconds since the epoch. */
  now = epoch
  readonly random: Prng
  readonly history: History
  /** What has been done by the loop: tasks and events. */
  turns = 0
  readonly #order: Prng
  readonly #events = new Heap<Event>((a, b) => a.at < b.at || (a.at === b.at && a.order < b.order))
  readonly #runnables: Array<Runnable> = []
  readonly #ready: Array<Runnable> = []
  #scheduled = 0
  #isOver = false

  constructor(readonly seed: string) {
    this.random = new Prng(seed)
    this.#order = this.random.fork("order")
    this.history = new History(() => this.now)
  }

  /** Milliseconds since the world began. */
  get elapsed(): number {
    return this.now - epoch
  }

  add(runnable: Runnable): void {
    this.#runnables.push(runnable)
  }

  remove(runnable: Runnable): void {
    const index = this.#runnables.indexOf(runnable)
    if (index >= 0) this.#runnables.splice(index, 1)
  }

  /** Lets something happen after so many milliseconds. */
  after(milliseconds: number, happen: () => void): Event {
    const event: Event = {
      at: this.now + Math.max(0, milliseconds),
      order: this.#scheduled++,
      happen,
      cancelled: false
    }
    this.#events.push(event)
    return event
  }

  /** Ends all processes but one: what is left is looked at in peace. */
  endAllBut(survivor: Runnable): void {
    for (const one of [...this.#runnables]) if (one !== survivor) one.kill()
  }

  /** Lets the loop run again after it was ended. */
  begin(): void {
    this.#isOver = false
  }

  /** Ends the loop. */
  end(): void {
    this.#isOver = true
  }

  /**
   * Runs until somebody ends it, or nothing can happen any more, or `untilMs` of virtual time have passed.
   */
  run(untilMs: number): "ended" | "nothing happens" | "time is up" | "runs in circles" {
    const until = this.now + untilMs
    const most = this.turns + mostTurns
    while (!this.#isOver) {
      if (this.turns++ > most) return "runs in circles"
      const ready = this.#ready
      ready.length = 0
      for (const one of this.#runnables) if (one.ready()) ready.push(one)
      const next = this.#events.peek()
      if (ready.length > 0 && (next === undefined || next.at > this.now + 4 || this.#order.bits() >= 0x04000000)) {
        const one = ready.length === 1 ? ready[0]! : ready[this.#order.bits() % ready.length]!
        one.step()
        continue
      }
      if (next === undefined) return "nothing happens"
      if (next.at > until) {
        this.now = until
        return "time is up"
      }
      this.#events.pop()
      if (next.cancelled) continue
      if (next.at > this.now) this.now = next.at
      next.happen()
    }
    return "ended"
  }
}
