/** A behaviour as the world sees it. */
import { Effect, Exit, Option } from "effect"
import type { Behaviour } from "../../../session/index.ts"
import { attempting, type Doing } from "./attempting.ts"
import type { SimProcess } from "./SimProcess.ts"

const outcomeOf = (exit: Exit.Exit<unknown, { readonly failure?: { readonly class: string } }>): string => {
  if (Exit.isSuccess(exit)) return "succeeded"
  if (Exit.isInterrupted(exit)) return "interrupted"
  const failed = exit.cause._tag === "Fail" ? exit.cause.error.failure?.class : undefined
  return failed ?? "Defect"
}

/**
 * A behaviour whose attempts are written down, and whose tools know which they are.
 *
 * @param kill ends the process
 */
export const watched = (behaviour: Behaviour, process: SimProcess, kill: () => void): Behaviour => {
  const { history } = process.world
  return {
    ...behaviour,
    perform: (step, state, context) =>
      Effect.suspend(() => {
        const attempt = {
          process: process.name,
          session: String(context.key),
          step: step.step,
          attempt: step.attempt
        }
        const what = { ...attempt, kind: step.kind, name: step.name }
        const asks = step.nextInput === "reconcile" ? ({ asks: true } as const) : {}
        const errand = context.askedUnder === undefined ? {} : { askedUnder: context.askedUnder }
        history.record({ _tag: "Began", ...what, ...asks, ...errand })
        const doing: Doing = { ...attempt, tool: step.name, key: context.idempotencyKey, history, kill }
        return behaviour.perform(step, state, context).pipe(
          Effect.locally(attempting, Option.some(doing)),
          Effect.onExit((exit) =>
            Effect.sync(() => history.record({ _tag: "Performed", ...what, outcome: outcomeOf(exit) }))
          )
        )
      })
  }
}
