/**
 * The live text of the steps that a runner has open: what has been produced since the last commit, in memory only.
 *
 * It is addressed by length: a reader says how much it has seen and gets the rest, so that a slow reader gets fewer and
 * larger pieces, and nothing is kept per reader. It dies with the runner; the feed then says `Rewind`.
 */
import type { StepId } from "../domain/Id.ts"
import { type Channel, type Seen, nothing } from "./Cursor.ts"

/** Text that grows at its end and is read from anywhere. Reading costs what is read, not what is there. */
class Growing {
  private readonly pieces: Array<string> = []
  private readonly offsets: Array<number> = []
  length = 0

  push(text: string): void {
    if (text.length === 0) return
    this.pieces.push(text)
    this.offsets.push(this.length)
    this.length += text.length
  }

  /** At most `limit` units and the rest of a piece, from `offset` on. */
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
}

/** How much text one pull carries of one channel. */
const pullLimit = 256 * 1024

export class Live {
  private readonly steps = new Map<string, Record<Channel, Growing>>()

  /** Begins a step's text anew; `kept` is what the journal has of it already. */
  begin(step: StepId, kept: { readonly text: string; readonly reasoning: string }): void {
    const channels = { text: new Growing(), reasoning: new Growing(), progress: new Growing() }
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
      this.steps.set(step, { text: channels.text, reasoning: new Growing(), progress: new Growing() })
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
        steps.push({
          step: step as StepId,
          at,
          text: channels.text.from(at.text, pullLimit),
          reasoning: channels.reasoning.from(at.reasoning, pullLimit),
          progress: channels.progress.from(at.progress, pullLimit)
        })
      }
    }
    return steps
  }
}
