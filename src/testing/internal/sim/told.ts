/** What a cause says, in a line: stacks have paths, and differ between machines. */
import { Cause } from "effect"

export const told = (cause: Cause.Cause<unknown>): string =>
  Cause.isInterruptedOnly(cause) ? "interrupted" : String(Cause.squash(cause)).split("\n", 1)[0]!.slice(0, 300)
