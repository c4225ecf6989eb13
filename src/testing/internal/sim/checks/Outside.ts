/** I7 and I12: no OS process outlives what started it; what is secret is nowhere. */
import { type Check, isOutcome, placed, stepOf, type Violation } from "./Facts.ts"

/** How long a process may outlive its end, in milliseconds. */
const grace_ms = 1_000

const ends: ReadonlySet<string> = new Set(["killed", "left", "lost", "crashed"])

/** When the process that ran a step was gone, or was told that the step had ended; neither while it was stopped. */
const processes: Check = (facts) => {
  const i7 = (session: string, what: string): Violation => ({ invariant: "I7", session, what })
  const died = new Map(placed(facts, "ProcessDied").map(({ event }) => [event.pid, event.at]))
  const over = new Map<string, number>()
  const stopped = new Map<string, Array<{ readonly from: number; to: number }>>()
  for (const { event } of placed(facts, "Life")) {
    if (ends.has(event.what)) over.set(event.process, event.at)
    const pauses = stopped.get(event.process) ?? []
    stopped.set(event.process, pauses)
    if (event.what === "stopped") pauses.push({ from: event.at, to: Number.POSITIVE_INFINITY })
    const last = pauses[pauses.length - 1]
    if (last !== undefined && event.what !== "stopped") last.to = Math.min(last.to, event.at)
  }
  /** The end of grace: time in which the process stood still does not count. */
  const until = (process: string, from: number): number => {
    let deadline = from + grace_ms
    for (const pause of stopped.get(process) ?? []) {
      if (pause.to > from && pause.from < deadline) deadline += pause.to - Math.max(pause.from, from)
    }
    return deadline
  }
  return placed(facts, "ProcessBorn").flatMap(({ event: { pid, process, session: key, step } }) => {
    const end = Math.min(died.get(pid) ?? Number.POSITIVE_INFINITY, facts.finished.final.at + grace_ms)
    const gone = over.get(process)
    if (gone !== undefined && end > gone + grace_ms) {
      return [i7(key, `OS process ${pid} of step ${step} outlived its runner ${process}`)]
    }
    const session = facts.sessions.get(key)
    const outcome = session?.entries.find(({ entry }) => isOutcome(entry) && stepOf(entry) === step)
    const commit = outcome === undefined ? undefined : session?.commits.get(outcome.seq)
    // Another runner's commit is not known to this one before it looks: its own death or the end of the run counts.
    if (commit !== undefined && commit.process === process && end > until(process, commit.at)) {
      return [i7(key, `OS process ${pid} outlived its step ${step}`)]
    }
    return []
  })
}

const left: Check = ({ finished }) =>
  finished.final.processes.map((pid) => ({
    invariant: "I7",
    session: null,
    what: `OS process ${pid} is alive when all is over`
  }))

const secrets: Check = ({ events, finished }) => {
  if (finished.canaries.length === 0) return []
  const places: ReadonlyArray<readonly [string, unknown]> = [
    ["the journal", [...finished.final.journals.values()]],
    ["the sessions' rows", finished.final.sessions],
    ["what was told and read", events.filter(({ _tag }) => _tag !== "Sent")]
  ]
  return places.flatMap(([place, content]) => {
    const text = JSON.stringify(content)
    return finished.canaries.flatMap(
      (canary): ReadonlyArray<Violation> =>
        text.includes(canary) ? [{ invariant: "I12", session: null, what: `a secret is in ${place}` }] : []
    )
  })
}

export const check: Check = (facts) => [...processes(facts), ...left(facts), ...secrets(facts)]
