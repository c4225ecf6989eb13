/** Liveness and I13: when no fault comes any more, all that was begun comes to its end, and no session is parked. */
import type { Happened } from "../History.ts"
import { type Check, jumpsOf, placed, type SessionFacts, type Violation } from "./Facts.ts"

const stuck = (session: string | null, what: string): Violation => ({ invariant: "liveness", session, what })

/** How late a timer may be when all is over, in milliseconds. */
const late_ms = 120_000

const came: Check = ({ finished }) => (finished.final.stuck === null ? [] : [stuck(null, finished.final.stuck)])

/** It waits for somebody, and nobody came: that is no fault of the runtime's. */
const isPaused = ({ entries }: SessionFacts): boolean => {
  const open = new Set<string>()
  for (const { entry } of entries) {
    if (entry._tag === "Paused") open.add(entry.pause)
    if (entry._tag === "Resumed") open.delete(entry.pause)
    if (entry._tag === "TurnEnded") open.clear()
  }
  return open.size > 0
}

const turnOf = ({ entries }: SessionFacts, command: string): "none" | "open" | "ended" => {
  let turn: number | null = null
  for (const { entry } of entries) {
    if (entry._tag === "TurnStarted" && entry.command === command) turn = entry.turn
    if (entry._tag === "TurnEnded" && entry.turn === turn) return "ended"
  }
  return turn === null ? "none" : "open"
}

/** Each accepted message has had its turn, or its session has ended before. */
const answered: Check = ({ sessions }) =>
  [...sessions.values()].flatMap((session) => {
    if (session.entries.some(({ entry }) => entry._tag === "SessionEnded") || isPaused(session)) return []
    return session.entries.flatMap(({ entry, seq }) => {
      if (entry._tag !== "CommandAccepted") return []
      if (entry.command._tag === "Cancel") return [stuck(session.key, `it was cancelled at ${seq} and goes on`)]
      if (entry.command._tag !== "Send") return []
      const turn = turnOf(session, entry.id)
      return turn === "ended"
        ? []
        : [
            stuck(
              session.key,
              `message ${entry.id}, accepted at ${seq}, ${turn === "none" ? "has had no turn" : "is still in its turn"}`
            )
          ]
    })
  })

/** The row by which a session is found to be unfinished says what its journal says. */
const rows: Check = ({ finished, sessions }) =>
  finished.final.sessions.flatMap((info): ReadonlyArray<Violation> => {
    const key = `${info.namespace}/${info.session}`
    if (info.status === "parked") {
      return [{ invariant: "I13", session: key, what: `it is parked: ${info.attributes["parked"] ?? ""}` }]
    }
    const session = sessions.get(key)
    if (session === undefined) return []
    const ended = session.entries.some(({ entry }) => entry._tag === "SessionEnded")
    const expected = ended ? "ended" : isPaused(session) ? "paused" : "resting"
    return info.status === expected ? [] : [stuck(key, `its row says that it is ${info.status}, not ${expected}`)]
  })

/**
 * By how much a clock was set back, that of the runner for which it was the most: what such a clock says is due may be due
 * as much later.
 */
const setBackMs = (events: ReadonlyArray<Happened>): number => {
  const byRunner = new Map<number, number>()
  for (const { ms, runner } of jumpsOf(events)) byRunner.set(runner, (byRunner.get(runner) ?? 0) + Math.max(0, -ms))
  return Math.max(0, ...byRunner.values())
}

const overdue: Check = ({ finished: { events, final } }) => {
  const since = final.at - late_ms - setBackMs(events)
  return final.timers.flatMap(({ due, namespace, session, timer }) =>
    due < since ? [stuck(`${namespace}/${session}`, `timer ${timer} was due ${final.at - due} ms ago`)] : []
  )
}

/** A client was told something that no client can be told (I13): not what it did wrong, nor that it may try again. */
const known: ReadonlySet<string> = new Set([
  "SessionNotFound",
  "SessionClosed",
  "SessionBusy",
  "MailboxFull",
  "MessageTooLarge",
  "InvalidInput",
  "CommandConflict",
  "NothingToDecide",
  "AgentMismatch",
  "AgentUnknown",
  "StoreUnavailable",
  "RunnerUnreachable",
  "Lost"
])

const told: Check = (facts) =>
  placed(facts, "Refused").flatMap(
    ({ event: { command, error, message, session } }): ReadonlyArray<Violation> =>
      known.has(error)
        ? []
        : [{ invariant: "I13", session, what: `command ${command} was answered by ${error}: ${message ?? ""}` }]
  )

/** What can be asked of any run; the rest only of one that came to its end. */
export const check: Check = (facts) =>
  facts.finished.final.stuck === null
    ? [...answered(facts), ...rows(facts), ...overdue(facts), ...told(facts)]
    : [...came(facts), ...told(facts)]
