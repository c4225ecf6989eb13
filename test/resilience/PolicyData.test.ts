/** Policies as values: encoded, compared, composed; and what holds of any of them. */
import { describe, expect, it } from "@effect/vitest"
import { Arbitrary, Effect, FastCheck, Schedule, Schema } from "effect"
import { FailureClass } from "../../src/domain/Failure.ts"
import * as Delay from "../../src/resilience/Delay.ts"
import { Policy } from "../../src/resilience/index.ts"

const encode = Schema.encodeSync(Schema.parseJson(Policy.Policy))
const decode = Schema.decodeSync(Schema.parseJson(Policy.Policy))
const overloaded = { class: "Overloaded", message: "" } as const

const attempted = Arbitrary.make(
  Schema.Struct({
    kind: Schema.Literal("model", "tool"),
    repeatable: Schema.Literal("readonly", "idempotent", "never"),
    class: FailureClass,
    reached: Schema.Literal("nothing", "request", "partial"),
    retryAfterMs: Schema.UndefinedOr(Schema.NonNegative.pipe(Schema.finite())),
    attempt: Schema.Int.pipe(Schema.between(1, 2_000)),
    hasPartial: Schema.Boolean,
    random: Schema.Finite.pipe(Schema.between(0, 0.999999))
  })
).map(
  ({ class: failureClass, reached, retryAfterMs, ...rest }): Policy.Attempted => ({
    ...rest,
    name: "it",
    failure: { class: failureClass, message: "", reached, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
  })
)
const policies = Arbitrary.make(Policy.Policy)
const fallbacks = ["b", "c", "d"]

describe("a policy", () => {
  it.prop("is what it was after it was written down", [policies], ([policy]) => {
    expect(decode(encode(policy))).toEqual(policy)
  })

  it("by default is data, too", () => {
    for (const policy of [Policy.modelDefault, Policy.toolDefault]) expect(decode(encode(policy))).toEqual(policy)
  })

  it.prop(
    "decides anything, the same each time, and never what may do harm (I5)",
    [policies, attempted],
    ([policy, it]) => {
      const decision = Policy.decide(policy, it, { fallbacks })
      expect(Policy.decide(decode(encode(policy)), it, { fallbacks })).toEqual(decision)
      if (decision._tag === "Retry") {
        expect(Number.isFinite(decision.delayMs) && decision.delayMs >= 0).toBe(true)
        expect(it.attempt).toBeLessThan(1_000)
      }
      const mayHarm = it.repeatable === "never" && it.failure.reached !== "nothing"
      if (mayHarm) expect(["Fail", "Compact", "Fallback"]).toContain(decision._tag)
      if (it.kind === "tool") expect(["Retry", "Ask", "Fail"]).toContain(decision._tag)
    }
  )

  it.prop(
    "comes to an end, whatever fails in whatever order",
    [policies, FastCheck.infiniteStream(attempted)],
    ([policy, all]) => {
      let model: string | undefined
      let tried = 0
      let asked = 0
      for (const it of all) {
        const decision = Policy.decide(policy, { ...it, kind: "model", tried: ++tried, model }, { fallbacks })
        // What a human is asked is a human's to end.
        if (decision._tag === "Fail" || decision._tag === "Compact" || decision._tag === "Ask") return
        if (decision._tag === "Fallback") {
          model = decision.model
          tried = 0
        }
        expect(++asked).toBeLessThanOrEqual(4 * 1_000)
      }
    }
  )

  it("of one's own comes before the one that it is made from, and the journal tells both apart", () => {
    const mine = Policy.make("mine", [Policy.rule("Overloaded", Policy.fail)], { otherwise: Policy.modelDefault })
    const of = (failureClass: FailureClass) =>
      Policy.decide(mine, {
        kind: "model",
        name: "it",
        repeatable: "readonly",
        failure: { class: failureClass, message: "" },
        attempt: 1,
        hasPartial: false,
        random: 0
      })
    expect(of("Overloaded")).toEqual({ _tag: "Fail", policy: "mine", rule: "Overloaded" })
    expect(of("TimedOut")).toMatchObject({ _tag: "Retry", rule: "modelDefault/Overloaded|Unreachable|TimedOut" })
    expect(of("Defect")).toEqual({ _tag: "Fail", policy: "mine", rule: "none" })
    expect(Policy.problems(mine, { kind: "model" })).toEqual([])
  })

  it("by default has nothing wrong with it", () => {
    expect(Policy.problems(Policy.modelDefault, { kind: "model" })).toEqual([])
    expect(Policy.problems(Policy.toolDefault, { kind: "tool" })).toEqual([])
  })
})

describe("a delay", () => {
  const waits = (delay: Delay.Delay, given?: Delay.Schedules) =>
    [1, 2, 3, 4, 5, 6].map((n) => Delay.after(delay, n, overloaded, 0.5, given))
  it.each([
    [Delay.none, [0, 0, 0, 0, 0, 0]],
    [Delay.fixed("2 seconds"), [2_000, 2_000, 2_000, 2_000, 2_000, 2_000]],
    [Delay.exponential(100, { max: 1_000 }), [100, 200, 400, 800, 1_000, 1_000]],
    [Delay.exponential(100, { factor: 3, max: "1 hour" }), [100, 300, 900, 2_700, 8_100, 24_300]],
    [Delay.fibonacci(100, { max: 450 }), [100, 100, 200, 300, 450, 450]],
    [Delay.steps(0, 5, "1 second"), [0, 5, 1_000, 1_000, 1_000, 1_000]],
    [Delay.named("nobody"), [null, null, null, null, null, null]]
  ] as const)("%j waits %j", (delay, expected) => {
    expect(waits(delay)).toEqual(expected)
    expect(Delay.print(delay)).not.toBe("")
  })

  it("may be a schedule of one's own, that ends, looks at the failure, and draws the same each time", () => {
    const given: Delay.Schedules = {
      twice: Schedule.recurs(2).pipe(Schedule.addDelay(() => "1 second")),
      picky: Schedule.spaced(10).pipe(Schedule.whileInput((failure) => failure.class === "RateLimited")),
      drawn: Schedule.spaced(1_000).pipe(Schedule.jittered)
    }
    expect(waits(Delay.named("twice"), given)).toEqual([1_000, 1_000, null, null, null, null])
    expect(waits(Delay.named("picky"), given)).toEqual([null, null, null, null, null, null])
    expect(waits(Delay.named("drawn"), given)).toEqual(waits(Delay.named("drawn"), given))
    expect(new Set(waits(Delay.named("drawn"), given)).size).toBeGreaterThan(1)
  })

  it("that would sleep, fail or throw is none", () => {
    const given: Delay.Schedules = {
      sleeps: Schedule.forever.pipe(Schedule.tapOutput(() => Effect.sleep(1))),
      throws: Schedule.forever.pipe(
        Schedule.map(() => {
          throw new Error("no")
        })
      )
    }
    for (const name of ["sleeps", "throws"])
      expect(Delay.after(Delay.named(name), 1, overloaded, 0.5, given)).toBeNull()
  })

  it("far along is as long as it may be, and a number", () => {
    expect(Delay.after(Delay.exponential(1, { factor: 10, max: "1 minute" }), 999, overloaded, 0.5)).toBe(60_000)
  })
})
