/**
 * What property-based tests draw from: texts and JSON as hostile as the world's, commands, entries, and histories that
 * could have happened.
 */
import { Arbitrary, FastCheck as fc } from "effect"
import * as Entry from "../domain/Entry.ts"
import { AgentName, CommandId, StepId, TimerId } from "../domain/Id.ts"
import { Json, Text } from "../domain/Json.ts"
import type { Crash } from "./internal/CrashPoints.ts"
import { lazily } from "./internal/lazily.ts"

/** JSON has no negative zero: what draws one would not survive being written. */
const withoutNegativeZero = <A>(value: A): A => {
  if (typeof value === "number") return (Object.is(value, -0) ? 0 : value) as A
  if (Array.isArray(value)) return value.map(withoutNegativeZero) as A
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withoutNegativeZero(inner)])) as A
}

/** Text with NUL, lone surrogates, combining marks and what looks like a claim. */
export const text: fc.Arbitrary<string> = lazily(() =>
  fc.oneof(
    { weight: 9, arbitrary: Arbitrary.make(Text) },
    { weight: 1, arbitrary: fc.string().map((rest) => `\u0000perdure:claim:${rest}`) }
  )
)

/** Any JSON value, with such texts, and with keys that mean something to JavaScript. */
export const json: fc.Arbitrary<Json> = lazily(
  () =>
    fc.letrec<{ value: Json }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 3, withCrossShrink: true },
        Arbitrary.make(Json).map(withoutNegativeZero),
        text,
        fc.array(tie("value"), { maxLength: 4 }),
        fc
          .array(fc.tuple(fc.oneof(text, fc.constantFrom("__proto__", "constructor", "toJSON", "")), tie("value")), {
            maxLength: 4
          })
          .map((entries) => Object.fromEntries(entries))
      )
    })).value
)

/** Any message into a session. */
export const command: fc.Arbitrary<Entry.Command> = lazily(() => Arbitrary.make(Entry.Command).map(withoutNegativeZero))

/** Any entry, by itself. */
export const entry: fc.Arbitrary<Entry.Entry> = lazily(() => Arbitrary.make(Entry.Entry).map(withoutNegativeZero))

const failure = lazily(() => Arbitrary.make(Entry.StepFailed.fields.failure).map(withoutNegativeZero))

interface StepPlan {
  readonly kind: Entry.StepKind
  readonly repeatable: Entry.Repeatable
  readonly input: Json
  readonly output: Json
  readonly failures: ReadonlyArray<Entry.StepFailed["failure"]>
  readonly end: "succeeds" | "fails" | "in doubt" | "open"
  readonly progress: boolean
}

const stepPlan: fc.Arbitrary<StepPlan> = fc.record({
  kind: lazily(() => Arbitrary.make(Entry.StepKind)),
  repeatable: lazily(() => Arbitrary.make(Entry.Repeatable)),
  input: json,
  output: json,
  failures: fc.array(failure, { maxLength: 2 }),
  end: fc.constantFrom("succeeds", "succeeds", "succeeds", "fails", "in doubt", "open"),
  progress: fc.boolean()
})

const turnPlan = fc.record({
  command: command.filter((command) => command._tag === "Send"),
  steps: fc.array(stepPlan, { maxLength: 3 }),
  timer: fc.constantFrom("none", "fires", "is cleared")
})

const at = 1_700_000_000_000

const stepEntries = (step: StepId, turn: number, plan: StepPlan): ReadonlyArray<Entry.Entry> => {
  const { end, failures, input, kind, output, repeatable } = plan
  const entries: Array<Entry.Entry> = [
    { _tag: "StepIntended", step, turn, kind, name: `${kind} step`, input, repeatable }
  ]
  failures.forEach((failure, i) => {
    const attempt = i + 1
    entries.push({
      _tag: "AttemptFailed",
      step,
      attempt,
      startedAt: at,
      failure,
      retryAt: at + attempt,
      nextInput: "original"
    })
  })
  const attempt = failures.length + 1
  if (plan.progress) entries.push({ _tag: "StepProgress", step, attempt, partial: output })
  if (end === "succeeds") entries.push({ _tag: "StepSucceeded", step, attempt, startedAt: at, output })
  if (end === "fails") {
    const failure = { class: "ToolFailed", message: "it did not work" } as const
    entries.push({ _tag: "StepFailed", step, attempt, startedAt: at, failure })
  }
  if (end === "in doubt") entries.push({ _tag: "StepInDoubt", step, attempt })
  return entries
}

/**
 * A history that could have happened: created, then turns with their commands, steps and timers, whose ids are its own.
 * The last turn may be unfinished, the session ended.
 */
export const entries: fc.Arbitrary<ReadonlyArray<Entry.Entry>> = fc
  .record({ turns: fc.array(turnPlan, { maxLength: 3 }), finished: fc.boolean(), ended: fc.boolean() })
  .map(({ ended, finished, turns }) => {
    const history: Array<Entry.Entry> = [
      { _tag: "SessionCreated", agent: AgentName.make("arbitrary"), agentVersion: "1", attributes: {} }
    ]
    turns.forEach(({ command, steps, timer }, index) => {
      const turn = index + 1
      const id = CommandId.make(`command-${turn}`)
      const isLast = turn === turns.length
      history.push({ _tag: "CommandAccepted", id, command }, { _tag: "TurnStarted", turn, command: id })
      const alarm = TimerId.make(`timer-${turn}`)
      if (timer !== "none") history.push({ _tag: "TimerSet", timer: alarm, due: at + turn })
      steps.forEach((plan, n) => {
        // Only the last turn may leave a step without an outcome.
        const end = plan.end === "open" && !(isLast && !finished) ? "succeeds" : plan.end
        history.push(...stepEntries(StepId.make(`${turn}/${n + 1}`), turn, { ...plan, end }))
      })
      if (timer === "fires") history.push({ _tag: "TimerFired", timer: alarm })
      if (timer === "is cleared") history.push({ _tag: "TimerCleared", timer: alarm })
      if (!isLast || finished) {
        history.push({ _tag: "TurnEnded", turn, outcome: { _tag: "Completed", output: `turn ${turn}` } })
      }
    })
    if (ended && (finished || turns.length === 0)) {
      history.push({ _tag: "SessionEnded", outcome: { _tag: "Completed", output: null } })
    }
    return history
  })

/**
 * Crashes for `TestRunner.make`: one to four, at calls of the store up to the given number, and at points of the steps
 * that are named.
 */
export const crashes = (options: {
  readonly storeCalls: number
  readonly steps?: ReadonlyArray<string> | undefined
}): fc.Arbitrary<ReadonlyArray<Crash>> => {
  const storeCrash = fc.record({
    storeCall: fc.integer({ min: 1, max: options.storeCalls }),
    when: fc.constantFrom("before" as const, "after-commit" as const)
  })
  const steps = options.steps ?? []
  const stepCrash = fc.record({
    step: fc.constantFrom(...steps),
    point: fc.constantFrom("before-effect" as const, "after-effect-before-commit" as const, "after-commit" as const),
    occurrence: fc.integer({ min: 1, max: 3 })
  })
  const crash: fc.Arbitrary<Crash> = steps.length === 0 ? storeCrash : fc.oneof(storeCrash, stepCrash)
  return fc.array(crash, { minLength: 1, maxLength: 4 })
}
