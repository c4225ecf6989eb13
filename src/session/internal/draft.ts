/** Entries that are being collected for one append, and the state after them. */
import type { Entry } from "../../domain/Entry.ts"
import type { StepId } from "../../domain/Id.ts"
import type { Behaviour } from "../Behaviour.ts"
import { decide } from "../Decide.ts"
import { evolve, type SessionState } from "../State.ts"

/** A behaviour that never comes to rest is a bug that would hang the runner. */
const mostDecisions = 10_000

export class Draft {
  readonly entries: Array<Entry> = []

  constructor(
    readonly behaviour: Behaviour,
    readonly now: number,
    public state: SessionState
  ) {}

  push(entry: Entry): void {
    this.state = evolve(this.behaviour, this.state, this.now, entry)
    this.entries.push(entry)
  }

  /** Adds what follows from the entries so far, until nothing does. */
  conclude(isRunning: (step: StepId) => boolean): void {
    for (let i = 0; ; i++) {
      if (this.state.turn?.stopping != null) this.failWaiting(isRunning)
      const entries = decide(this.behaviour, this.state, this.now)
      if (entries.length === 0) return
      if (i >= mostDecisions) {
        throw new Error(`agent "${this.behaviour.agent}" never comes to rest: its decide has no end`)
      }
      for (const entry of entries) this.push(entry)
    }
  }

  /** Steps of a turn that is being stopped and that nothing runs: nobody else will end them. */
  private failWaiting(isRunning: (step: StepId) => boolean): void {
    for (const id in this.state.open) {
      const { attempt, step } = this.state.open[id]!
      if (isRunning(step)) continue
      const failure = { class: "Stopped", message: "stopped before it ran" } as const
      this.push({ _tag: "StepFailed", step, attempt, startedAt: this.now, failure })
    }
  }
}
