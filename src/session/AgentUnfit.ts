/** An agent cannot work as it is defined, or not on this runner: found when the runner starts, not in a turn at night. */
import { Schema } from "effect"

export const Problem = Schema.Struct({
  /** What is wrong: a fact, without a full stop. */
  what: Schema.String,
  /** What to do about it. */
  remedy: Schema.String
})
export type Problem = typeof Problem.Type

/** An agent cannot run here, and all that stands in its way. The runner does not start. */
export class AgentUnfit extends Schema.TaggedError<AgentUnfit>()("AgentUnfit", {
  agent: Schema.String,
  problems: Schema.NonEmptyArray(Problem)
}) {
  override get message() {
    return `agent "${this.agent}" cannot run here: ${this.problems.map(({ remedy, what }) => `${what} (${remedy})`).join("; ")}`
  }
}
