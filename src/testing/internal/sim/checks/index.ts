/** The checks of RELIABILITY: a history in, what does not hold of it out. Pure. */
import type { Finished } from "../History.ts"
import * as Budgets from "./Budgets.ts"
import * as Commands from "./Commands.ts"
import * as Doubts from "./Doubts.ts"
import * as Errands from "./Errands.ts"
import { make, type Violation } from "./Facts.ts"
import * as Feeds from "./Feeds.ts"
import * as Journals from "./Journals.ts"
import * as Liveness from "./Liveness.ts"
import * as Outside from "./Outside.ts"
import * as Refusals from "./Refusals.ts"
import * as Retries from "./Retries.ts"
import * as Storms from "./Storms.ts"
import * as Steps from "./Steps.ts"
import * as Turns from "./Turns.ts"

export type { Invariant, Violation } from "./Facts.ts"

const all = [
  Commands,
  Journals,
  Steps,
  Retries,
  Doubts,
  Errands,
  Feeds,
  Turns,
  Budgets,
  Refusals,
  Outside,
  Storms,
  Liveness
]

/** All that does not hold of a run; empty for a good one. */
export const check = (finished: Finished): ReadonlyArray<Violation> => {
  const facts = make(finished)
  return all.flatMap((one) => one.check(facts))
}
