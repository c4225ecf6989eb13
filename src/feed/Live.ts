/**
 * The live text of the steps that a runner has open: what has been produced since the last commit, in memory only.
 *
 * It is addressed by length: a reader says how much it has seen and gets the rest, so that a slow reader gets fewer and
 * larger pieces, and nothing is kept per reader. It dies with the runner; the feed then says `Rewind`.
 *
 * Text and reasoning are kept whole: they are a model's answer, which ends. A tool's progress may go on for days, so that
 * only its last is kept; a reader that is further behind is told how much it has missed.
 */
import type { StepId } from "../domain/Id.ts"
import { type Channel, type Seen, nothing } from "./Cursor.ts"

/** How much of a step's progress is kept, in units. */
export const progressMost = 1024 * 1024
/** What a piece weighs beside its text, in units. */
const pieceWeight = 64

/** Text that grows at its end and is read from anywhere. Reading costs what is read, not what is there. */
class Growing {
  private readonly pieces: Array<string> = []
  private readonly offsets: Array<number> = []
  private weight = 0
  /** Of all there has been. */
  length = 0

  /** @param most how much of its end is kept */
  constructor(private readonly most = Number.POSITIVE_INFINITY) {}

  push(text: string): void {
    if (text.length === 0) return
    const end = this.length + text.length
    const piece = text.length > this.most ? text.slice(-this.most) : text
    this.pieces.push(piece)
    this.offsets.push(end - piece.length)
    this.length = end
    this.weight += piece.length + pieceWeight
    if (this.weight > this.most) this.forget()
  }

  /** Where what is kept begins. */
  get start(): number {
    return this.offsets[0] ?? 0
  }

  /** A quarter at once, for each time moves what stays. The last piece stays, however long. */
  private forget(): void {
    let count = 0
    for (; count < this.pieces.length - 1 && this.weight > 0.75 * this.most; count++) {
      this.weight -= this.pieces[count]!.length + pieceWeight
    }
    this.pieces.splice(0, count)
    this.offsets.splice(0, count)
  }

  /** At most `limit` units and the rest of a piece, from `offset` on, which is not before the start. */
  from(offset: number, limit: number): string {
    if (offset >= this.length) return ""
    let low = 0
    let high = this.offsets.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.offsets[middle]! <= offset) low = middle
      else high = middle - 1
    }
    const parts = [this.pieces[low]!.slice(offset - this.offsets[low]!)]
    for (let i = low + 1, taken = parts[0]!.length; i < this.pieces.length && taken < limit; i++) {
      parts.push(this.pieces[i]!)
      taken += this.pieces[i]!.length
    }
    return parts.join("")
  }
}

/** What a reader that has seen `at` has not: the text from there. */
export interface LiveStep {
  readonly step: StepId
  readonly at: Seen
  readonly text: string
  readonly reasoning: string
  readonly progress: string
  /** Units of progress before that text which it has not seen and which are not kept any more; left out where none are. */
  readonly skipped?: number | undefined
}

/** How much text one pull carries of one channel. */
const pullLimit = 256 * 1024

const progress = () => new Growing(progressMost)

export class Live {
  private readonly steps = new Map<string, Record<Channel, Growing>>()

  /** Begins a step's text anew; `kept` is what the journal has of it already. */
  begin(step: StepId, kept: { readonly text: string; readonly reasoning: string }): void {
    const channels = { text: new Growing(), reasoning: new Growing(), progress: progress() }
    channels.text.push(kept.text)
    channels.reasoning.push(kept.reasoning)
    this.steps.set(step, channels)
  }

  /**
   * A next attempt goes on from the text so far: all else that was live is void. The journal's partial is that very text.
   */
  goOn(step: StepId): void {
    const channels = this.steps.get(step)
    if (channels !== undefined)
      this.steps.set(step, { text: channels.text, reasoning: new Growing(), progress: progress() })
  }

  has(step: StepId): boolean {
    return this.steps.has(step)
  }

  push(step: StepId, channel: Channel, text: string): void {
    let channels = this.steps.get(step)
    if (channels === undefined) {
      this.begin(step, { text: "", reasoning: "" })
      channels = this.steps.get(step)!
    }
    channels[channel].push(text)
  }

  /** The step has ended: its outcome is in the journal. */
  end(step: string): void {
    this.steps.delete(step)
  }

  /** What there is beyond what was seen. */
  beyond(seen: Readonly<Record<string, Seen>>): ReadonlyArray<LiveStep> {
    const steps: Array<LiveStep> = []
    for (const [step, channels] of this.steps) {
      const at = seen[step] ?? nothing
      if (
        channels.text.length > at.text ||
        channels.reasoning.length > at.reasoning ||
        channels.progress.length > at.progress
      ) {
        const skipped = Math.max(0, channels.progress.start - at.progress)
        steps.push({
          step: step as StepId,
          at,
          text: channels.text.from(at.text, pullLimit),
          reasoning: channels.reasoning.from(at.reasoning, pullLimit),
          progress: channels.progress.from(at.progress + skipped, pullLimit),
          ...(skipped === 0 ? {} : { skipped })
        })
      }
    }
    return steps
  }
}
