/** What a person sees in a trace and while a turn runs, of things that are easily overlooked. */
import { describe, expect, it } from "@effect/vitest"
import * as Waiting from "../../src/cli/internal/Waiting.ts"
import { lines } from "../../src/cli/internal/TraceView.ts"
import { style } from "../../src/cli/Output.ts"
import * as Trace from "../../src/cli/Trace.ts"
import * as View from "../../src/cli/View.ts"
import type { Entry, Recorded } from "../../src/domain/Entry.ts"
import { AgentName, CommandId, Epoch, Seq, StepId } from "../../src/domain/Id.ts"

const at0 = Date.parse("2026-03-01T12:00:00Z")
const step = StepId.make("1")

const journal = (kind: "model" | "tool", ...entries: ReadonlyArray<Entry>): ReadonlyArray<Recorded> =>
  [
    { _tag: "SessionCreated", agent: AgentName.make("a"), agentVersion: "1", attributes: {} } as const,
    { _tag: "TurnStarted", turn: 1, command: CommandId.make("m") } as const,
    { _tag: "StepIntended", step, turn: 1, kind, name: "a", input: {}, repeatable: "readonly" } as const,
    ...entries
  ].map((entry, i) => ({ seq: Seq.make(i + 1), epoch: Epoch.make(1), at: at0, hash: "", entry }))

const trace = (entries: ReadonlyArray<Recorded>): Trace.Trace => {
  const building = Trace.begin()
  for (const one of entries) Trace.push(building, one)
  return Trace.done(building)
}

const traced = (entries: ReadonlyArray<Recorded>): string => lines("s", trace(entries), 200, style(false)).join("\n")

const view = () => View.make({ terminal: false, style: style(false), width: 200 })

const tailed = (entries: ReadonlyArray<Recorded>): string => {
  const one = view()
  return entries.map((recorded) => one.event({ _tag: "Entry", cursor: "", recorded }).err).join("")
}

describe("an answer that was cut off", () => {
  const answered = (finish: string, kind: "model" | "tool" = "model"): ReadonlyArray<Recorded> =>
    journal(
      kind,
      { _tag: "StepSucceeded", step, attempt: 1, startedAt: at0, output: { parts: [], finish } },
      {
        _tag: "TurnEnded",
        turn: 1,
        outcome: { _tag: "Completed", output: "Once", ...(finish === "length" ? { cut: "length" } : {}) }
      }
    )

  it("is seen at its step, at its turn, and as data", () => {
    const text = traced(answered("length"))
    expect(text).toMatch(/turn 1 .*completed, but cut off/)
    expect(text).toMatch(/ {2}model .*cut off by the model's limit of output/)
    expect(tailed(answered("length"))).toContain("turn 1 completed, but cut off by the model's limit of output")
    expect(trace(answered("length")).turns[0]).toMatchObject({ outcome: { cut: "length" }, steps: [{ cut: "length" }] })
  })

  it("is not where it was whole, nor where a tool says the word", () => {
    for (const entries of [answered("stop"), answered("length", "tool").slice(0, -1)]) {
      expect(traced(entries)).not.toContain("cut off")
      expect(trace(entries).turns[0]!.steps[0]).not.toHaveProperty("cut")
    }
    expect(tailed(answered("stop"))).not.toContain("cut off")
  })
})

describe("a call that waits", () => {
  const provider = { lane: "l", model: "gpt", reason: "blocked", until: at0 + 60_000 } as const
  const waits = { pool: "model", kind: "model", name: "a", step, attempt: 2, lacks: "slot", since: at0 } as const

  it("says for what, and until when where that is known", () => {
    expect(Waiting.words({ ...waits, provider })).toBe(
      'waits for the model "gpt": its provider wants nothing to be sent until 2026-03-01 12:01:00 UTC'
    )
    expect(Waiting.words({ ...waits, provider: null, pool: "heavy" })).toBe('waits for a slot of the pool "heavy"')
    expect(Waiting.words({ ...waits, provider: null, pool: "tools@gpu", lacks: "runner" })).toBe(
      'waits for a runner of "tools@gpu": there is none'
    )
  })

  it("is told when it has waited for a while, once, and again when it is put off", () => {
    const news = Waiting.telling()
    const until = (ms: number) => ({ ...waits, provider: { ...provider, until: at0 + ms } })
    const told = [60_000, 60_001, 59_990, 60_000, 61_000, 90_000, 90_000].map(
      (ms) => news([until(ms), until(ms)]).length
    )
    expect(told).toEqual([0, 0, 1, 0, 0, 1, 0])
    news([])
    expect([1, 2, 3].map(() => news([until(60_000)]).length)).toEqual([0, 0, 1])
  })
})

describe("a step that is held", () => {
  const asks: Entry = {
    _tag: "AttemptFailed",
    step,
    attempt: 1,
    startedAt: at0,
    failure: { class: "RunnerLost", message: "m" },
    retryAt: at0,
    nextInput: "original",
    decided: { plan: "ask", policy: "doubt", rule: "ask", question: "What became of it?" }
  }
  const paused = (kind: string): Entry => ({ _tag: "Paused", pause: "p1", kind, detail: {}, held: step })

  it("is not due: it waits for somebody, until that is over", () => {
    const doubt = journal("tool", asks, paused("doubt"))
    expect(traced(doubt)).toContain("attempt 2  waits for somebody: perdure settle s 1 …")
    expect(traced(doubt)).not.toContain("due")
    expect(traced(journal("tool", asks, paused("failure")))).toContain("waits for somebody: perdure decide s p1 …")
    expect(trace(doubt).turns[0]!.steps[0]).toMatchObject({ held: { pause: "p1", kind: "doubt" } })
    const again = journal("tool", asks, paused("doubt"), { _tag: "Resumed", pause: "p1", decision: "proceed" })
    expect(traced(again)).toContain("attempt 2  due")
    expect(trace(again).turns[0]!.steps[0]).not.toHaveProperty("held")
  })
})

describe("progress that came too fast", () => {
  it("has a line that says how much is missing, between what came before and after", () => {
    const one = view()
    const delta = { _tag: "Delta", cursor: "", step, channel: "progress" } as const
    one.event({ ...delta, text: "first\nsec" })
    const { err } = one.event({ ...delta, text: "last\n", skipped: 5000 })
    expect(err.split("\n").map((line) => line.trim())).toEqual(["│ sec", "│ … (5000 characters)", "│ last", ""])
  })
})
