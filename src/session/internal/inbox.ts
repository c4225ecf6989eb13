/**
 * What waits for the actor's loop, its only taker. A queue of Effect's takes several times as long, at each step of each
 * session.
 */
import { Effect } from "effect"

export class Inbox<A> {
  private waiting: Array<A> = []
  private resume: (() => void) | null = null

  /** @param limit how many are taken at once */
  constructor(private readonly limit: number) {}

  readonly offer = (event: A): void => {
    this.waiting.push(event)
    const { resume } = this
    if (resume === null) return
    this.resume = null
    resume()
  }

  /** What waits now, however much it is. */
  takeAll(): ReadonlyArray<A> {
    const taken = this.waiting
    this.waiting = []
    return taken
  }

  /** What waits, in order; waits until there is something. */
  readonly take: Effect.Effect<ReadonlyArray<A>> = Effect.suspend(() =>
    this.waiting.length > 0 ? Effect.succeed(this.some()) : this.wait
  )

  private readonly wait = Effect.async<ReadonlyArray<A>>((resume) => {
    this.resume = () => resume(Effect.sync(() => this.some()))
    return Effect.sync(() => {
      this.resume = null
    })
  })

  private some(): ReadonlyArray<A> {
    return this.waiting.length <= this.limit ? this.takeAll() : this.waiting.splice(0, this.limit)
  }
}
