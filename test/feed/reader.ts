/** What somebody who reads a feed makes of it: the text of each step, cut where the feed says so (I6). */
import type { FeedEvent } from "../../src/feed/index.ts"

export interface Text {
  readonly text: string
  readonly reasoning: string
  readonly progress: string
}

export const none: Text = { text: "", reasoning: "", progress: "" }

/** Takes one event into what was read so far. */
export const read = (texts: Map<string, Text>, event: FeedEvent): Map<string, Text> => {
  if (event._tag === "Entry") return texts
  const before = texts.get(event.step) ?? none
  texts.set(
    event.step,
    event._tag === "Delta"
      ? { ...before, [event.channel]: before[event.channel] + event.text }
      : {
          text: before.text.slice(0, event.text),
          reasoning: before.reasoning.slice(0, event.reasoning),
          progress: before.progress.slice(0, event.progress)
        }
  )
  return texts
}

export const texts = (events: Iterable<FeedEvent>): Map<string, Text> => {
  const texts = new Map<string, Text>()
  for (const event of events) read(texts, event)
  return texts
}
