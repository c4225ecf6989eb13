/**
 * A reader's place in a feed: the last entry it has seen, and how much live text of the steps that were open there.
 *
 * It is all that a reader has to keep. It is text, and means the same on every runner.
 */
import { Either, Schema } from "effect"

/** The channels of live text of a step. */
export const Channel = Schema.Literal("text", "reasoning", "progress")
export type Channel = typeof Channel.Type

const Length = Schema.NonNegativeInt

/** How many UTF-16 units of each channel a reader has seen. */
export const Seen = Schema.Struct({ text: Length, reasoning: Length, progress: Length })
export type Seen = typeof Seen.Type

export const nothing: Seen = { text: 0, reasoning: 0, progress: 0 }

export const Cursor = Schema.Struct({
  seq: Schema.NonNegativeInt,
  /** By step id; only steps of which something was seen and whose end was not. */
  seen: Schema.Record({ key: Schema.String, value: Seen })
})
export type Cursor = typeof Cursor.Type

export const start: Cursor = { seq: 0, seen: {} }

/** `17`, or `17~4:120.0.0` when 120 units of text of step 4 were seen after entry 17. */
export const encode = (cursor: Cursor): string =>
  [
    String(cursor.seq),
    ...Object.entries(cursor.seen).map(
      ([step, seen]) => `${encodeURIComponent(step)}:${seen.text}.${seen.reasoning}.${seen.progress}`
    )
  ].join("~")

/** A cursor that no feed gave. */
export class InvalidCursor extends Schema.TaggedError<InvalidCursor>()("InvalidCursor", { cursor: Schema.String }) {
  override get message() {
    return `${JSON.stringify(this.cursor.slice(0, 80))} is not a cursor: use one that a feed gave, or none to read from the start`
  }
}

export const decode = (text: string): Either.Either<Cursor, InvalidCursor> => {
  // Made where it is needed: an error takes longer than all of the reading.
  const invalid = () => Either.left(new InvalidCursor({ cursor: text }))
  const [seq, ...steps] = text.split("~")
  if (!/^\d{1,15}$/.test(seq!)) return invalid()
  const seen: Record<string, Seen> = {}
  for (const step of steps) {
    const match = /^([^:]+):(\d{1,15})\.(\d{1,15})\.(\d{1,15})$/.exec(step)
    if (match === null) return invalid()
    try {
      seen[decodeURIComponent(match[1]!)] = {
        text: Number(match[2]),
        reasoning: Number(match[3]),
        progress: Number(match[4])
      }
    } catch {
      return invalid()
    }
  }
  return Either.right({ seq: Number(seq), seen })
}
