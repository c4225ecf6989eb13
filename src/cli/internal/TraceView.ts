/** A trace as lines for people. Pure. */
import { parse } from "../../domain/Claim.ts"
import type { Usage } from "../../domain/Usage.ts"
import type { Style } from "../Output.ts"
import type { Attempt, Step, Trace, Turn } from "../Trace.ts"
import { duration, instant, line, money } from "./Format.ts"
import { end, next } from "./Next.ts"

const tokens = (usage: Usage): string => `${usage.inputTokens} → ${usage.outputTokens} tokens`

const messageOf = (text: string, width: number): string => line(parse(text)?.head ?? text, width)

const turnOutcome = (turn: Turn, style: Style): string => {
  const { outcome } = turn
  if (outcome === null) {
    const ends = turn.marks.filter(({ what }) => what === "resumed").length
    return style.yellow(turn.marks.filter(({ what }) => what === "paused").length > ends ? "paused" : "running")
  }
  switch (outcome._tag) {
    case "Completed":
      return outcome.cut === undefined ? style.green("completed") : style.yellow("completed, but cut off")
    case "Interrupted":
      return style.yellow(`interrupted${outcome.reason === undefined ? "" : `: ${line(outcome.reason, 60)}`}`)
    case "LimitReached":
      return style.red(
        `${outcome.scope === undefined || outcome.scope === "turn" ? "" : `${outcome.scope}'s `}limit of ${outcome.limit} reached: ${outcome.used} of ${outcome.allowed}`
      )
    case "Looped":
      return style.red(`looped (${outcome.loop}) for ${outcome.rounds} answers`)
    case "Failed":
      return style.red(`failed: ${outcome.failure.class}`)
  }
}

const stepOutcome = (step: Step, style: Style): string => {
  switch (step.outcome) {
    case "succeeded":
      return style.green("ok")
    case "failed":
      return style.red("failed")
    case "in doubt":
      return style.yellow("in doubt")
    case "open":
      return style.yellow("open")
  }
}

const attemptLine = (attempt: Attempt, width: number, style: Style): string => {
  const took = attempt.endedAt === null ? "" : duration(attempt.endedAt - attempt.startedAt)
  const why =
    attempt.reconciled !== undefined
      ? `asked what became of it: ${attempt.reconciled}`
      : attempt.failure !== null
        ? `${attempt.failure.class}: ${line(attempt.failure.message, width)}`
        : attempt.outcome === "in doubt"
          ? "its runner died; it may have had its effect and was not repeated"
          : attempt.outcome
  const { decided, endedAt, next: then, usage } = attempt
  const follows =
    attempt.reconciled !== undefined
      ? ""
      : then === undefined
        ? end(decided)
        : next({ decided, nextInput: then.input, retryAt: then.dueAt }, endedAt ?? then.dueAt)
  const cost = usage === undefined ? "" : `  ${tokens(usage)}  ${money(usage.usd)}`
  return style.dim(
    `       attempt ${attempt.attempt}  ${took.padStart(8)}  ${why}${follows === "" ? "" : `; ${follows}`}${cost}`
  )
}

/** When another attempt begins, or who is to say whether one does. */
const nextLines = (session: string, step: Step): ReadonlyArray<string> => {
  const last = step.attempts.at(-1)
  if (step.outcome !== "open" || last?.next === undefined) return []
  const next = `       attempt ${last.attempt + 1}  `
  if (step.held === undefined) return [`${next}due ${instant(last.next.dueAt)} UTC`]
  const { kind, pause } = step.held
  const how = kind === "doubt" ? `settle ${session} ${step.step}` : `decide ${session} ${pause}`
  return [`${next}waits for somebody: perdure ${how} …`]
}

const stepLines = (session: string, step: Step, names: number, width: number, style: Style): ReadonlyArray<string> => {
  const outcome = stepOutcome(step, style)
  const plain = { succeeded: 2, failed: 6, "in doubt": 8, open: 4 }[step.outcome]
  const first = [
    `  ${step.step.padStart(4)}  ${step.kind.padEnd(6)}  ${line(step.name, names).padEnd(names)}`,
    `${outcome}${" ".repeat(Math.max(0, 8 - plain))}`,
    (step.durationMs === null ? "" : duration(step.durationMs)).padStart(8),
    step.usage === null ? "" : style.dim(`${tokens(step.usage)}  ${money(step.usage.usd)}`),
    step.cut === undefined ? "" : style.yellow("cut off by the model's limit of output"),
    step.transform === undefined ? "" : style.dim(`through ${line(step.transform, 32)}`),
    step.settled === undefined ? "" : style.yellow(`settled: it ${step.settled.verdict}`)
  ]
  const telling = step.attempts.length > 1 || step.outcome !== "succeeded"
  return [
    first.join("  ").trimEnd(),
    ...(telling ? step.attempts.map((attempt) => attemptLine(attempt, width - 40, style)) : []),
    ...nextLines(session, step).map(style.yellow)
  ]
}

export const lines = (session: string, trace: Trace, width: number, style: Style): ReadonlyArray<string> => {
  const steps = trace.turns.flatMap((turn) => turn.steps)
  const names = Math.min(32, Math.max(4, ...steps.map((step) => step.name.length)))
  const count = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`
  const title = [
    style.bold(session),
    `${trace.agent}@${trace.agentVersion}`,
    trace.outcome === null ? "" : trace.outcome._tag.toLowerCase(),
    count(trace.turns.length, "turn"),
    count(steps.length, "step"),
    tokens(trace.usage),
    money(trace.usage.usd)
  ]
  return [
    title.filter((text) => text !== "").join(" · "),
    ...trace.turns.flatMap((turn) => {
      const took = turn.endedAt === null ? "" : `  ${duration(turn.endedAt - turn.startedAt)}`
      return [
        "",
        `${style.bold(`turn ${turn.turn}`)}  ${JSON.stringify(messageOf(turn.message, 60))}  ${turnOutcome(turn, style)}${took}`,
        ...turn.steps.flatMap((step) => stepLines(session, step, names, width, style)),
        ...turn.marks.map(({ at, detail, what }) =>
          style.dim(
            `     !  ${what} after ${duration(at - turn.startedAt)}  ${line(JSON.stringify(detail), width - 32)}`
          )
        )
      ]
    })
  ]
}
