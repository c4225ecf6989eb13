/** I9 and I10: a timer fires once and in time, nothing is open in what is closed. */
import { type Check, isOutcome, type SessionFacts, stepOf, type Violation } from "./Facts.ts"

const i9 = (session: string, what: string): Violation => ({ invariant: "I9", session, what })
const i10 = (session: string, what: string): Violation => ({ invariant: "I10", session, what })

const timers = ({ entries, key }: SessionFacts): ReadonlyArray<Violation> => {
  const due = new Map<string, number>()
  return entries.flatMap(({ at, entry, seq }) => {
    switch (entry._tag) {
      case "TimerSet":
        due.set(entry.timer, entry.due)
        return []
      case "TimerCleared":
        due.delete(entry.timer)
        return []
      case "TimerFired": {
        const time = due.get(entry.timer)
        due.delete(entry.timer)
        if (time === undefined) return [i9(key, `timer ${entry.timer} fired at ${seq} without being set`)]
        return at < time ? [i9(key, `timer ${entry.timer} fired ${time - at} ms too early, at ${seq}`)] : []
      }
      default:
        return []
    }
  })
}

/** The rows of timers say what the journal says. */
const timerRows: Check = ({ finished, sessions }) =>
  [...sessions.values()].flatMap(({ entries, key }) => {
    const journaled = new Map<string, number>()
    for (const { entry } of entries) {
      if (entry._tag === "TimerSet") journaled.set(entry.timer, entry.due)
      if (entry._tag === "TimerFired" || entry._tag === "TimerCleared") journaled.delete(entry.timer)
      if (entry._tag === "SessionEnded") journaled.clear()
    }
    const rows = new Map(
      finished.final.timers
        .filter(({ namespace, session }) => `${namespace}/${session}` === key)
        .map(({ due, timer }) => [timer as string, due])
    )
    return [...new Set([...journaled.keys(), ...rows.keys()])].flatMap((timer) =>
      journaled.get(timer) === rows.get(timer)
        ? []
        : [i9(key, `timer ${timer} is due ${journaled.get(timer)} by the journal and ${rows.get(timer)} by its row`)]
    )
  })

/** A turn that has ended has no open step, and no step begins outside of its turn. */
const closed = ({ entries, key }: SessionFacts): ReadonlyArray<Violation> => {
  const open = new Set<string>()
  let turn: number | null = null
  let turns = 0
  let ended = false
  return entries.flatMap(({ entry, seq }) => {
    const found: Array<Violation> = []
    if (ended && entry._tag !== "CommandAccepted") {
      found.push(i10(key, `${entry._tag} at ${seq}: the session had ended`))
    }
    switch (entry._tag) {
      case "TurnStarted":
        if (turn !== null) found.push(i10(key, `turn ${entry.turn} began at ${seq} in turn ${turn}`))
        if (entry.turn !== turns + 1) found.push(i10(key, `turn ${entry.turn} began at ${seq} after turn ${turns}`))
        turn = entry.turn
        turns = entry.turn
        break
      case "StepIntended":
        if (entry.turn !== turn)
          found.push(i10(key, `step ${entry.step} of turn ${entry.turn} at ${seq} is outside of it`))
        open.add(entry.step)
        break
      case "TurnEnded":
        if (entry.turn !== turn) found.push(i10(key, `turn ${entry.turn} ended at ${seq} and was not running`))
        if (open.size > 0)
          found.push(i10(key, `turn ${entry.turn} ended at ${seq} before its steps ${[...open].join()}`))
        open.clear()
        turn = null
        break
      case "SessionEnded":
        if (turn !== null) found.push(i10(key, `the session ended at ${seq} in turn ${turn}`))
        ended = true
        break
    }
    if (isOutcome(entry)) open.delete(stepOf(entry)!)
    return found
  })
}

/** A child is over before the step that it works for has an outcome, however that ends. */
const families: Check = ({ sessions }) =>
  [...sessions.values()].flatMap((child) => {
    const created = child.entries[0]?.entry
    if (created?._tag !== "SessionCreated" || created.parent === undefined) return []
    const namespace = child.key.slice(0, child.key.indexOf("/"))
    const { session, step } = created.parent
    const parent = sessions.get(`${namespace}/${session}`)
    const outcome = parent?.outcomes.get(step)?.[0]
    const over = outcome === undefined ? undefined : parent?.commits.get(outcome.seq)
    if (over === undefined) return []
    const end = child.entries.find(({ entry }) => entry._tag === "SessionEnded")
    const ended = end === undefined ? undefined : child.commits.get(end.seq)
    return ended !== undefined && ended.index < over.index
      ? []
      : [i10(child.key, `it outlived step ${step} of its parent ${session}`)]
  })

/** Whoever interrupts a turn sees no more steps of it begin. */
const interrupted = ({ entries, key }: SessionFacts): ReadonlyArray<Violation> => {
  let turn: number | null = null
  let stopping: number | null = null
  return entries.flatMap(({ entry, seq }) => {
    if (entry._tag === "TurnStarted") turn = entry.turn
    if (entry._tag === "TurnEnded") turn = null
    if (entry._tag === "CommandAccepted" && (entry.command._tag === "Interrupt" || entry.command._tag === "Cancel")) {
      stopping = turn
    }
    return entry._tag === "StepIntended" && entry.turn === stopping
      ? [i10(key, `step ${entry.step} was intended at ${seq}, after its turn was interrupted`)]
      : []
  })
}

export const check: Check = (facts) => [
  ...[...facts.sessions.values()].flatMap((session) => [
    ...timers(session),
    ...closed(session),
    ...interrupted(session)
  ]),
  ...timerRows(facts),
  ...families(facts)
]
