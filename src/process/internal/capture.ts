/** Keeps the beginning and the end of an output of any length in a fixed amount of memory. */
import type { Captured } from "../Spawn.ts"

export interface Capture {
  readonly add: (chunk: Uint8Array) => void
  readonly result: () => Captured
}

const decoder = new TextDecoder()

/** How many of the first bytes belong to a character that began before. */
const strayBytes = (bytes: Uint8Array): number => {
  let n = 0
  while (n < 3 && n < bytes.length && (bytes[n]! & 0xc0) === 0x80) n++
  return n
}

/** The length without a character that the end cuts through. */
const wholeLength = (bytes: Uint8Array): number => {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!
    if ((byte & 0xc0) === 0x80) continue
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return needs > back ? bytes.length - back : bytes.length
  }
  return bytes.length
}

export const make = (maxBytes: number): Capture => {
  const headMax = Math.ceil(maxBytes / 2)
  const tailMax = Math.max(0, Math.floor(maxBytes) - headMax)
  // Chunks are copied: a slice would keep the whole buffer alive that it was read into.
  const head = { bytes: new Uint8Array(Math.min(headMax, 4096)), length: 0 }
  let ring: Uint8Array | undefined
  let bytes = 0

  const addToHead = (chunk: Uint8Array): Uint8Array => {
    const part = chunk.subarray(0, headMax - head.length)
    if (head.length + part.length > head.bytes.length) {
      const grown = new Uint8Array(Math.min(headMax, Math.max(head.bytes.length * 2, head.length + part.length)))
      grown.set(head.bytes.subarray(0, head.length))
      head.bytes = grown
    }
    head.bytes.set(part, head.length)
    head.length += part.length
    return chunk.subarray(part.length)
  }

  const addToTail = (chunk: Uint8Array, offset: number) => {
    ring ??= new Uint8Array(tailMax)
    const part = chunk.subarray(Math.max(0, chunk.length - tailMax))
    const at = (offset + chunk.length - part.length) % tailMax
    const first = part.subarray(0, tailMax - at)
    ring.set(first, at)
    ring.set(part.subarray(first.length), 0)
  }

  return {
    add: (chunk) => {
      const rest = head.length < headMax ? addToHead(chunk) : chunk
      if (rest.length > 0 && tailMax > 0) addToTail(rest, bytes + chunk.length - rest.length - head.length)
      bytes += chunk.length
    },
    result: () => {
      const first = head.bytes.slice(0, head.length)
      const after = bytes - head.length
      const tail = new Uint8Array(Math.min(after, tailMax))
      if (ring !== undefined) {
        const end = after % tailMax
        if (after <= tailMax) tail.set(ring.subarray(0, after))
        else {
          tail.set(ring.subarray(end), 0)
          tail.set(ring.subarray(0, end), tailMax - end)
        }
      }
      const truncated = after > tailMax
      return {
        head: first,
        tail,
        bytes,
        truncated,
        get text() {
          if (!truncated) {
            const whole = new Uint8Array(first.length + tail.length)
            whole.set(first)
            whole.set(tail, first.length)
            return decoder.decode(whole)
          }
          const start = first.subarray(0, wholeLength(first))
          const end = tail.subarray(strayBytes(tail))
          const left = bytes - start.length - end.length
          return `${decoder.decode(start)}\n… ${left} bytes left out …\n${decoder.decode(end)}`
        }
      }
    }
  }
}
