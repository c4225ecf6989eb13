/** I6: every reader sees every entry once, in order, after its commit; and each step's text is the text of its outcome. */
import type { Recorded } from "../../../../domain/Entry.ts"
import { Cursor, Feed, type FeedEvent } from "../../../../feed/index.ts"
import type { Check, Facts, SessionFacts, Violation } from "./Facts.ts"

const violation = (session: string, what: string): Violation => ({ invariant: "I6", session, what })

type Texts = Readonly<Record<"text" | "reasoning" | "progress", string>>
const none: Texts = { text: "", reasoning: "", progress: "" }

/** What one reader of one session has made of its feed. */
class Reader {
  seq = 0
  /** By step; only steps that it has followed from their begin. */
  readonly texts = new Map<string, Texts>()
  /** Where its last event was. */
  cursor: string | null = null
  /** Steps that were open where it began in the middle: what it has of their text is not all. */
  readonly partial = new Set<string>()

  constructor(
    readonly name: string,
    readonly session: SessionFacts
  ) {}

  follow(cursor: string | null): ReadonlyArray<Violation> {
    if (cursor === this.cursor && cursor !== null) return []
    this.texts.clear()
    this.partial.clear()
    this.cursor = cursor
    this.seq = 0
    if (cursor === null) return []
    const decoded = Cursor.decode(cursor)
    if (decoded._tag === "Left") return [this.wrong(`was given the cursor ${cursor}, which is none`)]
    this.seq = decoded.right.seq
    for (const step of Object.keys(decoded.right.seen)) this.partial.add(step)
    return []
  }

  read(event: FeedEvent, index: number): ReadonlyArray<Violation> {
    this.cursor = event.cursor
    if (event._tag === "Entry") return this.#entry(event.recorded, index)
    const before = this.texts.get(event.step) ?? none
    if (event._tag === "Delta") {
      this.texts.set(event.step, { ...before, [event.channel]: before[event.channel] + event.text })
      return this.#afterIntent(event.step, index)
    }
    this.texts.set(event.step, {
      text: before.text.slice(0, event.text),
      reasoning: before.reasoning.slice(0, event.reasoning),
      progress: before.progress.slice(0, event.progress)
    })
    return []
  }

  wrong(what: string): Violation {
    return violation(this.session.key, `${this.name} ${what}`)
  }

  #afterIntent(step: string, index: number): ReadonlyArray<Violation> {
    const intent = this.session.intents.get(step)
    const commit = intent === undefined ? undefined : this.session.commits.get(intent.seq)
    return commit !== undefined && commit.index < index
      ? []
      : [this.wrong(`read text of step ${step} before its intent was committed`)]
  }

  #entry(recorded: Recorded, index: number): ReadonlyArray<Violation> {
    const found: Array<Violation> = []
    const { entry, seq } = recorded
    if (seq !== this.seq + 1) found.push(this.wrong(`read entry ${seq} after entry ${this.seq}`))
    this.seq = seq
    const there = this.session.entries[seq - 1]
    if (there === undefined || there.hash !== recorded.hash) {
      found.push(this.wrong(`read an entry ${seq} that is not the journal's`))
    }
    const commit = this.session.commits.get(seq)
    if (commit === undefined || commit.index > index) {
      found.push(this.wrong(`read entry ${seq} before it was committed`))
    }
    if (entry._tag === "StepSucceeded") found.push(...this.#text(entry.step, entry.output))
    return found
  }

  #text(step: string, output: unknown): ReadonlyArray<Violation> {
    if (this.partial.has(step)) return []
    const isModel = this.session.intents.get(step)?.entry
    if (isModel?._tag !== "StepIntended" || isModel.kind !== "model") return []
    const read = this.texts.get(step) ?? none
    const told = Feed.textOf(output)
    return read.text === told.text && read.reasoning === told.reasoning
      ? []
      : [
          this.wrong(
            `read ${JSON.stringify(read.text.slice(0, 80))} of step ${step}, whose text is ${JSON.stringify(told.text.slice(0, 80))}`
          )
        ]
  }
}

export const check: Check = (facts: Facts) => {
  const readers = new Map<string, Reader>()
  return facts.events.flatMap((event, index) => {
    if (event._tag !== "Follow" && event._tag !== "Read") return []
    const name = `${event.reader} ${event.session}`
    const session = facts.sessions.get(event.session)
    if (session === undefined) {
      return event._tag === "Follow"
        ? []
        : [violation(event.session, `${event.reader} read a session that is not there`)]
    }
    const reader = readers.get(name) ?? new Reader(event.reader, session)
    readers.set(name, reader)
    return event._tag === "Follow" ? reader.follow(event.cursor) : reader.read(event.event, index)
  })
}
