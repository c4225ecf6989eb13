/**
 * What waits for the actor's loop. Whoever offers to one at rest starts the loop: an actor that waits has no fiber, and
 * a queue of Effect's takes several times as long, at each step of each session.
 */
export class Inbox<A> {
  private waiting: Array<A> = []
  private working = false

  /**
   * @param limit how many are taken at once
   * @param worker runs the loop until {@link next} gives it nothing
   */
  constructor(
    private readonly limit: number,
    private readonly worker: { readonly work: () => void }
  ) {}

  offer(event: A): void {
    this.waiting.push(event)
    if (this.working) return
    this.working = true
    this.worker.work()
  }

  /** What waits, in order; `null` where that is nothing, and the loop is at its end. */
  next(): ReadonlyArray<A> | null {
    if (this.waiting.length > this.limit) return this.waiting.splice(0, this.limit)
    if (this.waiting.length > 0) return this.takeAll()
    this.working = false
    return null
  }

  /** What waits now, however much it is. */
  takeAll(): ReadonlyArray<A> {
    const taken = this.waiting
    this.waiting = []
    return taken
  }

  /** Starts no loop any more. */
  close(): void {
    this.working = true
  }
}
