/** What follows a failed attempt of a step. */
import { Schema } from "effect"
import { Text } from "./Json.ts"

/** What the next attempt of a step is given. */
export const NextInput = Schema.Literal(
  "original",
  "continue",
  "repaired",
  "compacted",
  /** Nothing: it is asked what became of the attempt before. */
  "reconcile"
)
export type NextInput = typeof NextInput.Type

/** What a policy decided about a failed attempt, and who says so. */
export const Decided = Schema.Struct({
  plan: Schema.Literal(
    /** The same model or tool again. */
    "retry",
    /** Another model, `model`. */
    "fallback",
    /** The conversation is made shorter first: the step has failed, and whoever plans the turn goes on from there. */
    "compact",
    /** A human decides: the next attempt is held until then. */
    "ask",
    /** The step has failed. */
    "fail"
  ),
  /** The policy's name. */
  policy: Text,
  /** The name of the rule of it that fitted. */
  rule: Text,
  /** How long the next attempt waits, in milliseconds. */
  delayMs: Schema.optional(Schema.NonNegative.pipe(Schema.finite())),
  /** The model that the next attempt asks, by name; where it is left out, the one that the failed one asked. */
  model: Schema.optional(Text),
  /** What the policy threw, where it did: nobody has decided then, and the step has failed. */
  threw: Schema.optional(Text),
  /** What a human is asked. */
  question: Schema.optional(Text),
  /** SHA-256, hex, of what the next attempt is given. Within one step, equal hashes are equal inputs. */
  inputHash: Schema.optional(Schema.String)
})
export type Decided = typeof Decided.Type
