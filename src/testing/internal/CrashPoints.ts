/** Where a world is to crash next, and where it could have. Plain data. */
import { Schema } from "effect"
import type { StepKind } from "../../domain/Entry.ts"

/** A place in the life of a step. */
export type Point = "before-effect" | "after-effect-before-commit" | "after-commit"

/** A crash that is told by a step. */
export interface CrashPoint {
  /** `tool:book`, `model`, `tool` for any, or `step:3` by its id. */
  readonly step: string
  /**
   * - `before-effect`: the intent is in the journal, the step has not begun.
   * - `after-effect-before-commit`: the step has run to its end, and its outcome is not in the journal.
   * - `after-commit`: its outcome is in the journal, and nobody knows.
   */
  readonly point: Point
  /** Which time the point is passed, counted from when it was armed: 1, the first, unless told. */
  readonly occurrence?: number | undefined
}

/** A crash that is told by how often the store was called. */
export interface StoreCrash {
  /** The number of the call, counted from 1 through all lives of the world. */
  readonly storeCall: number
  readonly when: "before" | "after-commit"
}

export type Crash = CrashPoint | StoreCrash

/** A crash was armed and never came: the test proves less than it says. */
export class CrashNotReached extends Schema.TaggedError<CrashNotReached>()("CrashNotReached", {
  armed: Schema.Array(Schema.String),
  /** The points that were passed, in order, each once. */
  passed: Schema.Array(Schema.String),
  storeCalls: Schema.Int
}) {
  override get message() {
    const passed = this.passed.length === 0 ? "none" : this.passed.join(", ")
    return `never reached: ${this.armed.join("; ")}. Passed were the points ${passed} and ${this.storeCalls} store calls: check the step's name, and that the work had ended`
  }
}

export interface StepName {
  readonly kind: StepKind
  readonly name: string
  readonly step: string
}

const names = ({ kind, name, step }: StepName): ReadonlyArray<string> => [`${kind}:${name}`, kind, `step:${step}`]

export class CrashPoints {
  readonly #armed: Array<{ readonly crash: Crash; seen: number }> = []
  readonly #passed = new Set<string>()
  /** How often the store was called. */
  storeCalls = 0

  arm(crash: Crash): void {
    if ("storeCall" in crash && crash.storeCall <= this.storeCalls) {
      throw new Error(
        `store call ${crash.storeCall} is over, there have been ${this.storeCalls}: arm it earlier, e.g. in TestRunner.make's "crashes"`
      )
    }
    this.#armed.push({ crash, seen: 0 })
  }

  /** Whether to crash here. */
  pass(point: Point, step: StepName): boolean {
    this.#passed.add(`${step.kind}:${step.name} ${point}`)
    const matching = names(step)
    let isDue = false
    for (const one of [...this.#armed]) {
      if ("storeCall" in one.crash || one.crash.point !== point || !matching.includes(one.crash.step)) continue
      one.seen++
      if (one.seen < (one.crash.occurrence ?? 1)) continue
      this.#armed.splice(this.#armed.indexOf(one), 1)
      isDue = true
    }
    return isDue
  }

  /** Whether to crash at this store call. */
  passStore(call: number, when: StoreCrash["when"]): boolean {
    const index = this.#armed.findIndex(
      ({ crash }) => "storeCall" in crash && crash.storeCall === call && crash.when === when
    )
    if (index >= 0) this.#armed.splice(index, 1)
    return index >= 0
  }

  /** What is armed and was not reached; `null` if all was. */
  get notReached(): CrashNotReached | null {
    if (this.#armed.length === 0) return null
    const armed = this.#armed.map(({ crash, seen }) =>
      "storeCall" in crash
        ? `${crash.when} store call ${crash.storeCall}`
        : `${crash.point} of ${crash.step}, time ${crash.occurrence ?? 1} (was there ${seen} times)`
    )
    return new CrashNotReached({ armed, passed: [...this.#passed], storeCalls: this.storeCalls })
  }
}
