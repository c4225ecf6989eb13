/** Entries that are being collected for one append, and the state after them. */
import type { Entry } from "../../domain/Entry.ts"
import type { StepId } from "../../domain/Id.ts"
import type { Behaviour } from "../Behaviour.ts"
import { type Admission, plan, poolOf, unlimited, type Waiting } from "../Decide.ts"
import { evolve, type SessionState } from "../State.ts"
import { inDoubt, isUncertain } from "./doubted.ts"

/** A behaviour that never comes to rest is a bug that would hang the runner. */
const mostDecisions = 10_000

/** Room that is taken as steps are intended. */
export interface Room extends Admission {
  readonly take: (pool: string, step: StepId) => void
  /** What would begin if there were room. */
  readonly want: (waiting: ReadonlyArray<Waiting>) => void
}

const boundless: Room = { ...unlimited, take: () => {}, want: () => {} }

export class Draft {
  readonly entries: Array<Entry> = []

  constructor(
    readonly behaviour: Behaviour,
    readonly now: number,
    public state: SessionState,
    private readonly room: Room = boundless
  ) {}

  push(entry: Entry): void {
    this.state = evolve(this.behaviour, this.state, this.now, entry)
    this.entries.push(entry)
  }

  /** Adds what follows from the entries so far, until nothing does. */
  conclude(isRunning: (step: StepId) => boolean): void {
    for (let i = 0; ; i++) {
      if (this.state.turn?.stopping != null) this.failWaiting(isRunning)
      const { entries, waiting } = plan(this.behaviour, this.state, this.now, this.room)
      if (entries.length === 0) {
        this.room.want(waiting)
        return
      }
      if (i >= mostDecisions) {
        throw new Error(`agent "${this.behaviour.agent}" never comes to rest: its decide has no end`)
      }
      for (const entry of entries) {
        this.push(entry)
        // At once: between the plan and this nobody else can have taken it.
        if (entry._tag === "StepIntended") this.room.take(poolOf(this.behaviour, entry.kind, entry.name), entry.step)
      }
    }
  }

  /** Steps of a turn that is being stopped and that nothing runs: nobody else will end them. */
  private failWaiting(isRunning: (step: StepId) => boolean): void {
    for (const id in this.state.open) {
      const open = this.state.open[id]!
      const { attempt, step } = open
      // A child is told to stop, and says what it has used.
      if (isRunning(step) || open.reserved !== undefined) continue
      if (isUncertain(open)) {
        this.push(inDoubt(open))
        continue
      }
      const failure = { class: "Stopped", message: "stopped before it ran" } as const
      this.push({ _tag: "StepFailed", step, attempt, startedAt: this.now, failure })
    }
  }
}
