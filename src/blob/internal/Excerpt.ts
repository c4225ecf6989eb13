/** The begin and the end of a content, which its claim carries. */
import { previewChars } from "../../domain/Claim.ts"
import * as Wtf8 from "./Wtf8.ts"

export interface Excerpt {
  readonly head: string
  readonly tail: string
}

/** At most the first `chars` units, cut at a code point. */
export const first = (text: string, chars: number): string =>
  text.slice(0, Wtf8.cut(text, Math.min(text.length, Math.max(0, chars))))

/** At most the last `chars` units, cut at a code point. */
export const last = (text: string, chars: number): string => {
  const from = Math.max(0, text.length - Math.max(0, chars))
  return text.slice(Wtf8.cut(text, from) === from ? from : from + 1)
}

/** Of a text that is here. Together they are all of it where it is short. */
export const of = (text: string): Excerpt => {
  const head = first(text, previewChars)
  return { head, tail: last(text, Math.min(previewChars, text.length - head.length)) }
}

/** Of a text that comes in pieces. */
export class Tracker {
  #chars = 0
  #head = ""
  #tail = ""

  add(piece: string): void {
    this.#chars += piece.length
    if (this.#head.length < previewChars) this.#head += piece.slice(0, previewChars - this.#head.length)
    // Twice as much as is shown: all of a text whose head and tail would overlap.
    this.#tail = (this.#tail + piece.slice(-2 * previewChars)).slice(-2 * previewChars)
  }

  done(): Excerpt & { readonly chars: number } {
    const chars = this.#chars
    if (chars <= 2 * previewChars) return { chars, ...of(this.#tail) }
    // A high surrogate at the end of the head has its other half beyond it.
    const whole = /[\ud800-\udbff]$/.test(this.#head) ? this.#head.slice(0, -1) : this.#head
    return { chars, head: whole, tail: last(this.#tail, previewChars) }
  }
}
