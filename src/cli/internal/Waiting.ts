/** Tells whoever follows a turn what it waits for, where nothing comes for a while: no entry of the journal says so. */
import { Effect } from "effect"
import type { Session } from "../../client/index.ts"
import type { Protocol } from "../../session/index.ts"
import { instant, line } from "./Format.ts"

/** A step that waits for what others have: of a session's state. */
export type Waits = Protocol.SessionView["waiting"][number]

/** How often a session that says nothing is asked. */
const lookMs = 1_000
/** Seen in so many looks, one after the other, it is worth a word. */
const enough = 3
/** A time that moves by less is the same one. */
const sameMs = 5_000

const reasons = {
  limit: "as many calls as its provider allows are out",
  blocked: "its provider wants nothing to be sent",
  open: "its provider fails, and is left alone"
} as const

/** In words: `default: its provider wants nothing to be sent until 12:05:00 UTC`. */
export const words = ({ lacks, pool, provider }: Waits): string => {
  if (provider !== null) {
    const until = provider.until === null ? "" : ` until ${instant(provider.until)} UTC`
    return `waits for the model "${line(provider.model, 40)}": ${reasons[provider.reason]}${until}`
  }
  const name = line(pool, 60)
  return lacks === "runner"
    ? `waits for a runner of "${name}": there is none`
    : `waits for a slot of the pool "${name}"`
}

const nameOf = ({ lacks, name, pool, provider }: Waits): string =>
  JSON.stringify([name, pool, lacks, provider?.lane, provider?.model, provider?.reason])

/** What of all that waits is to be told after each look: what has waited for a while, once, and again where it is put off. */
export const telling = () => {
  const seen = new Map<string, { looks: number; told: number | null }>()
  return (waiting: ReadonlyArray<Waits>): ReadonlyArray<Waits> => {
    const news: Array<Waits> = []
    const names = new Set(waiting.map(nameOf))
    for (const name of seen.keys()) if (!names.has(name)) seen.delete(name)
    for (const name of names) {
      // Several calls may wait for the same.
      const one = waiting.find((other) => nameOf(other) === name)!
      const until = one.provider?.until ?? 0
      const known = seen.get(name) ?? { looks: 0, told: null }
      seen.set(name, known)
      known.looks++
      if (known.looks < enough || (known.told !== null && until <= known.told + sameMs)) continue
      known.told = until
      news.push(one)
    }
    return news
  }
}

/** Looks while nothing comes; never ends by itself. Who cannot be asked has nothing to say. */
export const watch = <E>(
  session: Pick<Session, "state">,
  /** How much has come. */
  come: () => number,
  tell: (waits: Waits) => Effect.Effect<void, E>
): Effect.Effect<never, E> =>
  Effect.gen(function* () {
    const news = telling()
    for (;;) {
      const before = come()
      yield* Effect.sleep(lookMs)
      if (come() !== before) {
        news([])
        continue
      }
      const waiting = yield* session.state.pipe(
        Effect.map((state) => state.waiting),
        Effect.orElseSucceed((): ReadonlyArray<Waits> => [])
      )
      if (come() === before) yield* Effect.forEach(news(waiting), tell, { discard: true })
    }
  })
