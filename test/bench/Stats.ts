/** Quantiles, and the clock that all measures use. */

/** Milliseconds, monotonic. Outside `src`, so the clock may be the machine's. */
export const now = (): number => performance.now()

/** The value below which the share `q` of them lies. `NaN` of none. */
export const quantile = (values: ReadonlyArray<number>, q: number): number => {
  if (values.length === 0) return Number.NaN
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!
}

export const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)

/** From one mark to the next, without the first `skip` of them. */
export const gaps = (marks: ReadonlyArray<number>, skip = 0): Array<number> => {
  const out: Array<number> = []
  for (let i = skip + 1; i < marks.length; i++) out.push(marks[i]! - marks[i - 1]!)
  return out
}
