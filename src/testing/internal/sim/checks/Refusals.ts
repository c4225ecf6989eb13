/** I13: who is refused is refused for a reason, which the journal shows; and no runner gives up without one. */
import { machineOf } from "../machine.ts"
import { type Check, faultOf, placed, type SessionFacts, type Violation } from "./Facts.ts"

const i13 = (session: string | null, what: string): Violation => ({ invariant: "I13", session, what })

const committed = (session: SessionFacts | undefined, tag: string): number => {
  const entry = session?.entries.find((recorded) => recorded.entry._tag === tag)
  return (entry === undefined ? undefined : session?.commits.get(entry.seq)?.index) ?? Number.POSITIVE_INFINITY
}

/** Nothing is taken any more once it was cancelled, though its turn may take a while to end. */
const closing = (session: SessionFacts | undefined): number => {
  const cancel = session?.entries.find(
    ({ entry }) => entry._tag === "CommandAccepted" && entry.command._tag === "Cancel"
  )
  const cancelled = cancel === undefined ? undefined : session?.commits.get(cancel.seq)?.index
  return Math.min(cancelled ?? Number.POSITIVE_INFINITY, committed(session, "SessionEnded"))
}

const reasons: Check = (facts) => {
  const first = new Map<string, { readonly index: number; readonly kind: string; readonly text: string }>()
  for (const { event, index } of placed(facts, "Sent")) {
    const name = `${event.session} ${event.command}`
    if (!first.has(name)) first.set(name, { index, kind: event.kind, text: event.text ?? "[]" })
  }
  return placed(facts, "Refused").flatMap(({ event, index }) => {
    const session = facts.sessions.get(event.session)
    const sent = first.get(`${event.session} ${event.command}`)
    if (sent === undefined) return []
    const wrong = (why: string) => [
      i13(event.session, `${sent.kind} ${event.command} was refused: ${event.error}, ${why}`)
    ]
    switch (event.error) {
      case "SessionNotFound":
        return committed(session, "SessionCreated") < sent.index ? wrong("and it was there") : []
      case "SessionClosed":
        return closing(session) < index ? [] : wrong("and it was open")
      case "SessionBusy":
        return (JSON.parse(sent.text) as ReadonlyArray<unknown>)[2] === "reject" ? [] : wrong("and it was to wait")
      case "NothingToDecide":
        return ["Raise", "Revive", "Discard", "Settle"].includes(sent.kind) ? [] : wrong("and it decides nothing")
      case "InvalidInput":
        return sent.kind === "Settle" ? [] : wrong("and nothing is wrong with it")
      case "MessageTooLarge":
      case "AgentMismatch":
        return wrong("and nothing is wrong with it")
      default:
        return []
    }
  })
}

/** What may take a runner's store from it, or its time; of real clusters, too. */
const excuses = /^(Stop|Store|Partition|Slow|Jump|Leave|Deploy|ScaleDown|Db.*|AcksLost)$/

/** A runner that ends itself was stopped or cut off, or its store was, or its address was taken; else it has crashed. */
const crashed: Check = (facts) => {
  const excused = new Set<string>()
  /** Who registered last at an address: what a killed runner had asked for may come after its successor's. */
  const owners = new Map<string, string>()
  let excuse = false
  return facts.events.flatMap((event) => {
    const fault = faultOf(event)
    const isApart = fault?._tag === "Partition" && (fault.from === "runners" || fault.from === "clients")
    if (fault !== null && excuses.test(fault._tag) && !isApart) excuse = true
    if (event._tag === "Called" && event.outcome !== "done") excused.add(event.process)
    if (event._tag === "Called" && event.operation === "register")
      owners.set(machineOf({ name: event.process }), event.process)
    if (event._tag === "Life" && event.what === "crashed") return [i13(null, `${event.process} has crashed`)]
    if (event._tag !== "Life" || event.what !== "lost" || !event.process.startsWith("runner")) return []
    if (excuse || excused.has(event.process)) return []
    if ((owners.get(machineOf({ name: event.process })) ?? event.process) !== event.process) return []
    return [i13(null, `${event.process} ended itself, and nothing had happened to it`)]
  })
}

export const check: Check = (facts) => [...reasons(facts), ...crashed(facts)]
