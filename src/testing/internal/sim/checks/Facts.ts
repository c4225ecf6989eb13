/** A history, indexed for checkers: which commit wrote which entry, and when. Built once a run. */
import type { Entry, Recorded } from "../../../../domain/Entry.ts"
import type { Fault } from "../Faults.ts"
import type { Finished, Happened, Of } from "../History.ts"

export type Invariant =
  | "I1"
  | "I2"
  | "I3"
  | "I4"
  | "I5"
  | "I6"
  | "I7"
  | "I8"
  | "I9"
  | "I10"
  | "I12"
  | "I13"
  /** Of B4: not more calls than a provider allows. */
  | "storm"
  | "liveness"

/** An invariant that did not hold, and how that shows. */
export interface Violation {
  readonly invariant: Invariant
  /** The session's key, where it is about one. */
  readonly session: string | null
  readonly what: string
}

export type Check = (facts: Facts) => ReadonlyArray<Violation>

/** The moment at which an entry became durable: `index` is its place in the history. */
export interface Commit {
  readonly index: number
  readonly at: number
  readonly process: string
  readonly epoch: number
  readonly shard: string
  readonly tag: string
}

export interface SessionFacts {
  readonly key: string
  /** The journal as it was in the end. */
  readonly entries: ReadonlyArray<Recorded>
  /** By seq. The first commit of a seq: a second one is found by `I4`. */
  readonly commits: ReadonlyMap<number, Commit>
  /** Entries that intend a step, by step. */
  readonly intents: ReadonlyMap<string, Recorded>
  /** Entries that end a step, by step, in order. */
  readonly outcomes: ReadonlyMap<string, ReadonlyArray<Recorded>>
}

export interface Facts {
  readonly finished: Finished
  readonly events: ReadonlyArray<Happened>
  readonly sessions: ReadonlyMap<string, SessionFacts>
  /**
   * The highest epoch under which a process had taken a shard, before a place in the history; 0 for none. `null` for
   * whatever process took it.
   */
  readonly epochHeld: (process: string | null, shard: string, before: number) => number
}

/** The step that an entry is about, where it is about one. */
export const stepOf = (entry: Entry): string | null => ("step" in entry ? entry.step : null)

export const isOutcome = (entry: Entry): boolean =>
  entry._tag === "StepSucceeded" || entry._tag === "StepFailed" || entry._tag === "StepInDoubt"

const gather = (key: string, entries: ReadonlyArray<Recorded>, commits: ReadonlyMap<number, Commit>): SessionFacts => {
  const intents = new Map<string, Recorded>()
  const outcomes = new Map<string, Array<Recorded>>()
  for (const recorded of entries) {
    const { entry } = recorded
    if (entry._tag === "StepIntended" && !intents.has(entry.step)) intents.set(entry.step, recorded)
    if (!isOutcome(entry)) continue
    const step = stepOf(entry)!
    const ends = outcomes.get(step) ?? []
    ends.push(recorded)
    outcomes.set(step, ends)
  }
  return { key, entries, commits, intents, outcomes }
}

export const make = (finished: Finished): Facts => {
  const { events, final } = finished
  const commits = new Map<string, Map<number, Commit>>()
  const acquired = new Map<string, Array<{ readonly index: number; readonly epoch: number }>>()
  events.forEach((event, index) => {
    if (event._tag === "Acquired") {
      for (const process of [event.process, null]) {
        const name = `${process} ${event.shard}`
        const all = acquired.get(name) ?? []
        all.push({ index, epoch: event.epoch })
        acquired.set(name, all)
      }
    }
    if (event._tag !== "Appended" || event.written !== "written") return
    const ofSession = commits.get(event.session) ?? new Map<number, Commit>()
    commits.set(event.session, ofSession)
    const { at, epoch, process, shard } = event
    for (const { seq, tag } of event.rows) {
      if (!ofSession.has(seq)) ofSession.set(seq, { index, at, process, epoch, shard, tag })
    }
  })
  const sessions = new Map<string, SessionFacts>()
  for (const key of new Set([...final.journals.keys(), ...commits.keys()])) {
    sessions.set(key, gather(key, final.journals.get(key) ?? [], commits.get(key) ?? new Map()))
  }
  return {
    finished,
    events,
    sessions,
    epochHeld: (process, shard, before) => {
      let epoch = 0
      for (const one of acquired.get(`${process} ${shard}`) ?? []) {
        if (one.index < before) epoch = Math.max(epoch, one.epoch)
      }
      return epoch
    }
  }
}

/** Events of one kind with their places in the history. */
export const placed = <const Tag extends Happened["_tag"]>(
  facts: Facts,
  tag: Tag
): ReadonlyArray<{ readonly index: number; readonly event: Of<Tag> }> =>
  facts.events.flatMap((event, index) => (event._tag === tag ? [{ index, event: event as Of<Tag> }] : []))

/** What went wrong there; in a real cluster also what the simulator does not know. */
export const faultOf = (event: Happened): Fault | null =>
  event._tag === "Fault" ? (JSON.parse(event.fault) as Fault) : null

/** When clocks were set, and by how much. */
export const jumpsOf = (events: ReadonlyArray<Happened>): ReadonlyArray<Extract<Fault, { _tag: "Jump" }>> =>
  events.flatMap((event) => {
    const fault = faultOf(event)
    return fault?._tag === "Jump" ? [fault] : []
  })

/**
 * Whether the process that began an attempt was no longer the one to work for its session, at a place in the history:
 * somebody had taken its shard under a newer epoch than it ever had. It cannot know, and what it does then is not the
 * runtime's fault. An errand is the work of the process that asked for it, wherever it runs.
 */
export const isZombie = (
  facts: Facts,
  { askedUnder, process }: Of<"Began">,
  session: SessionFacts | undefined,
  at: number
): boolean => {
  const [commit] = session?.commits.values() ?? []
  if (commit === undefined) return false
  const epoch = askedUnder ?? facts.epochHeld(process, commit.shard, at)
  return epoch < facts.epochHeld(null, commit.shard, at)
}
