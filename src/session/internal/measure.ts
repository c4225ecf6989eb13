/** Counts what became durable: steps, failed attempts, turns. */
import type { Entry } from "../../domain/Entry.ts"
import { Metrics } from "../../telemetry/index.ts"
import type { SessionState } from "../State.ts"

/** @param before the state in which the steps that the entries end were still open */
export const measure = (before: SessionState, entries: ReadonlyArray<Entry>, now: number): void => {
  for (const entry of entries) {
    switch (entry._tag) {
      case "StepSucceeded":
      case "StepFailed": {
        const kind = before.open[entry.step]?.kind ?? "custom"
        Metrics.stepEnded({ kind, outcome: entry._tag, durationMs: Math.max(0, now - entry.startedAt) })
        if (entry._tag === "StepFailed") Metrics.attemptFailed({ kind, class: entry.failure.class })
        break
      }
      case "StepInDoubt":
        Metrics.stepEnded({ kind: before.open[entry.step]?.kind ?? "custom", outcome: entry._tag, durationMs: 0 })
        break
      case "AttemptFailed":
        Metrics.attemptFailed({ kind: before.open[entry.step]?.kind ?? "custom", class: entry.failure.class })
        break
      case "Noted":
        Metrics.noted({ agent: before.agent, reason: entry.kind })
        break
      case "Paused":
        Metrics.noted({ agent: before.agent, reason: `paused: ${entry.kind}` })
        break
      case "TurnEnded":
        Metrics.turnEnded({ agent: before.agent, outcome: entry.outcome._tag })
        break
    }
  }
}
