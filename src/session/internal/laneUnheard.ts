/**
 * Runners that are there, and that the host of a lane does not hear: each of them goes on by itself, under its part of the
 * limit (`laneAlone.ts`). That is not given to others until it speaks. Plain data.
 */
import type { Limiter } from "../../resilience/index.ts"
import { addressOf } from "./errandProtocol.ts"

interface Part extends Limiter.Share {
  /** Which process it was, where it was heard of before. */
  readonly runner: string | null
}

export interface Surroundings {
  readonly now: () => number
  /** The addresses of all runners. */
  readonly runners: () => ReadonlyArray<string>
}

export class Unheard {
  /** By address: who comes back after its death has another name. */
  private readonly parts = new Map<string, Part>()

  constructor(
    private readonly limiter: Limiter.Limiter,
    private readonly around: Surroundings
  ) {}

  add(address: string, runner: string | null = null): void {
    this.end(address, false)
    const runners = Math.max(1, this.around.runners().length)
    const { requestLimit = 0, tokenLimit = 0 } = this.limiter
    const part = { runner, requests: Math.floor(requestLimit / runners), tokens: Math.floor(tokenLimit / runners) }
    this.limiter.reserve(part)
    this.parts.set(address, part)
  }

  /** It says itself what it has sent; of another process at its address nobody ever will. */
  heard(name: string): void {
    const address = addressOf(name)
    const runner = this.parts.get(address)?.runner ?? name
    this.end(address, runner === name)
  }

  /** Forgets those that are gone. */
  sweep(): void {
    if (this.parts.size === 0) return
    const there = new Set(this.around.runners())
    for (const address of this.parts.keys()) if (!there.has(address)) this.end(address, false)
  }

  private end(address: string, isKnown: boolean): void {
    const part = this.parts.get(address)
    if (part === undefined) return
    this.parts.delete(address)
    this.limiter.release(part)
    // It may have been sent just now.
    if (!isKnown) this.limiter.inherit(this.around.now(), [{ ...part, leftMs: this.limiter.windowMs }])
  }
}
