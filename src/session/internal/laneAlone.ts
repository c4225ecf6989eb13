/**
 * A runner's own part of a lane, for while the lane's host cannot be reached: of n runners each lets through an nth of what
 * is allowed, so that together they still keep to it. Plain data.
 */
import { FairQueue, Limiter, type RateLimits } from "../../resilience/index.ts"
import type { Ending } from "./lanePermits.ts"
import type { Copy, Remembered, Wanted } from "./laneProtocol.ts"

export class Alone<W extends Wanted> {
  private readonly limiter: Limiter.Limiter
  private readonly queue = new FairQueue.FairQueue<W>()

  /** @param memory what this runner has sent: it counts */
  constructor(
    lane: RateLimits.Lane,
    copy: Copy | null,
    runners: number,
    memory: ReadonlyArray<Remembered>,
    now: number
  ) {
    const { concurrent, perMs, requests, tokens } = lane.rates
    const part = (all: number | null | undefined) => (all == null ? undefined : Math.max(1, Math.floor(all / runners)))
    this.limiter = new Limiter.Limiter({
      perMs,
      requests: part(requests ?? copy?.requests),
      tokens: part(tokens ?? copy?.tokens),
      concurrent: part(concurrent)
    })
    this.limiter.learn({ atOnce: part(copy?.learned.atOnce) })
    this.limiter.inherit(
      now,
      memory.map(({ agoMs, tokens }) => ({ leftMs: perMs - (agoMs ?? 0), requests: 1, tokens }))
    )
  }

  /** What may begin of these. */
  next(waiting: Iterable<W>, may: (one: W) => boolean, now: number): ReadonlyArray<readonly [W, number]> {
    for (const one of waiting) this.queue.add(one)
    const begun: Array<readonly [W, number]> = []
    for (;;) {
      const next = this.queue.next(may)
      if (next === undefined || !this.limiter.fits(now, next.tokens)) return begun
      this.queue.take(next)
      begun.push([next, this.limiter.grant(now, next.tokens)])
    }
  }

  forget(id: string): void {
    this.queue.remove(id)
  }

  ended(number: number, now: number, { failure, retryAfterMs, tokens }: Ending): void {
    if (failure === "RateLimited") this.limiter.refused(number, now, retryAfterMs)
    else this.limiter.ended(number, now, tokens, failure === undefined)
  }
}
