/** Whether an agent can run on a runner: asked when that starts. */
import { Effect, Option } from "effect"
import { Models } from "../../model/index.ts"
import { AgentUnfit, type Problem } from "../../session/index.ts"

/** Fails with all that cannot work on this runner. */
export const check = (
  agent: string,
  chain: ReadonlyArray<string>,
  summariser: string | undefined,
  problems: ReadonlyArray<Problem>
) =>
  Effect.flatMap(Effect.serviceOption(Models.Models), (models) => {
    const known: ReadonlyArray<string> = Option.isSome(models) ? models.value.names : []
    const twice = chain.filter((name, i) => chain.indexOf(name) < i)
    const [first, ...rest] = [
      ...problems,
      ...[...chain, ...(summariser === undefined ? [] : [summariser])]
        .filter((name) => !known.includes(name))
        .map((name) => ({
          what: `there is no model ${JSON.stringify(name)}`,
          remedy: `name it in Models.layer, which has ${known.join(", ") || "none"}`
        })),
      ...twice.map((name) => ({
        what: `the model ${JSON.stringify(name)} is twice in its chain`,
        remedy: "name it once"
      }))
    ]
    return first === undefined ? Effect.void : Effect.fail(new AgentUnfit({ agent, problems: [first, ...rest] }))
  })
