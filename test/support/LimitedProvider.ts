/** A provider that allows so many requests in a window, counts what it gets, and refuses the rest, over real HTTP. */
import * as Anthropic from "./FakeAnthropic.ts"
import * as Fake from "./FakeProvider.ts"

export interface Options {
  readonly limit: number
  readonly perMs: number
  /** Whether its answers say what is left. */
  readonly headers?: boolean | undefined
  /** Whether its refusals say for how long. */
  readonly retryAfter?: boolean | undefined
  /** How many requests of others it has had since the last one of ours. */
  readonly others?: (() => number) | undefined
  /** What it answers to what it takes; a word unless told. `n` counts what is taken. */
  readonly answer?: ((request: Fake.Recorded, n: number) => Fake.Behaviour) | undefined
}

export interface Limited {
  /** Milliseconds since the epoch, of all requests. */
  readonly arrivals: ReadonlyArray<number>
  readonly taken: () => number
  /** When those came that it refused. */
  readonly refusals: ReadonlyArray<number>
  /** The most that came within any window, wherever it begins. */
  readonly most: () => number
}

const said = Fake.whole(Anthropic.message([Anthropic.text("done")]))

/** Lets a fake provider keep a limit, in windows with borders. */
export const keep = (fake: Fake.FakeProvider, options: Options): Limited => {
  const { headers = true, limit, perMs, retryAfter = true } = options
  const arrivals: Array<number> = []
  let window = 0
  let used = 0
  let taken = 0
  const refusals: Array<number> = []
  fake.script((request) => {
    const now = Date.now()
    arrivals.push(now)
    const current = Math.floor(now / perMs)
    if (current !== window) used = 0
    window = current
    used += 1 + (options.others?.() ?? 0)
    const resetMs = (current + 1) * perMs - now
    const told = headers
      ? {
          "anthropic-ratelimit-requests-limit": String(limit),
          "anthropic-ratelimit-requests-remaining": String(Math.max(0, limit - used)),
          "anthropic-ratelimit-requests-reset": new Date(now + resetMs).toISOString()
        }
      : ({} as Record<string, string>)
    if (used > limit) {
      refusals.push(now)
      return Fake.status(429, Anthropic.errorBody("rate_limit_error", "slow down"), {
        ...told,
        ...(retryAfter ? { "retry-after-ms": String(resetMs) } : {})
      })
    }
    const behaviour = (options.answer ?? (() => said))(request, taken++)
    return behaviour._tag === "Reset" ? behaviour : { ...behaviour, headers: { ...behaviour.headers, ...told } }
  })
  return {
    arrivals,
    taken: () => taken,
    refusals,
    most: () => {
      let most = 0
      let first = 0
      for (const [i, at] of arrivals.entries()) {
        while (arrivals[first]! <= at - perMs) first++
        most = Math.max(most, i - first + 1)
      }
      return most
    }
  }
}
