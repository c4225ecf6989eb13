/** A history that was made up: a good one, until a test breaks it. */
import type { Entry, Recorded } from "../../../src/domain/Entry.ts"
import type { FeedEvent } from "../../../src/feed/index.ts"
import { type Finished, type Happening, History } from "../../../src/testing/internal/sim/History.ts"
import { check, type Violation } from "../../../src/testing/internal/sim/checks/index.ts"

export const key = "default/s"
const shard = "default:1"

/** Entries are made up: their ids are not checked. */
export const entry = (value: unknown): Entry => value as Entry

export const created = entry({ _tag: "SessionCreated", agent: "busy", agentVersion: "1", attributes: {} })
export const accepted = (id: string, text = "hello") =>
  entry({
    _tag: "CommandAccepted",
    id,
    command: { _tag: "Send", parts: [{ type: "text", text }], whenBusy: "enqueue" }
  })
export const turnStarted = (turn: number, command: string) => entry({ _tag: "TurnStarted", turn, command })
export const intended = (step: string, kind: "model" | "tool", name: string, turn = 1, repeatable = "readonly") =>
  entry({ _tag: "StepIntended", step, turn, kind, name, input: null, repeatable })
export const succeeded = (step: string, attempt = 1, output: unknown = null) =>
  entry({ _tag: "StepSucceeded", step, attempt, startedAt: 0, output })
export const turnEnded = (turn: number) =>
  entry({ _tag: "TurnEnded", turn, outcome: { _tag: "Completed", output: "done" } })
export const text = (value: string) => ({ parts: [{ type: "text", text: value }] })

export class Story {
  now = 1_000
  readonly history = new History(() => this.now)
  readonly entries: Array<Recorded> = []
  readonly finished: {
    -readonly [K in keyof Finished["final"]]?: Finished["final"][K]
  } & { limits?: Finished["limits"]; tools?: Finished["tools"]; canaries?: Finished["canaries"] } = {}
  #calls = 0

  constructor(public process = "runner-1.1") {
    this.own(process, 1)
  }

  own(process: string, epoch: number): this {
    this.process = process
    return this.tell({ _tag: "Acquired", process, shard, epoch })
  }

  tell(...happenings: ReadonlyArray<Happening>): this {
    for (const happening of happenings) {
      this.now++
      this.history.record(happening)
    }
    return this
  }

  /** Commits entries, as the process that owns the shard, under the newest epoch. */
  append(...entries: ReadonlyArray<Entry>): this {
    return this.appendAs(this.process, this.#epoch, ...entries)
  }

  appendAs(process: string, epoch: number, ...entries: ReadonlyArray<Entry>): this {
    const first = this.entries.length + 1
    const rows = entries.map((entry, i) => ({
      seq: first + i,
      tag: entry._tag,
      command: entry._tag === "CommandAccepted" ? entry.id : null
    }))
    this.tell({
      _tag: "Appended",
      process,
      call: ++this.#calls,
      session: key,
      shard,
      epoch,
      rows,
      timersSet: [],
      timersCleared: [],
      written: "written"
    })
    for (const entry of entries) this.record(entry, epoch)
    return this
  }

  /** Puts an entry into the journal that nobody is seen to commit. */
  record(entry: Entry, epoch = this.#epoch): this {
    const seq = this.entries.length + 1
    this.entries.push({ seq, epoch, at: this.now, hash: `hash ${seq}`, entry } as unknown as Recorded)
    return this
  }

  get #epoch(): number {
    return this.history.events.reduce((epoch, event) => (event._tag === "Acquired" ? event.epoch : epoch), 0)
  }

  run(step: string, name: string, kind: "model" | "tool" = "tool", attempt = 1): this {
    const at = { process: this.process, session: key, step, attempt, kind, name }
    return this.tell({ _tag: "Began", ...at }, { _tag: "Performed", ...at, outcome: "succeeded" })
  }

  effect(step: string, tool: string, effectKey = `key of ${step}`, attempt = 1): this {
    return this.tell({ _tag: "Effect", process: this.process, session: key, step, attempt, tool, key: effectKey })
  }

  send(command: string, message = "hello"): this {
    return this.tell({
      _tag: "Sent",
      client: "client",
      session: key,
      command,
      kind: "Send",
      text: JSON.stringify(["Send", message])
    })
  }

  ack(command: string, seq: number): this {
    return this.tell({ _tag: "Acked", client: "client", session: key, command, seq })
  }

  follow(cursor: string | null = null): this {
    return this.tell({ _tag: "Follow", reader: "reader", session: key, cursor })
  }

  readText(step: string, value: string): this {
    return this.#read({ _tag: "Delta", cursor: "0", step, channel: "text", text: value } as unknown as FeedEvent)
  }

  readEntry(seq: number): this {
    return this.#read({ _tag: "Entry", cursor: String(seq), recorded: this.entries[seq - 1]! })
  }

  #read(event: FeedEvent): this {
    return this.tell({ _tag: "Read", reader: "reader", session: key, event })
  }

  check(): ReadonlyArray<Violation> {
    const { canaries, limits, tools, ...final } = this.finished
    return check({
      events: this.history.events,
      limits: limits ?? {},
      tools: tools ?? {},
      canaries: canaries ?? [],
      final: {
        at: this.now + 10_000,
        journals: new Map([[key, this.entries]]),
        verified: new Map(),
        sessions: [],
        timers: [],
        processes: [],
        stuck: null,
        ...final
      }
    })
  }
}

/** A session that was created, asked, and is about to work. */
export const begun = (): Story =>
  new Story()
    .append(created)
    .send("m1")
    .append(accepted("m1"), turnStarted(1, "m1"), intended("1", "model", "busy"))
    .ack("m1", 2)

/** A good story of a turn with a tool in it, read by somebody. */
export const good = (): Story =>
  begun()
    .follow()
    .readEntry(1)
    .readText("1", "I call")
    .run("1", "busy", "model")
    .append(succeeded("1", 1, text("I call")), intended("2", "tool", "book", 1, "never"))
    .readEntry(2)
    .readEntry(3)
    .readEntry(4)
    .readEntry(5)
    .effect("2", "book")
    .run("2", "book")
    .append(succeeded("2"), turnEnded(1))
    .readEntry(6)
    .readEntry(7)
