/** What happened as lines for people, and their hash, by which two runs are the same. */
import { createHash } from "node:crypto"
import type { Happened } from "./History.ts"
import { epoch } from "./World.ts"

const short = (value: unknown): string => {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value))
  return text.length <= 160 ? text : `${text.slice(0, 157)}…`
}

const told = (event: Happened): string => {
  switch (event._tag) {
    case "Life":
      return `${event.process} is ${event.what}`
    case "Fault":
      return `*** ${event.fault}`
    case "Calm":
      return "*** calm"
    case "Sent":
      return `${event.client} → ${event.session}: ${event.kind} ${event.command}`
    case "Acked":
      return `${event.client} ← ${event.session}: ${event.command} is in the journal at ${event.seq}`
    case "Refused":
      return `${event.client} ← ${event.session}: ${event.command} is refused: ${event.error}: ${short(event.message ?? "")}`
    case "Read": {
      const { event: read } = event
      const what = read._tag === "Entry" ? `${read.recorded.seq} ${read.recorded.entry._tag}` : read._tag
      return `${event.reader} reads ${what} (${read.cursor})`
    }
    case "Follow":
      return `${event.reader} follows ${event.session} from ${event.cursor ?? "the start"}`
    case "Appended": {
      const rows = event.rows.map(({ seq, step, tag }) => `${seq} ${tag}${step === undefined ? "" : `(${step})`}`)
      return `${event.process} appends to ${event.session}, epoch ${event.epoch} of ${event.shard}: ${event.written}: ${rows.join(", ")}`
    }
    case "Acquired":
      return `${event.process} has ${event.shard} with epoch ${event.epoch}`
    case "Called":
      return `${event.process} calls ${event.operation}: ${event.outcome}`
    case "Began":
      return `${event.process} begins ${event.kind} ${event.name}, step ${event.step} attempt ${event.attempt} of ${event.session}${event.askedUnder === undefined ? "" : `, asked under epoch ${event.askedUnder}`}`
    case "Performed":
      return `${event.process} has performed ${event.kind} ${event.name}, step ${event.step} attempt ${event.attempt} of ${event.session}: ${event.outcome}`
    case "Effect":
      return `!!! ${event.tool} of step ${event.step} attempt ${event.attempt} of ${event.session} has its effect (${event.process}, key ${event.key.slice(0, 8)})`
    case "Asked":
      return `the model ${event.model ?? ""} is asked, call ${event.call}`
    case "Answered":
      return `the model has answered call ${event.call}: ${event.outcome}, ${event.tokens} tokens`
    case "ProcessBorn":
      return `OS process ${event.pid} is born of step ${event.step} of ${event.session} (${event.process})`
    case "ProcessDied":
      return `OS process ${event.pid} is dead`
    case "Message":
      return `${event.from} → ${event.to}: ${event.what}${event.fate === "delivered" ? "" : ` (${event.fate})`}`
    case "Told":
      return `${event.process}: ${short(event.what)}`
  }
}

/** One line: seconds since the begin, and what happened. */
export const line = (event: Happened): string => `${((event.at - epoch) / 1000).toFixed(4).padStart(9)}  ${told(event)}`

/** Hex; the same for the same run. */
export const hash = (events: ReadonlyArray<Happened>): string => {
  const sum = createHash("sha256")
  for (const event of events) sum.update(line(event)).update("\n")
  return sum.digest("hex").slice(0, 16)
}
