/**
 * What follows an agent's failed attempts. A policy of its own decides on the classes that it has rules for; on all
 * others the defaults do.
 */
import type { Command, Repeatable } from "../domain/Entry.ts"
import { Policy } from "../resilience/index.ts"
import type { Problem } from "../session/index.ts"
import type { ModelInput } from "./internal/journaled.ts"

export interface Policies<Tools = Record<string, unknown>> {
  /** Of model calls, before `Policy.modelDefault`. */
  readonly model?: Policy.Policy | undefined
  /** Of model calls of a message that names one of them (`session.send(text, { policy })`), before `model`. */
  readonly named?: Readonly<Record<string, Policy.Policy>> | undefined
  /** Of calls of one tool, by its name, before `Policy.toolDefault`. */
  readonly tools?: { readonly [Name in keyof Tools]?: Policy.Policy } | undefined
  /** Of calls of all other tools, before `Policy.toolDefault`. */
  readonly otherTools?: Policy.Policy | undefined
  /** Schedules of one's own, for the delays that policies name (`Policy.named`). */
  readonly schedules?: Policy.Schedules | undefined
}

interface Resolved {
  readonly judge: Policy.Judge
  /** Why a message cannot be taken, for its sender. */
  readonly refuses: (command: Command) => string | null
  /** What cannot work, whatever the runner is. */
  readonly problems: ReadonlyArray<Problem>
}

const own = <A>(record: Readonly<Record<string, A>>, name: string | undefined): A | undefined =>
  name !== undefined && Object.hasOwn(record, name) ? record[name] : undefined

/** Which policies decide on a step, in order. */
const choose = (
  { model, named = {}, otherTools, tools = {} }: Policies,
  { input, kind, name }: Policy.Attempted
): ReadonlyArray<Policy.Policy> =>
  (kind === "model"
    ? [own(named, (input as ModelInput | undefined)?.policy), model, Policy.modelDefault]
    : [own(tools, name) ?? otherTools, Policy.toolDefault]
  ).filter((one) => one !== undefined)

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
      const [first, ...otherwise] = choose(policies, attempted)
      return Policy.decide(first!, attempted, { ...surroundings, otherwise })
    },
    refuses: (command) =>
      command._tag !== "Send" || command.policy === undefined || own(policies.named ?? {}, command.policy) !== undefined
        ? null
        : `the agent has no policy named ${JSON.stringify(command.policy.slice(0, 80))}: it has ${
            Object.keys(policies.named ?? {}).join(", ") || "none"
          }`,
    problems: [
      ...one(policies.model, { kind: "model", schedules, fallbacks }),
      ...Object.values(policies.named ?? {}).flatMap((it) => one(it, { kind: "model", schedules, fallbacks })),
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
