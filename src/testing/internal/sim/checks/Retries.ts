/** I9 and I2: another attempt begins when it is due and no sooner, whoever runs it, and not while a human is asked. */
import type { Entry } from "../../../../domain/Entry.ts"
import { type Check, jumpsOf, placed, type SessionFacts, type Violation } from "./Facts.ts"

type AttemptFailed = Extract<Entry, { _tag: "AttemptFailed" }>

const i9 = (session: string, what: string): Violation => ({ invariant: "I9", session, what })
const i2 = (session: string, what: string): Violation => ({ invariant: "I2", session, what })

interface Waiting {
  readonly entry: AttemptFailed
  readonly seq: number
}

/** By step and the attempt that comes next. */
const waitingOf = ({ entries }: SessionFacts): ReadonlyMap<string, Waiting> => {
  const found = new Map<string, Waiting>()
  for (const { entry, seq } of entries) {
    if (entry._tag === "AttemptFailed") found.set(`${entry.step} ${entry.attempt + 1}`, { entry, seq })
  }
  return found
}

/** What waits is not given up before its time: it is numbered anew, and due when it was. */
const kept = (session: SessionFacts, waiting: ReadonlyMap<string, Waiting>): ReadonlyArray<Violation> =>
  session.entries.flatMap(({ at, entry, seq }) => {
    if (entry._tag !== "AttemptFailed") return []
    const due = waiting.get(`${entry.step} ${entry.attempt}`)?.entry.retryAt
    return due === undefined || at >= due || entry.retryAt >= due
      ? []
      : [
          i9(
            session.key,
            `attempt ${entry.attempt} of step ${entry.step} was due at ${due} and given up at ${at} (${seq})`
          )
        ]
  })

/** Until when a step is held, by the place in its journal; none where it was never let go. */
const letGo = (session: SessionFacts, { entry, seq }: Waiting): number | undefined => {
  const pause = session.entries.find(
    (one) => one.seq > seq && one.entry._tag === "Paused" && one.entry.held === entry.step
  )?.entry
  return pause?._tag !== "Paused"
    ? undefined
    : session.entries.find((one) => one.entry._tag === "Resumed" && one.entry.pause === pause.pause)?.seq
}

export const check: Check = (facts) => {
  // A clock that is set moves what is due: how far is told in the README.
  const areClocksSet = jumpsOf(facts.events).length > 0
  const waiting = new Map([...facts.sessions].map(([key, session]) => [key, waitingOf(session)]))
  return [
    ...(areClocksSet ? [] : [...facts.sessions.values()].flatMap((one) => kept(one, waiting.get(one.key)!))),
    ...placed(facts, "Began").flatMap(({ event, index }) => {
      const { attempt, at, session: key, step } = event
      const session = facts.sessions.get(key)
      const why = waiting.get(key)?.get(`${step} ${attempt}`)
      if (session === undefined || why === undefined) return []
      const found: Array<Violation> = []
      const one = `attempt ${attempt} of step ${step}`
      // Clocks show whole milliseconds.
      if (!areClocksSet && at + 1 < why.entry.retryAt) {
        found.push(i9(key, `${one} is due at ${why.entry.retryAt}, and began at ${at}`))
      }
      if (why.entry.decided?.plan === "ask") {
        const seq = letGo(session, why)
        const commit = seq === undefined ? undefined : session.commits.get(seq)
        if (commit === undefined || commit.index > index) found.push(i2(key, `${one} began before a human had decided`))
      }
      return found
    })
  ]
}
