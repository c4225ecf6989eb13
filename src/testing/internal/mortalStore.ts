/** A store as one life of a runner sees it: its calls are counted, and end with the life. */
import { Effect, Exit } from "effect"
import type { Group, Store, Written } from "../../store/index.ts"
import type { CrashPoints, StepName } from "./CrashPoints.ts"
import type { Life } from "./Life.ts"

type Service = Store["Type"]
type Call = (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown, unknown>

const outcomes: ReadonlySet<string> = new Set(["StepSucceeded", "StepFailed", "StepInDoubt"])

/** The steps whose outcomes these groups have written. */
const ended = (
  groups: ReadonlyArray<Group>,
  written: ReadonlyArray<Written>,
  nameOf: (session: string, step: string) => StepName | undefined
): ReadonlyArray<StepName> =>
  groups.flatMap((group, i) =>
    written[i] !== "written"
      ? []
      : group.rows.flatMap((row) => {
          if (!outcomes.has(row.tag)) return []
          const { entry } = JSON.parse(new TextDecoder().decode(row.payload)) as { entry: { step: string } }
          const name = nameOf(`${group.namespace}/${group.session}`, entry.step)
          return name === undefined ? [] : [name]
        })
  )

/**
 * @param crash ends the life
 * @param nameOf what a step that was begun in this world is called
 */
export const mortalStore = (
  store: Service,
  life: Life,
  points: CrashPoints,
  crash: () => void,
  nameOf: (session: string, step: string) => StepName | undefined
): Service => {
  const wrap =
    (operation: string, call: Call): Call =>
    (...args) =>
      Effect.suspend(() => {
        if (life.isOver) return Effect.never
        const number = ++points.storeCalls
        if (points.passStore(number, "before")) {
          crash()
          return Effect.never
        }
        const after = (exit: Exit.Exit<unknown, unknown>) =>
          Effect.sync(() => {
            if (operation === "acquire" && Exit.isSuccess(exit)) life.hasShards.unsafeOpen()
            const isDue = points.passStore(number, "after-commit")
            const steps =
              operation === "append" && Exit.isSuccess(exit)
                ? ended(args[0] as ReadonlyArray<Group>, exit.value as ReadonlyArray<Written>, nameOf)
                : []
            if (steps.map((step) => points.pass("after-commit", step)).includes(true) || isDue) crash()
          })
        return life.outside(Effect.onExit(call(...args), after))
      })

  return Object.fromEntries(
    Object.entries(store).map(([name, member]) => [
      name,
      typeof member === "function" ? wrap(name, member as unknown as Call) : member
    ])
  ) as unknown as Service
}
