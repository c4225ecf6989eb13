/** What a person sees of attempts that failed: why, what is next, by which rule, until when, and what it cost. */
import { describe, expect, it } from "@effect/vitest"
import * as Trace from "../../src/cli/Trace.ts"
import { lines } from "../../src/cli/internal/TraceView.ts"
import { style } from "../../src/cli/Output.ts"
import * as View from "../../src/cli/View.ts"
import type { Decided, Entry, Recorded } from "../../src/domain/Entry.ts"
import { AgentName, CommandId, Epoch, Seq, StepId } from "../../src/domain/Id.ts"

const at0 = Date.parse("2026-03-01T12:00:00Z")
const usage = {
  inputTokens: 100,
  outputTokens: 7,
  reasoningTokens: 0,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  usd: 0.5
}
const step = StepId.make("1")
const by = { policy: "patient", rule: "limits" }

const failed = (
  attempt: number,
  more: Partial<Extract<Entry, { _tag: "AttemptFailed" }>> & { decided: Decided }
): Entry => ({
  _tag: "AttemptFailed",
  step,
  attempt,
  startedAt: at0,
  failure: { class: "RateLimited", message: "the provider's rate limit is reached" },
  retryAt: at0 + 300_000,
  nextInput: "original",
  ...more
})

const journal = (...entries: ReadonlyArray<Entry>): ReadonlyArray<Recorded> =>
  [
    { _tag: "SessionCreated", agent: AgentName.make("a"), agentVersion: "1", attributes: {} } as const,
    { _tag: "TurnStarted", turn: 1, command: CommandId.make("m") } as const,
    { _tag: "StepIntended", step, turn: 1, kind: "model", name: "a", input: {}, repeatable: "readonly" } as const,
    ...entries
  ].map((entry, i) => ({ seq: Seq.make(i + 1), epoch: Epoch.make(1), at: at0, hash: "", entry }))

const cases: ReadonlyArray<readonly [string, Entry, ReadonlyArray<string>]> = [
  [
    "waits for its time, and has cost something",
    failed(1, { usage, decided: { plan: "retry", ...by, delayMs: 300_000 } }),
    ["RateLimited", "again in 5 m 00 s", "(patient: limits)"]
  ],
  [
    "asks another model",
    failed(1, { retryAt: at0, nextInput: "continue", decided: { plan: "fallback", ...by, model: "gpt" } }),
    ['asks "gpt" instead, going on from what came (patient: limits)']
  ],
  [
    "is told what was wrong",
    failed(1, { nextInput: "repaired", decided: { plan: "retry", ...by } }),
    ["told what was wrong"]
  ],
  [
    "waits for a human",
    failed(1, { decided: { plan: "ask", ...by, question: "Go on?" } }),
    ["waits for a decision: Go on? (patient: limits)"]
  ],
  [
    "has failed for good",
    {
      _tag: "StepFailed",
      step,
      attempt: 1,
      startedAt: at0,
      failure: { class: "Unauthorized", message: "no key" },
      decided: { plan: "fail", ...by }
    },
    ["Unauthorized: no key; not tried again (patient: limits)"]
  ]
]

describe("an attempt that failed is seen by whoever looks: it", () => {
  it.each(cases)("%s", (_, entry, told) => {
    const entries = journal(entry)
    const building = Trace.begin()
    for (const one of entries) Trace.push(building, one)
    const traced = lines("s", Trace.done(building), 200, style(false)).join("\n")
    const view = View.make({ terminal: false, style: style(false), width: 200 })
    const tailed = entries.map((recorded) => view.event({ _tag: "Entry", cursor: "" as never, recorded }).err).join("")
    for (const text of told) {
      expect(traced).toContain(text)
      expect(tailed).toContain(text)
    }
  })

  it("is due at a time, and its cost counts", () => {
    const building = Trace.begin()
    for (const one of journal(cases[0]![1])) Trace.push(building, one)
    const trace = Trace.done(building)
    const text = lines("s", trace, 200, style(false)).join("\n")
    expect(text).toContain("attempt 2  due 2026-03-01 12:05:00 UTC")
    expect(text).toContain("100 → 7 tokens  $0.50")
    expect(trace.usage).toEqual(usage)
    expect(trace.turns[0]!.usage).toEqual(usage)
    expect(trace.turns[0]!.steps[0]!.attempts[0]).toMatchObject({
      decided: { plan: "retry" },
      next: { input: "original", dueAt: at0 + 300_000 },
      usage
    })
  })
})
