/** What follows an agent's failed attempts, and which models it may ask. What an agent does not say has a default. */
import type { Repeatable, StepKind } from "../domain/Entry.ts"
import { Policy } from "../resilience/index.ts"
import type { Problem } from "../session/index.ts"

export interface Policies<Tools = Record<string, unknown>> {
  /** Of model calls; `Policy.modelDefault` unless told. */
  readonly model?: Policy.Policy | undefined
  /** Of calls of one tool, by its name; `Policy.toolDefault` unless told. */
  readonly tools?: { readonly [Name in keyof Tools]?: Policy.Policy } | undefined
  /** Of calls of all other tools; `Policy.toolDefault` unless told. */
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
const choose = ({ model, otherTools, tools = {} }: Policies, kind: StepKind, name: string): Policy.Policy =>
  kind === "model"
    ? (model ?? Policy.modelDefault)
    : ((Object.hasOwn(tools, name) ? tools[name] : undefined) ?? otherTools ?? Policy.toolDefault)

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
    judge: (attempted) => Policy.decide(choose(policies, attempted.kind, attempted.name), attempted, surroundings),
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
