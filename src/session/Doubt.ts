/**
 * Steps whose outcome nobody knows (I5), and what is said of them later. Pure.
 *
 * A step in doubt has ended without an outcome; or, where its agent wants to be told first, the turn is paused and holds
 * it. Either is settled once, by a command.
 */
import type { Command, Entry, StepInDoubt } from "../domain/Entry.ts"
import type { CommandId, StepId } from "../domain/Id.ts"
import type { Behaviour } from "./Behaviour.ts"
import * as Pause from "./Pause.ts"
import type { OpenStep, SessionState } from "./State.ts"

export interface Doubt {
  readonly step: StepId
  readonly turn: number
  readonly kind: OpenStep["kind"]
  readonly name: string
  readonly attempt: number
  /** Milliseconds since the epoch. */
  readonly since: number
}

/** By step. */
export type Doubts = Readonly<Record<string, Doubt>>

/** How many can be settled: the last ones. */
const most = 100

/** A step has ended in doubt. */
export const begun = (state: SessionState, at: number, { attempt, step }: StepInDoubt): Doubts => {
  const of = state.open[step]
  if (of === undefined) return state.doubts
  const { kind, name, turn } = of
  const all = [...Object.entries(state.doubts), [step, { step, turn, kind, name, attempt, since: at }] as const]
  return Object.fromEntries(all.slice(-most))
}

type Settle = Extract<Command, { _tag: "Settle" }>

/** The pause that waits for a word on the step. */
const pauseOf = (state: SessionState, step: StepId): Pause.Pause | undefined =>
  state.turn?.pauses.find((one) => one.held === step && one.kind === Pause.doubt && one.answer === null)

/** What follows from it, beside its acceptance; or why it is not accepted. */
export const settle = (
  behaviour: Pick<Behaviour, "settle">,
  state: SessionState,
  id: CommandId,
  { result, step, verdict }: Settle,
  now: number
): ReadonlyArray<Entry> | { readonly wrong: string } => {
  const pause = state.turn?.stopping == null ? pauseOf(state, step) : undefined
  const told = state.doubts[step]
  const { kind, name } = (pause === undefined ? told : state.open[step]) ?? {}
  if (kind === undefined || name === undefined) {
    return { wrong: `step ${step} is not in doubt: \`state\` (\`perdure trace\`) shows those that are` }
  }
  if (verdict === "happened" && result === undefined) return { wrong: "what happened gave something: say what" }
  if (verdict !== "happened" && result !== undefined) return { wrong: "only what happened has a result" }
  const given = result === undefined ? { output: null } : (behaviour.settle?.(kind, name, result) ?? { output: result })
  if ("wrong" in given) return given
  if (pause === undefined) {
    return verdict === "retry"
      ? { wrong: `step ${step} is over, and the agent was told: send a message that asks for it again` }
      : [{ _tag: "DoubtSettled", step, verdict, ...(result === undefined ? {} : { result }), command: id }]
  }
  const over = Pause.over(state, pause, "proceed", id)
  const at = { step, attempt: state.open[step]!.attempt, startedAt: now } as const
  switch (verdict) {
    case "retry":
      return over
    case "happened":
      return [...over, { _tag: "StepSucceeded", ...at, output: given.output, settled: id }]
    case "did not happen": {
      const failure = {
        class: "RunnerLost",
        message: "its runner died; it had no effect, and was not repeated"
      } as const
      return [...over, { _tag: "StepFailed", ...at, failure, settled: id }]
    }
  }
}
