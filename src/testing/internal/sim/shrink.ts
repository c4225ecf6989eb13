/** Leaves out faults of a failing run as long as it still fails in one of the ways in which it did. */
import type { Violation } from "./checks/index.ts"
import type { Fault } from "./Faults.ts"

interface Failing {
  readonly violations: ReadonlyArray<Violation>
  readonly faults: ReadonlyArray<Fault>
}

/** How many runs it may take. */
const patience = 60

/** @param again runs the same seed with other faults */
export const shrink = <A extends Failing>(failing: A, again: (faults: ReadonlyArray<Fault>) => A): A => {
  const broken = new Set(failing.violations.map(({ invariant }) => invariant))
  let best = failing
  let runs = 0
  const attempt = (faults: ReadonlyArray<Fault>): boolean => {
    if (runs++ >= patience) return false
    const next = again(faults)
    if (!next.violations.some(({ invariant }) => broken.has(invariant))) return false
    best = next
    return true
  }
  // Halves first, then one by one.
  for (let size = Math.ceil(best.faults.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.faults.length; ) {
      const without = best.faults.filter((_, i) => i < from || i >= from + size)
      if (!attempt(without)) from += size
    }
  }
  return best
}
