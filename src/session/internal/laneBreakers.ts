/** The breakers of a lane's models, each made when it is first needed. Plain data. */
import { Breaker, type RateLimits } from "../../resilience/index.ts"
import type { ModelState, Report } from "./laneProtocol.ts"

/** Whether the provider has answered, if only to say no to what was asked. */
export const answered = (failure: Report["failure"]): boolean =>
  failure === undefined ||
  failure === "InvalidRequest" ||
  failure === "Unauthorized" ||
  failure === "Refused" ||
  failure === "ContextOverflow" ||
  failure === "MalformedToolCall"

export class Breakers {
  private readonly all = new Map<string, Breaker.Breaker>()

  constructor(private readonly settings: RateLimits.Lane["breaker"]) {}

  of(model: string): Breaker.Breaker {
    let found = this.all.get(model)
    if (found === undefined) {
      found = new Breaker.Breaker(this.settings)
      this.all.set(model, found)
    }
    return found
  }

  /** Those that are not closed. */
  states(now: number): ReadonlyArray<ModelState> {
    return [...this.all].flatMap(([model, breaker]) => {
      const state = breaker.state(now)
      return state === "closed" ? [] : [{ model, state, openMs: Math.max(0, (breaker.until(now) ?? now) - now) }]
    })
  }

  /** Takes note of how a call ended. Returns whether its model's breaker stands otherwise now. */
  judge({ failure, model, retryAfterMs }: Report, isProbe: boolean, isAnswering: boolean, now: number): boolean {
    const breaker = this.of(model)
    const before = breaker.state(now)
    if (failure !== undefined && Breaker.speaks(failure)) breaker.failed(now, isProbe, retryAfterMs, isAnswering)
    else if (answered(failure)) breaker.succeeded(isProbe, isAnswering)
    else breaker.forgotten(isProbe, isAnswering)
    return breaker.state(now) !== before
  }
}
