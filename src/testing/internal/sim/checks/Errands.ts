/**
 * I7 and I5 of errands: what runs for a session on another runner is over there before it is over here, and when nobody asks
 * after it any more. How long that may take where the two cannot hear each other is told in `session/README.md`.
 */
import { endOf, type Fault } from "../Faults.ts"
import type { Happened } from "../History.ts"
import {
  type Check,
  type Facts,
  faultOf,
  isOutcome,
  placed,
  type SessionFacts,
  stepOf,
  type Violation
} from "./Facts.ts"

const i7 = (session: string, what: string): Violation => ({ invariant: "I7", session, what })

/** How long what runs may go on when nobody asks after it, in milliseconds: five seconds, a look, and its end. */
const silence_ms = 7_000
/** How long it takes until all know where everything is now, in milliseconds. */
const settles_ms = 6_000
/** How long its OS processes may take to be gone, in milliseconds. */
const gone_ms = 1_000

interface Moment {
  readonly index: number
  readonly at: number
}

interface Errand {
  readonly what: string
  readonly process: string
  readonly session: string
  readonly epoch: number
  readonly began: Moment
  /** When it had ended, or its process had. */
  readonly over: Moment
  /** When the journal says that the attempt is over, and under which epoch that was written. */
  readonly closed: (Moment & { readonly epoch: number; readonly isLost: boolean }) | null
}

const ends: ReadonlySet<string> = new Set(["killed", "left", "lost"])

const closedBy = (session: SessionFacts | undefined, step: string, attempt: number): Errand["closed"] => {
  const entry = session?.entries.find(
    ({ entry }) =>
      stepOf(entry) === step && (isOutcome(entry) || (entry._tag === "AttemptFailed" && entry.attempt >= attempt))
  )
  const commit = entry === undefined ? undefined : session?.commits.get(entry.seq)
  if (entry === undefined || commit === undefined) return null
  const isLost =
    entry.entry._tag === "StepInDoubt" ||
    (entry.entry._tag === "AttemptFailed" && entry.entry.failure.class === "RunnerLost")
  return { index: commit.index, at: commit.at, epoch: commit.epoch, isLost }
}

const nameOf = (event: {
  readonly process: string
  readonly session: string
  readonly step: string
  readonly attempt: number
}) => `${event.process} ${event.session} ${event.step} ${event.attempt}`

const errandsOf = (facts: Facts): ReadonlyArray<Errand> => {
  const deaths = new Map<string, Moment>()
  for (const { event, index } of placed(facts, "Life")) {
    if (ends.has(event.what)) deaths.set(event.process, { index, at: event.at })
  }
  const performed = new Map<string, Moment>()
  for (const { event, index } of placed(facts, "Performed")) performed.set(nameOf(event), { index, at: event.at })
  const last = { index: facts.events.length, at: facts.finished.final.at }
  return placed(facts, "Began").flatMap(({ event, index }) => {
    const { askedUnder: epoch, attempt, name, process, session, step } = event
    if (epoch === undefined) return []
    return [
      {
        what: `attempt ${attempt} of step ${step} (${name})`,
        process,
        session,
        epoch,
        began: { index, at: event.at },
        over: performed.get(nameOf(event)) ?? deaths.get(process) ?? last,
        closed: closedBy(facts.sessions.get(session), step, attempt)
      }
    ]
  })
}

interface Span {
  readonly from: number
  to: number
}

/** Runners may not hear each other, or one of them is taken for dead. */
const apart = (fault: Fault): boolean => fault._tag === "Slow" || fault._tag === "Partition"

/** Nor may they hear what the store says. */
const anywhere = (fault: Fault): boolean => apart(fault) || fault._tag === "Store"

/** When somebody may not have heard what another said: stopped runners, and all that is slow or cut. */
const deafness = (events: ReadonlyArray<Happened>, isDeafening: (fault: Fault) => boolean): ReadonlyArray<Span> => {
  const spans: Array<Span> = []
  const stopped = new Map<string, Span>()
  for (const event of events) {
    if (event._tag === "Calm") for (const span of spans) span.to = Math.min(span.to, event.at)
    if (event._tag === "Life" && event.what === "stopped") {
      const span = { from: event.at, to: Number.POSITIVE_INFINITY }
      spans.push(span)
      stopped.set(event.process, span)
    } else if (event._tag === "Life" && event.what !== "leaving") {
      // Whoever is told to leave while it is stopped has not heard that either.
      const span = stopped.get(event.process)
      if (span !== undefined) span.to = Math.min(span.to, event.at)
    }
    const fault = faultOf(event)
    if (fault !== null && isDeafening(fault)) spans.push({ from: event.at, to: event.at + endOf(fault) - fault.at })
  }
  return spans
}

const within =
  (spans: ReadonlyArray<Span>) =>
  (from: number, to: number): boolean =>
    spans.some((span) => span.from <= to && span.to >= from)

/**
 * The runner that says that it is over knows so. One whose store does not answer hears what others ask, and has ended what
 * runs for them before they may ask elsewhere.
 */
const overThereFirst = (errands: ReadonlyArray<Errand>, isDeaf: (from: number, to: number) => boolean) =>
  errands.flatMap(({ began, closed, epoch, over, process, session, what }) =>
    closed === null || closed.epoch !== epoch || over.index < closed.index || isDeaf(began.at, closed.at)
      ? []
      : [i7(session, `${what} was over in the journal before it was over in ${process}`)]
  )

/** Whatever becomes of who has asked: it does not go on for ever. */
const notForEver = (errands: ReadonlyArray<Errand>, hears: (at: number) => number) =>
  errands.flatMap(({ closed, over, process, session, what }) => {
    if (closed === null) return []
    const until = hears(closed.at) + silence_ms
    return over.at <= until
      ? []
      : [i7(session, `${what} went on in ${process} for ${over.at - closed.at} ms after its end`)]
  })

/** When runners come and go, and shards with them. */
const movesOf = (events: ReadonlyArray<Happened>): ReadonlyArray<number> =>
  events.flatMap((event) =>
    event._tag === "Acquired" || (event._tag === "Life" && event.process.startsWith("runner-")) ? [event.at] : []
  )

/** Whether the store did not hear of a runner twice: it may have given its sessions up. */
const isSilent = (facts: Facts, process: string, from: number, to: number): boolean =>
  placed(facts, "Called").filter(
    ({ event: { at, operation, outcome, process: caller } }) =>
      caller === process && operation === "heartbeat" && outcome !== "done" && at >= from && at <= to
  ).length > 1

/** I5: where all are there, stay where they are and hear each other, none is lost. */
const notForNothing = (facts: Facts, errands: ReadonlyArray<Errand>, isDeaf: (from: number, to: number) => boolean) => {
  const moves = movesOf(facts.events)
  return errands.flatMap(({ began, closed, epoch, process, session, what }): ReadonlyArray<Violation> => {
    if (closed === null || !closed.isLost || closed.epoch !== epoch) return []
    const [from, to] = [began.at - settles_ms, closed.at + settles_ms]
    return isDeaf(from, to) || isSilent(facts, process, from, to) || moves.some((at) => at >= from && at <= to)
      ? []
      : [{ invariant: "I5", session, what: `${what} was lost in ${process}, and nothing had happened to it` }]
  })
}

/** Its OS processes go with it. */
const processes = (facts: Facts, errands: ReadonlyArray<Errand>, hears: (at: number) => number) => {
  const died = new Map(placed(facts, "ProcessDied").map(({ event }) => [event.pid, event.at]))
  const overs = new Map(errands.map((one) => [`${one.process} ${one.session} ${one.what.split(" (")[0]}`, one.over.at]))
  return placed(facts, "ProcessBorn").flatMap(({ event: { attempt, pid, process, session, step } }) => {
    const over = overs.get(`${process} ${session} attempt ${attempt} of step ${step}`)
    const end = died.get(pid)
    return over === undefined || end === undefined || end <= hears(over) + gone_ms
      ? []
      : [i7(session, `OS process ${pid} of step ${step} outlived its errand in ${process} by ${end - over} ms`)]
  })
}

export const check: Check = (facts) => {
  const errands = errandsOf(facts)
  if (errands.length === 0) return []
  const spans = deafness(facts.events, anywhere)
  /** From then on all hear each other again. */
  const hears = (at: number): number =>
    spans.reduce((end, span) => (span.from <= end ? Math.max(end, span.to) : end), at)
  return [
    ...overThereFirst(errands, within(deafness(facts.events, apart))),
    ...notForEver(errands, hears),
    ...notForNothing(facts, errands, within(spans)),
    ...processes(facts, errands, hears)
  ]
}
