/**
 * What a session did, for people who look: turns, their steps, and every attempt of each, with times, tokens and cost.
 *
 * A pure fold of the journal.
 */
import type { Decided, Reconciled, Recorded } from "../domain/Entry.ts"
import type { Failure } from "../domain/Failure.ts"
import { fromUnknown, type Json } from "../domain/Json.ts"
import { add, type Usage, zero } from "../domain/Usage.ts"
import type { Step, Trace, Turn } from "./Traced.ts"

export type { Attempt, Mark, Step, Trace, Turn } from "./Traced.ts"

interface Building {
  readonly turns: Array<Turn>
  readonly messages: Map<string, string>
  head: Omit<Trace, "turns">
}

export const begin = (): Building => ({
  turns: [],
  messages: new Map(),
  head: { agent: "", agentVersion: "", createdAt: 0, entries: 0, usage: zero, outcome: null }
})

export const done = (building: Building): Trace => ({ ...building.head, turns: building.turns })

const updateStep = (building: Building, id: string, change: (step: Step) => Step): void => {
  // A step's entries come in its own turn: nearly always the last one.
  for (let i = building.turns.length - 1; i >= 0; i--) {
    const turn = building.turns[i]!
    const at = turn.steps.findIndex(({ step }) => step === id)
    if (at < 0) continue
    building.turns[i] = { ...turn, steps: turn.steps.with(at, change(turn.steps[at]!)) }
    return
  }
}

const mark = (building: Building, at: number, what: string, detail: unknown): void => {
  const turn = building.turns.at(-1)
  if (turn === undefined || turn.outcome !== null) return
  const marks = [...turn.marks, { at, what, detail: fromUnknown(detail) }]
  building.turns[building.turns.length - 1] = { ...turn, marks }
}

/** Which transform has made an output, if one has. */
const transformOf = (output: Json | undefined): string | undefined => {
  if (typeof output !== "object" || output === null || !("transform" in output)) return undefined
  const { name } = output["transform"] as { readonly name?: unknown }
  return typeof name === "string" ? name : undefined
}

const isCut = (output: Json | undefined): boolean =>
  (output as { readonly finish?: unknown } | null | undefined)?.finish === "length"

const closeStep = (
  building: Building,
  { at, epoch }: Recorded,
  entry: {
    readonly step: string
    readonly attempt: number
    readonly startedAt?: number
    readonly usage?: Usage | undefined
    readonly output?: Json
    readonly reconciled?: Reconciled | undefined
    readonly settled?: string | undefined
    readonly decided?: Decided | undefined
  },
  outcome: "succeeded" | "failed" | "in doubt",
  failure: Failure | null
): void => {
  updateStep(building, entry.step, (step) => {
    const startedAt = entry.startedAt ?? step.attempts.at(-1)?.endedAt ?? step.intendedAt
    const reconciled = entry.reconciled === undefined ? {} : { reconciled: entry.reconciled }
    const decided = entry.decided === undefined ? {} : { decided: entry.decided }
    const cost = failure === null || entry.usage === undefined ? {} : { usage: entry.usage }
    const last = {
      attempt: entry.attempt,
      startedAt,
      endedAt: at,
      outcome,
      failure,
      ...reconciled,
      ...decided,
      ...cost
    }
    // Where somebody has said how it ended, nothing has run.
    const attempts =
      entry.settled === undefined || step.attempts.length === 0 ? [...step.attempts, last] : step.attempts
    const transform = transformOf(entry.output)
    const cut = step.kind === "model" && outcome === "succeeded" && isCut(entry.output)
    const { held: _, ...before } = step
    const verdict = outcome === "succeeded" ? "happened" : "did not happen"
    return {
      ...before,
      outcome,
      endedAt: at,
      durationMs: at - attempts[0]!.startedAt,
      attempts,
      usage: sum(step.usage, entry.usage),
      epochs: step.epochs.includes(epoch) ? step.epochs : [...step.epochs, epoch],
      ...(cut ? { cut: "length" as const } : {}),
      ...(transform === undefined ? {} : { transform }),
      ...(entry.settled === undefined ? {} : { settled: { verdict, command: entry.settled } })
    }
  })
  spend(building, entry.usage)
}

const sum = (before: Usage | null, usage: Usage | undefined): Usage | null =>
  usage === undefined ? before : before === null ? usage : add(before, usage)

const spend = (building: Building, usage: Usage | undefined): void => {
  if (usage === undefined) return
  building.head = { ...building.head, usage: add(building.head.usage, usage) }
  const turn = building.turns.at(-1)
  if (turn !== undefined) building.turns[building.turns.length - 1] = { ...turn, usage: add(turn.usage, usage) }
}

/** Takes the next entry in. */
export const push = (building: Building, recorded: Recorded): void => {
  const { at, entry, epoch, seq } = recorded
  building.head = { ...building.head, entries: seq }
  switch (entry._tag) {
    case "SessionCreated":
      building.head = { ...building.head, agent: entry.agent, agentVersion: entry.agentVersion, createdAt: at }
      return
    case "CommandAccepted": {
      if (entry.command._tag === "Raise") mark(building, at, "raised", entry.command.by)
      if (entry.command._tag !== "Send") return
      const text = entry.command.parts.map((part) => (part.type === "text" ? part.text : `[${part.mediaType}]`))
      building.messages.set(entry.id, text.join(" "))
      return
    }
    case "TurnStarted":
      building.turns.push({
        turn: entry.turn,
        command: entry.command,
        message: building.messages.get(entry.command) ?? "",
        startedAt: at,
        endedAt: null,
        outcome: null,
        steps: [],
        usage: zero,
        marks: []
      })
      building.messages.delete(entry.command)
      return
    case "StepIntended": {
      const turn = building.turns.at(-1)
      if (turn === undefined) return
      const step: Step = {
        step: entry.step,
        turn: entry.turn,
        kind: entry.kind,
        name: entry.name,
        outcome: "open",
        repeatable: entry.repeatable,
        intendedAt: at,
        endedAt: null,
        durationMs: null,
        attempts: [],
        usage: null,
        epochs: [epoch]
      }
      building.turns[building.turns.length - 1] = { ...turn, steps: [...turn.steps, step] }
      return
    }
    case "AttemptFailed":
      updateStep(building, entry.step, (step) => ({
        ...step,
        attempts: [
          ...step.attempts,
          {
            attempt: entry.attempt,
            startedAt: entry.startedAt,
            endedAt: at,
            outcome: "failed",
            failure: entry.failure,
            ...(entry.reconciled === undefined ? {} : { reconciled: entry.reconciled }),
            ...(entry.decided === undefined ? {} : { decided: entry.decided }),
            next: { input: entry.nextInput, dueAt: entry.retryAt },
            ...(entry.usage === undefined ? {} : { usage: entry.usage })
          }
        ],
        usage: sum(step.usage, entry.usage),
        epochs: step.epochs.includes(epoch) ? step.epochs : [...step.epochs, epoch]
      }))
      spend(building, entry.usage)
      return
    case "StepSucceeded":
      closeStep(building, recorded, entry, "succeeded", null)
      return
    case "StepFailed":
      closeStep(building, recorded, entry, "failed", entry.failure)
      return
    case "StepInDoubt":
      closeStep(building, recorded, entry, "in doubt", null)
      return
    case "DoubtSettled": {
      const { command, verdict } = entry
      updateStep(building, entry.step, (step) => ({ ...step, settled: { verdict, command } }))
      return
    }
    case "Noted":
      mark(building, at, entry.kind, entry.detail)
      return
    case "Paused": {
      const { deadline = null, detail, kind, pause } = entry
      mark(building, at, "paused", { pause, kind, detail, deadline })
      if (entry.held !== undefined) updateStep(building, entry.held, (step) => ({ ...step, held: { pause, kind } }))
      return
    }
    case "Resumed": {
      const { command = null, decision, pause } = entry
      mark(building, at, "resumed", { pause, decision, command })
      const step = building.turns.at(-1)?.steps.find(({ held }) => held?.pause === pause)
      if (step !== undefined) updateStep(building, step.step, ({ held: _, ...rest }) => rest)
      return
    }
    case "TurnEnded": {
      const turn = building.turns.at(-1)
      if (turn !== undefined)
        building.turns[building.turns.length - 1] = { ...turn, endedAt: at, outcome: entry.outcome }
      return
    }
    case "SessionEnded":
      building.head = { ...building.head, outcome: entry.outcome }
  }
}

/** The trace of a journal, from its first entry on. */
export const of = (entries: Iterable<Recorded>): Trace => {
  const building = begin()
  for (const recorded of entries) push(building, recorded)
  return done(building)
}
