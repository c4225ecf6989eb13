import { describe, expect, it } from "vitest"
import type { StepId } from "../../src/domain/Id.ts"
import { Cursor, Feed, type FeedEvent, Live } from "../../src/feed/index.ts"

const step = "4" as StepId

/** Reads to the end of what is there. */
const readAll = (live: Live, from: Cursor.Cursor = Cursor.start) => {
  const events: Array<FeedEvent> = []
  for (let cursor = from; ; ) {
    const page = Feed.advance(cursor, [], live.beyond(cursor.seen))
    if (page.events.length === 0) return { events, cursor }
    events.push(...page.events)
    // As it comes back from a reader.
    const decoded = Cursor.decode(page.events.at(-1)!.cursor)
    if (decoded._tag === "Left") throw decoded.left
    cursor = decoded.right
  }
}

const deltas = (events: ReadonlyArray<FeedEvent>) => events.flatMap((event) => (event._tag === "Delta" ? [event] : []))

/** Lines of a kilobyte that say their number. */
const lineOf = (i: number) => `${String(i).padStart(8, "0")} ${"x".repeat(1014)}\n`
const fill = (live: Live, from: number, to: number) => {
  for (let i = from; i < to; i++) live.push(step, "progress", lineOf(i))
}

describe("progress that never ends", () => {
  it("is kept to its last mebibyte, and whoever comes late is told how much is gone", () => {
    const live = new Live()
    const count = 20_000
    fill(live, 0, count)
    const { cursor, events } = readAll(live)
    const read = deltas(events)
    const text = read.map((delta) => delta.text).join("")
    expect(text.length).toBeLessThanOrEqual(1024 * 1024)
    expect(text.length).toBeGreaterThan(512 * 1024)
    expect(text.endsWith(lineOf(count - 1))).toBe(true)
    // Whole lines, and none missing but in front.
    const first = Number(text.slice(0, 8))
    expect(text).toBe(Array.from({ length: count - first }, (_, i) => lineOf(first + i)).join(""))
    expect(read.map(({ skipped }) => skipped)).toEqual([first * 1024, ...read.slice(1).map(() => undefined)])
    expect(cursor.seen[step]?.progress).toBe(count * 1024)
    expect(live.beyond(cursor.seen)).toEqual([])
  })

  it("is whole for a reader that keeps up, and no note tells it otherwise", () => {
    const live = new Live()
    let cursor = Cursor.start
    let text = ""
    for (let i = 0; i < 5000; i += 100) {
      fill(live, i, i + 100)
      const page = readAll(live, cursor)
      cursor = page.cursor
      for (const delta of deltas(page.events)) {
        expect(delta).not.toHaveProperty("skipped")
        text += delta.text
      }
    }
    expect(text).toBe(Array.from({ length: 5000 }, (_, i) => lineOf(i)).join(""))
  })

  it("goes on at the right place for a reader that fell behind in the middle", () => {
    const live = new Live()
    fill(live, 0, 10)
    const { cursor } = readAll(live)
    fill(live, 10, 5000)
    const [first] = deltas(readAll(live, cursor).events)
    expect(10 * 1024 + first!.skipped!).toBe(Number(first!.text.slice(0, 8)) * 1024)
  })

  it("is bounded also where it comes in very small or very large pieces", () => {
    const small = new Live()
    for (let i = 0; i < 200_000; i++) small.push(step, "progress", ".")
    const { events } = readAll(small)
    // What a piece costs beside its text counts.
    expect(deltas(events).reduce((sum, { text }) => sum + text.length, 0)).toBeLessThan(20_000)
    expect(deltas(events)[0]!.skipped! + deltas(events).reduce((sum, { text }) => sum + text.length, 0)).toBe(200_000)
    const large = new Live()
    large.push(step, "progress", `${"a".repeat(3_000_000)}z`)
    const [one] = large.beyond({})
    expect(one!.progress.length).toBe(1024 * 1024)
    expect(one!.progress.endsWith("z")).toBe(true)
    expect(one!.skipped! + one!.progress.length).toBe(3_000_001)
  })

  it("does not take anything from the text of an answer", () => {
    const live = new Live()
    for (let i = 0; i < 3000; i++) live.push(step, "text", lineOf(i))
    const text = deltas(readAll(live).events).map((delta) => delta.text)
    expect(text.join("")).toBe(Array.from({ length: 3000 }, (_, i) => lineOf(i)).join(""))
  })

  it("begins anew with a next attempt", () => {
    const live = new Live()
    fill(live, 0, 5000)
    live.goOn(step)
    live.push(step, "progress", "again\n")
    expect(live.beyond({})).toMatchObject([{ progress: "again\n" }])
    expect(live.beyond({})[0]).not.toHaveProperty("skipped")
  })
})
