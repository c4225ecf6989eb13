/**
 * No storm (B4): whatever number of sessions calls, from whatever runners, the provider of a model gets no more calls than
 * it allows. Where runners die that may have sent what nobody knows of it may be some more, and where none is left that
 * knows anything, what it is from one start to the next: no more than twice.
 */
import { type Check, type Facts, placed, type Violation } from "./Facts.ts"

/** What runners that die may have sent without anybody knowing: so much of a window. */
const unknownShare = 0.5
/** How long a runner must have been there to know what was sent, in milliseconds. */
const learnsMs = 3_000

interface Life {
  readonly bornAt: number
  endedAt: number
}

const livesOf = (facts: Facts): ReadonlyArray<Life> => {
  const lives = new Map<string, Life>()
  for (const { event } of placed(facts, "Life")) {
    const { at, process, what } = event
    if (!process.startsWith("runner-")) continue
    const life = lives.get(process) ?? { bornAt: at, endedAt: Number.POSITIVE_INFINITY }
    lives.set(process, life)
    // From then on it knows nothing new, and tells nobody.
    if (what !== "born" && what !== "continued") life.endedAt = Math.min(life.endedAt, at)
  }
  return [...lives.values()]
}

export const check: Check = (facts) => {
  const { allowed = {} } = facts.finished
  const asked = placed(facts, "Asked").map(({ event }) => event)
  const lives = livesOf(facts)

  const most = (limit: number, from: number, to: number): number => {
    const deaths = lives.map(({ endedAt }) => endedAt).filter((at) => at > from && at <= to)
    if (deaths.length === 0) return limit
    const first = Math.min(...deaths)
    const isKnown = lives.some(({ bornAt, endedAt }) => bornAt + learnsMs <= first && endedAt > to)
    return isKnown ? Math.ceil(limit * (1 + unknownShare)) : 2 * limit
  }

  return Object.entries(allowed).flatMap(([model, { limit, perMs }]): ReadonlyArray<Violation> => {
    const times = asked.flatMap((event) => (event.model === model ? [event.at] : []))
    let first = 0
    for (const [i, at] of times.entries()) {
      while (times[first]! <= at - perMs) first++
      const count = i - first + 1
      if (count <= most(limit, times[first]! - perMs, at)) continue
      const what = `the model ${model} was asked ${count} times within ${perMs} ms, and ${limit} are allowed`
      return [{ invariant: "storm", session: null, what: `${what}, at ${Math.round(at)}` }]
    }
    return []
  })
}
