/** Something to be done at a time, which may change until then. */
import { Effect, type Fiber } from "effect"

export class Later {
  private next: { readonly at: number; readonly fiber: Fiber.RuntimeFiber<void> } | null = null

  constructor(
    private readonly around: {
      readonly now: () => number
      readonly fork: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>
    },
    private readonly act: () => void
  ) {}

  /** @param at milliseconds since the epoch; `null` for never. What was to be at another time is not. */
  at(at: number | null): void {
    if (this.next !== null && this.next.at !== at) {
      this.next.fiber.unsafeInterruptAsFork(this.next.fiber.id())
      this.next = null
    }
    if (at === null || this.next !== null) return
    const wait = Math.max(1, at - this.around.now())
    const act = Effect.sync(() => {
      this.next = null
      this.act()
    })
    this.next = { at, fiber: this.around.fork(Effect.zipRight(Effect.sleep(wait), act)) }
  }
}
