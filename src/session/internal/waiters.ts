/** Long polls that wait for something new. */
import { Deferred, Effect, FiberId } from "effect"

export interface Waiter {
  /** Returns at the next change after it was made. */
  readonly news: Effect.Effect<void>
  readonly stop: () => void
}

export class Waiters {
  private readonly waiting = new Set<() => void>()

  /** Something has changed: all who wait look again. */
  wake(): void {
    if (this.waiting.size === 0) return
    const woken = [...this.waiting]
    this.waiting.clear()
    for (const resume of woken) resume()
  }

  /** Waits from now on, not from when a fiber comes to it: what changes in between would be missed. */
  listen(): Waiter {
    const change = Deferred.unsafeMake<void>(FiberId.none)
    const wake = () => Deferred.unsafeDone(change, Effect.void)
    this.waiting.add(wake)
    return { news: Deferred.await(change), stop: () => this.waiting.delete(wake) }
  }
}
