/**
 * What follows an agent's failed attempts. A policy of its own decides on the classes that it has rules for; on all
 * others the defaults do.
 */
import type { Repeatable, StepKind } from "../domain/Entry.ts"
import { Policy } from "../resilience/index.ts"
import type { Problem } from "../session/index.ts"

export interface Policies<Tools = Record<string, unknown>> {
  /** Of model calls, before `Policy.modelDefault`. */
  readonly model?: Policy.Policy | undefined
  /** Of calls of one tool, by its name, before `Policy.toolDefault`. */
  readonly tools?: { readonly [Name in keyof Tools]?: Policy.Policy } | undefined
  /** Of calls of all other tools, before `Policy.toolDefault`. */
  readonly otherTools?: Policy.Policy | undefined
  /** Schedules of one's own, for the delays that policies name (`Policy.named`). */
  readonly schedules?: Policy.Schedules | undefined
}

interface Resolved {
  readonly judge: Policy.Judge
  /** What cannot work, whatever the runner is. */
  readonly problems: ReadonlyArray<Problem>
}

/** Which policy decides on a step. */
const choose = ({ model, otherTools, tools = {} }: Policies, kind: StepKind, name: string) =>
  kind === "model" ? model : ((Object.hasOwn(tools, name) ? tools[name] : undefined) ?? otherTools)

/**
 * @param repeatable of each tool, by name
 * @param fallbacks the models after the first, in order
 */
export const resolve = (
  policies: Policies,
  repeatable: ReadonlyMap<string, Repeatable>,
  fallbacks: ReadonlyArray<string>
): Resolved => {
  const { schedules } = policies
  const surroundings = { schedules, fallbacks }
  const known = [...repeatable.keys()].join(", ") || "none"
  const one = (policy: Policy.Policy | undefined, it: Policy.For) =>
    policy === undefined ? [] : Policy.problems(policy, it)
  return {
    judge: (attempted) => {
      const otherwise = attempted.kind === "model" ? Policy.modelDefault : Policy.toolDefault
      const own = choose(policies, attempted.kind, attempted.name)
      return Policy.decide(own ?? otherwise, attempted, { ...surroundings, otherwise })
    },
    problems: [
      ...one(policies.model, { kind: "model", schedules, fallbacks }),
      ...one(policies.otherTools, { kind: "tool", schedules }),
      ...Object.entries(policies.tools ?? {}).flatMap(([name, policy]) =>
        repeatable.has(name)
          ? one(policy, { kind: "tool", repeatable: repeatable.get(name), schedules })
          : [
              {
                what: `there is a policy for the tool "${name}", which the agent does not have`,
                remedy: `it has ${known}`
              }
            ]
      )
    ]
  }
}
