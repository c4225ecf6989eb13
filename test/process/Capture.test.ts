/** The bounded memory of an output, without a process. */
import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Capture from "../../src/process/internal/capture.ts"

const concat = (chunks: ReadonlyArray<Uint8Array>) => new Uint8Array(Buffer.concat(chunks))

describe("captured output", () => {
  it("is the first half and the last half of the limit, however it came in chunks", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(FastCheck.uint8Array({ maxLength: 20 }), { maxLength: 20 }),
        FastCheck.integer({ min: 0, max: 60 }),
        (chunks, max) => {
          const capture = Capture.make(max)
          for (const chunk of chunks) capture.add(chunk)
          const all = concat(chunks)
          const { bytes, head, tail, truncated } = capture.result()
          expect(bytes).toBe(all.length)
          expect(truncated).toBe(all.length > max)
          if (!truncated) expect(concat([head, tail])).toEqual(all)
          else {
            expect(head).toEqual(all.slice(0, Math.ceil(max / 2)))
            expect(tail).toEqual(all.slice(all.length - Math.floor(max / 2)))
          }
        }
      ),
      { numRuns: 500 }
    )
  })

  it("reads as text without cut characters, and says how much is left out", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(FastCheck.constantFrom("a", "é", "€", "😀"), { maxLength: 30 }),
        FastCheck.integer({ min: 8, max: 40 }),
        (characters, max) => {
          const text = characters.join("")
          const capture = Capture.make(max)
          capture.add(new TextEncoder().encode(text))
          const result = capture.result()
          if (!result.truncated) {
            expect(result.text).toBe(text)
            return
          }
          const [, first, left, last] = /^(.*)\n… (\d+) bytes left out …\n(.*)$/.exec(result.text)!
          expect(text.startsWith(first!) && text.endsWith(last!)).toBe(true)
          expect(Buffer.byteLength(first! + last!) + Number(left)).toBe(result.bytes)
        }
      ),
      { numRuns: 500 }
    )
  })

  it("does not keep the buffers alive that it was fed", () => {
    const capture = Capture.make(16)
    const chunk = Uint8Array.of(1, 2, 3)
    capture.add(chunk)
    chunk.fill(9)
    expect([...capture.result().head]).toEqual([1, 2, 3])
  })
})
