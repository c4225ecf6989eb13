/** Long polls that wait for something new. */
import { Effect } from "effect"

export class Waiters {
  private readonly waiting = new Set<() => void>()

  /** Something has changed: all who wait look again. */
  readonly wake = (): void => {
    if (this.waiting.size === 0) return
    const woken = [...this.waiting]
    this.waiting.clear()
    for (const resume of woken) resume()
  }

  readonly wait: Effect.Effect<void> = Effect.async<void>((resume) => {
    const wake = () => resume(Effect.void)
    this.waiting.add(wake)
    return Effect.sync(() => this.waiting.delete(wake))
  })
}
