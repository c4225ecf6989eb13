/**
 * What a reader of a session sees (I6): every entry once, in order, and the live text of its steps, once.
 *
 * A step's live text is canonical: its deltas, cut at each `Rewind`, are together exactly the text of its outcome, whether
 * a reader was there from the start, came back in the middle, or came after the end. Where text died with a runner, the
 * journal has an `AttemptFailed` before any text of the next attempt, so that `Rewind` follows from entries alone: every
 * reader agrees on it, on every runner, and nothing has to be remembered between two pulls but the cursor.
 *
 * ```
 * cursor ──► entries after it (journal) ──► live text beyond it (runner) ──► events, next cursor
 * ```
 */
import type { AttemptFailed, Recorded, StepSucceeded } from "../domain/Entry.ts"
import type { StepId } from "../domain/Id.ts"
import { type Channel, type Cursor, encode, nothing, type Seen } from "./Cursor.ts"
import type { LiveStep } from "./Live.ts"

export type FeedEvent =
  /** More text of a step. */
  | {
      readonly _tag: "Delta"
      readonly cursor: string
      readonly step: StepId
      readonly channel: Channel
      readonly text: string
      /** Units of progress in front of this text that came too fast for this reader and are gone; absent where none are. */
      readonly skipped?: number
    }
  /** Text of a step is void beyond these lengths: forget it, it comes anew. */
  | {
      readonly _tag: "Rewind"
      readonly cursor: string
      readonly step: StepId
      readonly text: number
      readonly reasoning: number
      readonly progress: number
    }
  /** An entry of the journal. */
  | { readonly _tag: "Entry"; readonly cursor: string; readonly recorded: Recorded }

export interface Page {
  readonly events: ReadonlyArray<FeedEvent>
  readonly cursor: Cursor
}

/** The text and reasoning in a model step's output or partial output; empty for any other. */
export const textOf = (output: unknown): { readonly text: string; readonly reasoning: string } => {
  const parts = (output as { readonly parts?: unknown } | null | undefined)?.parts
  let text = ""
  let reasoning = ""
  if (Array.isArray(parts)) {
    for (const part of parts as ReadonlyArray<{ readonly type?: unknown; readonly text?: unknown }>) {
      if (typeof part?.text !== "string") continue
      if (part.type === "text") text += part.text
      else if (part.type === "reasoning") reasoning += part.text
    }
  }
  return { text, reasoning }
}

/** What of a failed attempt's text the next one goes on from. */
export const kept = (entry: Pick<AttemptFailed, "nextInput" | "partial">) =>
  entry.nextInput === "continue" ? textOf(entry.partial) : { text: "", reasoning: "" }

/** Builds one page: mutable inside, pure outside. */
class Builder {
  readonly events: Array<FeedEvent> = []
  seq: number
  readonly seen: Record<string, Seen>

  constructor(cursor: Cursor) {
    this.seq = cursor.seq
    this.seen = { ...cursor.seen }
  }

  get cursor(): string {
    return encode({ seq: this.seq, seen: this.seen })
  }

  delta(step: StepId, channel: Channel, text: string, skipped = 0): void {
    if (text.length === 0) return
    const seen = this.seen[step] ?? nothing
    this.seen[step] = { ...seen, [channel]: seen[channel] + skipped + text.length }
    const gap = skipped === 0 ? {} : { skipped }
    this.events.push({ _tag: "Delta", cursor: this.cursor, step, channel, text, ...gap })
  }

  rewind(step: StepId, to: Seen): void {
    const seen = this.seen[step] ?? nothing
    if (seen.text <= to.text && seen.reasoning <= to.reasoning && seen.progress <= to.progress) return
    const kept: Seen = {
      text: Math.min(seen.text, to.text),
      reasoning: Math.min(seen.reasoning, to.reasoning),
      progress: Math.min(seen.progress, to.progress)
    }
    this.seen[step] = kept
    this.events.push({ _tag: "Rewind", cursor: this.cursor, step, ...kept })
  }

  entry(recorded: Recorded): void {
    const entry = recorded.entry
    switch (entry._tag) {
      case "AttemptFailed": {
        const { reasoning, text } = kept(entry)
        this.rewind(entry.step, { text: text.length, reasoning: reasoning.length, progress: 0 })
        break
      }
      case "StepSucceeded":
        this.complete(entry)
        delete this.seen[entry.step]
        break
      case "StepFailed":
      case "StepInDoubt":
        delete this.seen[entry.step]
        break
      case "TurnEnded":
      case "SessionEnded":
        for (const step of Object.keys(this.seen)) delete this.seen[step]
        break
    }
    this.seq = recorded.seq
    this.events.push({ _tag: "Entry", cursor: this.cursor, recorded })
  }

  /** The rest of the text of a step that has ended, for a reader that has not seen it live. */
  private complete(entry: StepSucceeded): void {
    const { reasoning, text } = textOf(entry.output)
    const seen = this.seen[entry.step] ?? nothing
    this.delta(entry.step, "reasoning", reasoning.slice(seen.reasoning))
    this.delta(entry.step, "text", text.slice(seen.text))
  }

  live(step: LiveStep): void {
    for (const channel of ["reasoning", "text", "progress"] as const) {
      // The reader has moved on since it asked (an entry in between told it more): skip what it has.
      const seen = (this.seen[step.step] ?? nothing)[channel]
      if (seen < step.at[channel]) continue
      const begins = step.at[channel] + (channel === "progress" ? (step.skipped ?? 0) : 0)
      this.delta(step.step, channel, step[channel].slice(Math.max(0, seen - begins)), Math.max(0, begins - seen))
    }
  }
}

/**
 * The next page of a feed. `entries` follow the cursor without a gap; `live` is what the session's runner had beyond the
 * cursor when its journal ended with the last of `entries` (or nothing).
 */
export const advance = (cursor: Cursor, entries: ReadonlyArray<Recorded>, live: ReadonlyArray<LiveStep>): Page => {
  const builder = new Builder(cursor)
  for (const recorded of entries) builder.entry(recorded)
  for (const step of live) builder.live(step)
  return { events: builder.events, cursor: { seq: builder.seq, seen: builder.seen } }
}
