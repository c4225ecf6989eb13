/** I5 and I13: what is found out or said of steps in doubt, and what is parked. */
import { type Check, placed, type Violation } from "./Facts.ts"

const i5 = (session: string, what: string): Violation => ({ invariant: "I5", session, what })

/** What was found out is so, and whoever settles a doubt is one who was asked: nothing else makes an outcome. */
const settled: Check = (facts) => {
  const effects = new Map<string, number>()
  for (const { event, index } of placed(facts, "Effect")) {
    const name = `${event.session} ${event.step}`
    if (!effects.has(name)) effects.set(name, index)
  }
  return [...facts.sessions.values()].flatMap(({ commits, entries, key }) => {
    const said = new Map<string, string>()
    return entries.flatMap(({ entry, seq }) => {
      if (entry._tag === "CommandAccepted" && entry.command._tag === "Settle") {
        const { step, verdict } = entry.command
        if (said.has(step) && said.get(step) !== "retry") return [i5(key, `step ${step} was settled again at ${seq}`)]
        said.set(step, verdict)
        return []
      }
      if (entry._tag !== "StepSucceeded" && entry._tag !== "StepFailed" && entry._tag !== "AttemptFailed") return []
      const here = `${entry._tag} of step ${entry.step} at ${seq}`
      if ("settled" in entry && entry.settled !== undefined) {
        const verdict = entry._tag === "StepSucceeded" ? "happened" : "did not happen"
        return said.get(entry.step) === verdict ? [] : [i5(key, `${here}: nobody has said that it ${verdict}`)]
      }
      if (!("reconciled" in entry) || entry.reconciled === undefined) return []
      const at = effects.get(`${key} ${entry.step}`)
      const happened = at !== undefined && at < (commits.get(seq)?.index ?? Number.POSITIVE_INFINITY)
      return happened === (entry.reconciled === "happened")
        ? []
        : [i5(key, `${here} was found out to be otherwise than it is: ${entry.reconciled}`)]
    })
  })
}

/** How often a step may end its runner before somebody is asked. */
const lossesMost = 10

/** I13: what ends its runner each time does not do so for ever, and not without anybody's word. */
const parked: Check = ({ sessions }) =>
  [...sessions.values()].flatMap(({ entries, key }) => {
    const due = new Map<string, number>()
    const lost = new Map<string, number>()
    const held = new Map<string, string>()
    return entries.flatMap(({ at, entry, seq }): ReadonlyArray<Violation> => {
      if (entry._tag === "StepIntended" && entry.repeatable !== "never") due.set(entry.step, at)
      if (entry._tag === "Paused" && entry.held !== undefined) held.set(entry.pause, entry.held)
      if (entry._tag === "Resumed") {
        const step = held.get(entry.pause)
        // One more try for each word.
        if (step !== undefined) {
          lost.set(step, lossesMost - 1)
          due.set(step, at)
        }
      }
      if (entry._tag !== "AttemptFailed") return []
      const { failure, retryAt, startedAt, step } = entry
      const began = due.get(step)
      if (began === undefined) return []
      due.set(step, retryAt)
      // What waited for its time had not begun.
      if (failure.class !== "RunnerLost" || startedAt < began) return []
      const times = (lost.get(step) ?? 0) + 1
      lost.set(step, times)
      return times <= lossesMost
        ? []
        : [{ invariant: "I13", session: key, what: `step ${step} has lost its runner ${times} times at ${seq}` }]
    })
  })

export const check: Check = (facts) => [...settled(facts), ...parked(facts)]
