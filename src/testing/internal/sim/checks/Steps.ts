/** I2 and I5: what has an outcome never runs again; what may have had an effect is not silently repeated. */
import type { Entry, Repeatable } from "../../../../domain/Entry.ts"
import { type Check, type Facts, isZombie, placed, type SessionFacts, stepOf, type Violation } from "./Facts.ts"

const i2 = (session: string, what: string): Violation => ({ invariant: "I2", session, what })
const i5 = (session: string, what: string): Violation => ({ invariant: "I5", session, what })

/** In the journal: one intent, then one outcome, then nothing about the step. */
const shape = ({ entries, key }: SessionFacts): ReadonlyArray<Violation> => {
  const states = new Map<string, "open" | "doubted" | "ended">()
  return entries.flatMap(({ entry, seq }) => {
    const step = stepOf(entry)
    if (step === null) return []
    const state = states.get(step)
    const here = `${entry._tag} of step ${step} at ${seq}`
    if (entry._tag === "StepIntended") {
      states.set(step, "open")
      return state === undefined ? [] : [i2(key, `${here}: it was intended before`)]
    }
    if (entry._tag === "DoubtSettled") {
      states.set(step, "ended")
      return state === "doubted" ? [] : [i5(key, `${here}: it was not in doubt`)]
    }
    if (entry._tag === "StepInDoubt") states.set(step, "doubted")
    else if (entry._tag !== "AttemptFailed" && entry._tag !== "StepProgress") states.set(step, "ended")
    if (state === "open") return []
    return [i2(key, state !== undefined ? `${here}: it had its outcome already` : `${here}: it was never intended`)]
  })
}

/** Attempts begin after their intent, once, and not after the outcome: but for runners that were taken over. */
const begun: Check = (facts) => {
  const seen = new Map<string, string>()
  return placed(facts, "Began").flatMap(({ event, index }) => {
    const { attempt, name, process, session: key, step } = event
    const session = facts.sessions.get(key)
    const found: Array<Violation> = []
    const one = `attempt ${attempt} of step ${step} (${name})`
    const intent = session?.intents.get(step)
    const intended = intent === undefined ? undefined : session?.commits.get(intent.seq)
    if (intended === undefined || intended.index > index)
      found.push(i2(key, `${one} began before its intent was committed`))
    if (isZombie(facts, event, session, index)) return found
    const before = seen.get(`${key} ${step} ${attempt}`)
    if (before !== undefined) found.push(i2(key, `${one} began twice: in ${before} and in ${process}`))
    seen.set(`${key} ${step} ${attempt}`, process)
    const outcome = session?.outcomes.get(step)?.[0]
    const ended = outcome === undefined ? undefined : session?.commits.get(outcome.seq)
    if (ended !== undefined && ended.index < index) {
      found.push(i2(key, `${one} began in ${process} after its outcome was committed`))
    }
    return found
  })
}

/** Success is told only of what has run to its end. */
const truthful: Check = (facts) => {
  const done = new Map<string, number>()
  for (const { event, index } of placed(facts, "Performed")) {
    if (event.outcome !== "succeeded") continue
    const name = `${event.session} ${event.step} ${event.attempt}`
    if (!done.has(name)) done.set(name, index)
  }
  return [...facts.sessions.values()].flatMap(({ commits, entries, key }) =>
    entries.flatMap(({ entry, seq }) => {
      // What somebody has said: see Doubts.ts.
      if (entry._tag !== "StepSucceeded" || entry.settled !== undefined) return []
      const at = done.get(`${key} ${entry.step} ${entry.attempt}`)
      const commit = commits.get(seq)
      return at !== undefined && (commit === undefined || at < commit.index)
        ? []
        : [i2(key, `entry ${seq} says that attempt ${entry.attempt} of step ${entry.step} succeeded, and it had not`)]
    })
  )
}

type Ended = Extract<Entry, { readonly _tag: "StepSucceeded" | "StepFailed" }>

/** Outcomes that a runner told by itself; nobody had to find out or to say. */
const told = ({ entries }: SessionFacts) =>
  entries.flatMap(({ entry, seq }) =>
    (entry._tag === "StepSucceeded" || entry._tag === "StepFailed") &&
    entry.settled === undefined &&
    !("reconciled" in entry && entry.reconciled !== undefined)
      ? [{ entry: entry as Ended, seq }]
      : []
  )

/** Whoever tells an outcome has waited for the step: no effect comes after it. */
const overThen: Check = (facts) => {
  const last = new Map<string, number>()
  for (const { event, index } of placed(facts, "Effect")) {
    last.set(`${event.process} ${event.session} ${event.step}`, index)
  }
  return [...facts.sessions.values()].flatMap((session) =>
    told(session).flatMap(({ entry, seq }) => {
      const commit = session.commits.get(seq)
      if (commit === undefined) return []
      const effect = last.get(`${commit.process} ${session.key} ${entry.step}`)
      return effect !== undefined && effect > commit.index
        ? [i5(session.key, `step ${entry.step} had its effect after ${entry._tag} was committed, at ${seq}`)]
        : []
    })
  )
}

/** What may have happened and may not be repeated is in doubt: nobody is told that it failed before it was over. */
const notGuessed: Check = (facts) => {
  const began = new Map<string, { readonly index: number; readonly name: string }>()
  const over = new Map<string, number>()
  for (const { event, index } of placed(facts, "Began")) {
    const name = `${event.session} ${event.step} ${event.attempt}`
    if (event.kind === "tool" && event.asks !== true && !began.has(name)) began.set(name, { index, name: event.name })
  }
  for (const { event, index } of placed(facts, "Performed")) {
    const name = `${event.session} ${event.step} ${event.attempt}`
    if (!over.has(name)) over.set(name, index)
  }
  return [...facts.sessions.values()].flatMap((session) =>
    told(session).flatMap(({ entry, seq }) => {
      const name = `${session.key} ${entry.step} ${entry.attempt}`
      const start = began.get(name)
      const commit = session.commits.get(seq)
      if (start === undefined || commit === undefined || start.index > commit.index) return []
      if (natureOf(facts, session.key, entry.step, start.name) !== "never") return []
      return (over.get(name) ?? Number.POSITIVE_INFINITY) < commit.index
        ? []
        : [i5(session.key, `${entry._tag} of step ${entry.step} at ${seq} is a guess: nobody has seen its end`)]
    })
  )
}

/** What a tool really allows; what the journal says where the world does not. */
const natureOf = (facts: Facts, session: string, step: string, tool: string): Repeatable | undefined => {
  const entry = facts.sessions.get(session)?.intents.get(step)?.entry
  return facts.finished.tools[tool] ?? (entry?._tag === "StepIntended" ? entry.repeatable : undefined)
}

const notRepeated: Check = (facts) => {
  const times = new Map<string, number>()
  const count = (what: string, session: string, step: string, tool: string) => {
    const name = `${what} ${session} ${step}`
    const n = (times.get(name) ?? 0) + 1
    times.set(name, n)
    return n === 2 && natureOf(facts, session, step, tool) === "never"
      ? [i5(session, `step ${step} (${tool}) may not be repeated, and ${what} twice`)]
      : []
  }
  return facts.events.flatMap((event) => {
    if (event._tag === "Began" && event.kind === "tool") {
      // It was found out in between that it had not happened: what counts is its effect.
      if (event.asks === true || wasAsked(facts, event.session, event.step)) return []
      if (wasHarmless(facts, event.session, event.step, event.attempt)) return []
      return count("began", event.session, event.step, event.name)
    }
    if (event._tag === "Effect") return count("had its effect", event.session, event.step, event.tool)
    return []
  })
}

const wasAsked = (facts: Facts, session: string, step: string): boolean =>
  facts.sessions
    .get(session)
    ?.entries.some(
      ({ entry }) =>
        (entry._tag === "AttemptFailed" && entry.step === step && entry.nextInput === "reconcile") ||
        (entry._tag === "CommandAccepted" && entry.command._tag === "Settle" && entry.command.step === step)
    ) === true

/** Nothing of the attempt was sent: another one repeats nothing. */
const wasHarmless = (facts: Facts, session: string, step: string, attempt: number): boolean =>
  facts.sessions
    .get(session)
    ?.entries.some(
      ({ entry }) =>
        entry._tag === "AttemptFailed" &&
        entry.step === step &&
        entry.attempt === attempt &&
        entry.failure.reached === "nothing"
    ) === true

/** One key a step, in all of its attempts, and no other step has it. */
const keyed: Check = (facts) => {
  const keys = new Map<string, string>()
  const owners = new Map<string, string>()
  return placed(facts, "Effect").flatMap(({ event: { attempt, key, session, step, tool } }) => {
    const name = `${session} ${step}`
    const had = keys.get(name)
    const owner = owners.get(key)
    keys.set(name, had ?? key)
    owners.set(key, owner ?? name)
    if (had !== undefined && had !== key) {
      return [
        i5(session, `attempt ${attempt} of step ${step} (${tool}) had another idempotency key than the one before`)
      ]
    }
    return owner === undefined || owner === name
      ? []
      : [i5(session, `step ${step} (${tool}) had the idempotency key of ${owner}`)]
  })
}

export const check: Check = (facts) => [
  ...[...facts.sessions.values()].flatMap(shape),
  ...begun(facts),
  ...truthful(facts),
  ...overThen(facts),
  ...notGuessed(facts),
  ...notRepeated(facts),
  ...keyed(facts)
]
