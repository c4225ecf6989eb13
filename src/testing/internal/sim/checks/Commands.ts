/** I1: an acknowledged command is in the journal, once, and was before it was acknowledged. */
import type { Command, Recorded } from "../../../../domain/Entry.ts"
import { type Check, type Facts, placed, type SessionFacts, type Violation } from "./Facts.ts"

const violation = (session: string, what: string): Violation => ({ invariant: "I1", session, what })

const accepting = (session: SessionFacts | undefined, command: string): ReadonlyArray<Recorded> =>
  (session?.entries ?? []).filter(({ entry }) => entry._tag === "CommandAccepted" && entry.id === command)

/** A cancel of a session that has ended changes nothing, and is acknowledged with the journal's end. */
const isMoot = (session: SessionFacts | undefined, seq: number): boolean =>
  session?.entries.some((recorded) => recorded.entry._tag === "SessionEnded" && recorded.seq <= seq) === true

/** Whether a client's content is what was journaled. What the client left out has a default. */
const isContent = (sent: string, command: Command): boolean => {
  const [kind, text, whenBusy] = JSON.parse(sent) as ReadonlyArray<string | null>
  if (kind !== command._tag) return false
  if (command._tag !== "Send") return true
  const said = command.parts.map((part) => (part.type === "text" ? part.text : "")).join("")
  return said === text && (whenBusy ?? command.whenBusy) === command.whenBusy
}

const acknowledged: Check = (facts) => {
  const kinds = new Map(placed(facts, "Sent").map(({ event }) => [`${event.session} ${event.command}`, event.kind]))
  const first = new Map<string, number>()
  return placed(facts, "Acked").flatMap(({ event, index }) => {
    const { command, seq, session: key } = event
    const session = facts.sessions.get(key)
    const kind = kinds.get(`${key} ${command}`)
    const name = `command ${command}`
    const commit = session?.commits.get(seq)
    const isEarly = commit === undefined || commit.index > index
    const early = isEarly ? [violation(key, `${name} was acknowledged at ${seq} before that was committed`)] : []
    if (kind === "Create") {
      const isCreated = session?.entries[0]?.entry._tag === "SessionCreated"
      return isCreated ? early : [violation(key, "its creation was acknowledged and is not in the journal")]
    }
    const accepted = accepting(session, command)
    if (accepted.length === 0 && kind === "Cancel" && isMoot(session, seq)) return early
    const answers = first.get(`${key} ${command}`)
    first.set(`${key} ${command}`, answers ?? seq)
    return [
      ...early,
      ...(accepted.some((recorded) => recorded.seq === seq)
        ? []
        : [violation(key, `${name} was acknowledged at ${seq} and is not there in the journal`)]),
      ...(answers !== undefined && answers !== seq
        ? [violation(key, `${name} was acknowledged at ${answers} and then at ${seq}`)]
        : [])
    ]
  })
}

const once: Check = ({ sessions }) =>
  [...sessions.values()].flatMap(({ entries, key }) => {
    const seen = new Set<string>()
    return entries.flatMap(({ entry, seq }) => {
      if (entry._tag !== "CommandAccepted") return []
      if (seen.has(entry.id)) return [violation(key, `command ${entry.id} is in the journal again at ${seq}`)]
      seen.add(entry.id)
      return []
    })
  })

const isChild = ([first]: ReadonlyArray<Recorded>): boolean =>
  first?.entry._tag === "SessionCreated" && first.entry.parent !== undefined

/** What is in the journal is what a client had sent under that id. */
const asSent: Check = (facts) => {
  const sent = new Map<string, Set<string | undefined>>()
  for (const { event } of placed(facts, "Sent")) {
    const name = `${event.session} ${event.command}`
    const texts = sent.get(name) ?? new Set()
    sent.set(name, texts.add(event.text))
  }
  const wrong = [...facts.sessions.values()].flatMap(({ entries, key }) =>
    entries.flatMap(({ entry, seq }) => {
      // A child is asked by its parent.
      if (isChild(entries)) return []
      if (entry._tag !== "CommandAccepted") return []
      const texts = sent.get(`${key} ${entry.id}`)
      if (texts === undefined) return [violation(key, `command ${entry.id} at ${seq} was sent by nobody`)]
      return [...texts].some((sent) => sent === undefined || isContent(sent, entry.command))
        ? []
        : [violation(key, `command ${entry.id} at ${seq} has another content than was sent`)]
    })
  )
  const conflicts = placed(facts, "Refused").flatMap(({ event }) =>
    event.error === "CommandConflict" && (sent.get(`${event.session} ${event.command}`)?.size ?? 0) < 2
      ? [violation(event.session, `command ${event.command} was refused as another one, and was sent with one content`)]
      : []
  )
  return [...wrong, ...conflicts]
}

/** Answers that are none: the client asks again. */
const passing: ReadonlySet<string> = new Set(["StoreUnavailable", "RunnerUnreachable", "AgentUnknown"])

/** A command that was acknowledged is acknowledged when it is sent again, whatever has happened since. */
const firstAnswer: Check = ({ events }) => {
  const open = new Map<string, number>()
  const settled = new Set<string>()
  return events.flatMap((event) => {
    if (event._tag !== "Sent" && event._tag !== "Acked" && event._tag !== "Refused") return []
    const name = `${event.session} ${event.command}`
    const waiting = (open.get(name) ?? 0) + (event._tag === "Sent" ? 1 : -1)
    open.set(name, waiting)
    // With another one under way nobody can say which of them this answers.
    if (event._tag === "Acked" && waiting === 0) settled.add(name)
    return event._tag === "Refused" && settled.has(name) && !passing.has(event.error)
      ? [violation(event.session, `command ${event.command} was acknowledged, and is refused now: ${event.error}`)]
      : []
  })
}

export const check: Check = (facts: Facts) => [
  ...acknowledged(facts),
  ...once(facts),
  ...asSent(facts),
  ...firstAnswer(facts)
]
