/**
 * Text as bytes, losslessly: WTF-8 (https://simonsapin.github.io/wtf-8/), which is UTF-8 wherever the text can be said
 * in UTF-8, and writes a lone surrogate as the three bytes that UTF-8 would have for its code point.
 */
import { isUtf8 } from "node:buffer"

const isHigh = (code: number): boolean => code >= 0xd800 && code <= 0xdbff
const isLow = (code: number): boolean => code >= 0xdc00 && code <= 0xdfff

/** The greatest place at or before `at` that does not divide a surrogate pair. */
export const cut = (text: string, at: number): number =>
  at > 0 && at < text.length && isHigh(text.charCodeAt(at - 1)) && isLow(text.charCodeAt(at)) ? at - 1 : at

// Any string has it from Node 20 on; the library's types are older.
const isWellFormed = (text: string): boolean => (text as string & { isWellFormed(): boolean }).isWellFormed()

const encodeIllFormed = (text: string): Uint8Array => {
  const parts: Array<Uint8Array> = []
  let from = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (isHigh(code) && i + 1 < text.length && isLow(text.charCodeAt(i + 1))) i++
    else if (isHigh(code) || isLow(code)) {
      if (i > from) parts.push(Buffer.from(text.slice(from, i), "utf8"))
      parts.push(Uint8Array.of(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)))
      from = i + 1
    }
  }
  if (from < text.length) parts.push(Buffer.from(text.slice(from), "utf8"))
  return Buffer.concat(parts)
}

export const encode = (text: string): Uint8Array =>
  isWellFormed(text) ? Buffer.from(text, "utf8") : encodeIllFormed(text)

/** How many bytes at the end belong to a character that goes on in the next piece. */
const incomplete = (bytes: Uint8Array): number => {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!
    if (byte < 0x80) return 0
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return length > back ? back : 0
    }
  }
  return 0
}

/** Decodes bytes that are all here. What is neither UTF-8 nor a surrogate becomes U+FFFD. */
export const decode = (bytes: Buffer): string => {
  if (isUtf8(bytes)) return bytes.toString("utf8")
  let text = ""
  let from = 0
  for (let i = bytes.indexOf(0xed); i >= 0; i = bytes.indexOf(0xed, i + 1)) {
    const second = bytes[i + 1] ?? 0
    const third = bytes[i + 2] ?? 0
    if (second < 0xa0 || second > 0xbf || third < 0x80 || third > 0xbf) continue
    text += bytes.toString("utf8", from, i)
    text += String.fromCharCode(0xd000 | ((second & 0x3f) << 6) | (third & 0x3f))
    from = i + 3
  }
  return text + bytes.toString("utf8", from)
}

/** Decodes bytes that come in pieces, wherever they are cut. */
export class Decoder {
  #rest: Uint8Array = new Uint8Array(0)

  write(piece: Uint8Array): string {
    const bytes =
      this.#rest.length === 0
        ? Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
        : Buffer.concat([this.#rest, piece])
    const whole = bytes.length - incomplete(bytes)
    this.#rest = Uint8Array.prototype.slice.call(bytes, whole)
    return decode(bytes.subarray(0, whole))
  }

  end(): string {
    const rest = Buffer.from(this.#rest)
    this.#rest = new Uint8Array(0)
    return decode(rest)
  }
}
