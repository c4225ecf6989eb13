import { describe, expect, it } from "@effect/vitest"
import { FailureClass } from "../../src/domain/Failure.ts"
import { Policy } from "../../src/resilience/index.ts"

const attempted = (
  it: Partial<Policy.Attempted> & { class: FailureClass; retryAfterMs?: number }
): Policy.Attempted => ({
  kind: "model",
  name: "it",
  repeatable: "readonly",
  attempt: 1,
  hasPartial: false,
  random: 0,
  ...it,
  failure: {
    class: it.class,
    message: "",
    ...(it.retryAfterMs === undefined ? {} : { retryAfterMs: it.retryAfterMs })
  }
})

const retry = (delayMs: number, nextInput: string) => ({ _tag: "Retry", delayMs, nextInput })
const fail = { _tag: "Fail" }
const compact = { _tag: "Compact" }
const ask = { _tag: "Ask" }

const ofModel = (given: Policy.Attempted, fallbacks: ReadonlyArray<string> = []) =>
  Policy.decide(Policy.modelDefault, given, { fallbacks })
const ofTool = (given: Policy.Attempted) => Policy.decide(Policy.toolDefault, given)

describe("a failed model call", () => {
  it.each([
    // a rate limit obeys the provider, and spreads out
    [{ class: "RateLimited", retryAfterMs: 7_000 }, retry(7_000, "original")],
    [{ class: "RateLimited", retryAfterMs: 7_000, random: 0.5 }, retry(7_350, "original")],
    [{ class: "RateLimited", retryAfterMs: 0, random: 0.5 }, retry(125, "original")],
    [{ class: "RateLimited" }, retry(1_000, "original")],
    [{ class: "RateLimited", attempt: 3, random: 0.5 }, retry(6_000, "original")],
    [{ class: "RateLimited", attempt: 12 }, fail],
    [{ class: "RateLimited", attempt: 12, retryAfterMs: 1 }, fail],
    // trouble backs off
    [{ class: "Overloaded" }, retry(250, "original")],
    [{ class: "Overloaded", attempt: 2 }, retry(500, "original")],
    [{ class: "Overloaded", attempt: 9, random: 0.999 }, retry(29_985, "original")],
    [{ class: "Overloaded", retryAfterMs: 9_000 }, retry(9_000, "original")],
    [{ class: "Overloaded", hasPartial: true }, retry(250, "continue")],
    [{ class: "Unreachable", attempt: 10 }, fail],
    [{ class: "TimedOut", hasPartial: true }, retry(250, "continue")],
    // a cut answer is continued at once, then soon
    [{ class: "Interrupted", hasPartial: true, random: 0.9 }, retry(0, "continue")],
    [{ class: "Interrupted" }, retry(0, "original")],
    [{ class: "Interrupted", attempt: 2, hasPartial: true }, retry(250, "continue")],
    [{ class: "Interrupted", attempt: 8, hasPartial: true }, fail],
    [{ class: "RunnerLost" }, retry(0, "original")],
    [{ class: "RunnerLost", hasPartial: true }, retry(0, "continue")],
    [{ class: "RunnerLost", attempt: 10 }, ask],
    // a conversation that is too long is made shorter
    [{ class: "ContextOverflow" }, compact],
    // what came whole and cannot be used is asked for again, and the model is told why
    [{ class: "MalformedToolCall" }, retry(0, "repaired")],
    [{ class: "MalformedToolCall", attempt: 3 }, fail],
    // what cannot pass does not
    ...(["Refused", "InvalidRequest", "Unauthorized", "ToolFailed", "Stopped", "BlobMissing", "Defect"] as const).map(
      (it) => [{ class: it }, fail] as const
    )
  ] as const)("%j → %j", (given, expected) => {
    expect(ofModel(attempted(given))).toMatchObject(expected)
  })
})

describe("a failed tool call (I5)", () => {
  const tool = { kind: "tool" } as const
  it.each(FailureClass.literals)("that may have had an effect is never repeated: %s", (it) => {
    expect(ofTool(attempted({ ...tool, repeatable: "never", class: it }))).toMatchObject(fail)
  })
  for (const repeatable of ["readonly", "idempotent"] as const) {
    it.each([
      [{ class: "RunnerLost" }, retry(0, "original")],
      [{ class: "Unreachable" }, retry(250, "original")],
      [{ class: "TimedOut", attempt: 3, random: 0.5 }, retry(1_500, "original")],
      [{ class: "TimedOut", attempt: 4 }, fail],
      [{ class: "RunnerLost", attempt: 9, hasPartial: true }, retry(0, "continue")],
      [{ class: "RunnerLost", attempt: 10 }, ask],
      [{ class: "ToolFailed" }, fail],
      [{ class: "Stopped" }, fail],
      [{ class: "Defect" }, fail]
    ] as const)(`that is ${repeatable}: %j → %j`, (given, expected) => {
      expect(ofTool(attempted({ ...tool, repeatable, ...given }))).toMatchObject(expected)
    })
  }
})

it("every policy gives up, and never waits a negative or a broken time", () => {
  for (const policy of [Policy.modelDefault, Policy.toolDefault]) {
    for (const failure of FailureClass.literals) {
      for (const random of [0, 0.5, 0.999_999]) {
        for (let attempt = 1; attempt <= 100; attempt++) {
          const decision = Policy.decide(policy, attempted({ class: failure, attempt, random }))
          if (attempt >= 20) expect(["Fail", "Compact", "Ask"]).toContain(decision._tag)
          if (decision._tag === "Retry") {
            expect(Number.isInteger(decision.delayMs)).toBe(true)
            expect(decision.delayMs).toBeGreaterThanOrEqual(0)
            expect(decision.delayMs).toBeLessThanOrEqual(60_000)
          }
        }
      }
    }
  }
})
