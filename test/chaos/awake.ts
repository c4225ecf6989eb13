/**
 * Whether the checks would have seen it: the history of a run with one thing wrong in it, for each invariant. A join of
 * witnesses that has come apart (another name of a process, a log that nobody writes) finds nothing, and looks like success.
 */
import { check, type Violation } from "../../src/testing/internal/sim/checks/index.ts"
import { type Finished, type Happened, of } from "../../src/testing/internal/sim/History.ts"

type Wrong = (finished: Finished) => Finished | null

const later = (finished: Finished, ...events: ReadonlyArray<Happened>): Finished => ({
  ...finished,
  events: [...finished.events, ...events]
})

const without = (finished: Finished, event: Happened | undefined): Finished | null =>
  event === undefined ? null : { ...finished, events: finished.events.filter((one) => one !== event) }

const withoutEntry = (finished: Finished, session: string, seq: number): Finished => {
  const journals = new Map(finished.final.journals)
  journals.set(session, journals.get(session)?.filter((recorded) => recorded.seq !== seq) ?? [])
  return { ...finished, final: { ...finished.final, journals } }
}

const wrongs: Readonly<Record<string, readonly [Violation["invariant"], Wrong]>> = {
  "an acknowledged command that is not in the journal": [
    "I1",
    (finished) => {
      const acked = of(finished.events, "Acked").find(({ command }) => command.startsWith("m"))
      return acked === undefined ? null : withoutEntry(finished, acked.session, acked.seq)
    }
  ],
  "an attempt after the outcome": [
    "I2",
    (finished) => {
      const last = of(finished.events, "Appended").at(-1)
      const began = of(finished.events, "Began").find(({ session }) => session === last?.session)
      if (last === undefined || began === undefined) return null
      // Right behind it: whoever leaves last takes the shards of those that left before.
      const { at, process } = last
      const events = [...finished.events]
      events.splice(events.indexOf(last) + 1, 0, { ...began, attempt: began.attempt + 100, process, at })
      return { ...finished, events }
    }
  ],
  "a row of a stale epoch": [
    "I3",
    (finished) => {
      const last = of(finished.events, "Appended").at(-1)
      return last === undefined ? null : later(finished, { ...last, epoch: last.epoch - 1 })
    }
  ],
  "a gap in a journal": [
    "I4",
    (finished) => {
      const found = [...finished.final.journals].find(([, entries]) => entries.length > 3)
      return found === undefined ? null : withoutEntry(finished, found[0], 2)
    }
  ],
  "a tool that ran twice and may not": [
    "I5",
    (finished) => {
      const effect = of(finished.events, "Effect").find(({ tool }) => tool === "act")
      return effect === undefined ? null : later(finished, effect)
    }
  ],
  "an event that a reader missed": [
    "I6",
    (finished) => {
      const reads = of(finished.events, "Read", "Follow")
      // One after which the same reader went on.
      const missed = reads.find((one, i) => {
        if (one._tag !== "Read" || one.event._tag !== "Entry") return false
        const next = reads.slice(i + 1).find((other) => other.reader === one.reader)
        return next?._tag === "Read" && next.event._tag === "Entry"
      })
      return without(finished, missed)
    }
  ],
  "a process that is left": ["I7", (finished) => ({ ...finished, final: { ...finished.final, processes: [1] } })],
  "a call of the provider that no attempt made": [
    "I8",
    (finished) => {
      const began = of(finished.events, "Began").filter(({ kind }) => kind === "model").length
      const asked = Array.from({ length: began + 1 }, (_, call): Happened => ({ _tag: "Asked", call, at: 0 }))
      return later(finished, ...asked)
    }
  ],
  "a session that never rests": [
    "liveness",
    (finished) => {
      const [first, ...rest] = finished.final.sessions
      if (first === undefined || finished.final.stuck !== null) return null
      return { ...finished, final: { ...finished.final, sessions: [{ ...first, status: "active" }, ...rest] } }
    }
  ]
}

/** What the checks would not have seen in this run. */
export const unseen = (finished: Finished): ReadonlyArray<string> => {
  const before = check(finished).length
  return Object.entries(wrongs).flatMap(([what, [invariant, wrong]]) => {
    const worse = wrong(finished)
    // A log that nobody writes has nothing that could go wrong in it.
    if (worse === null) return [`${what}: nothing of the kind has happened`]
    const found = check(worse)
    return found.length > before && found.some((violation) => violation.invariant === invariant) ? [] : [what]
  })
}
