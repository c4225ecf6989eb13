/**
 * What a lane's host has let its own runner have that no other's copy tells of: all that is lost with that runner. Plain
 * data.
 */
interface Grant {
  readonly number: number
  readonly at: number
}

/** How many requests there may be of which no other's copy knows. */
export const aheadMost = (limit: number | undefined): number =>
  limit === undefined ? Number.POSITIVE_INFINITY : Math.max(2, Math.ceil(limit / 8))

export class Ahead {
  private grants: ReadonlyArray<Grant> = []

  granted(number: number, at: number): void {
    this.grants = [...this.grants, { number, at }]
  }

  /** @param known up to which grant others have it; `null` where there are no others */
  acknowledge(known: number | null): void {
    this.grants = known === null ? [] : this.grants.filter(({ number }) => number > known)
  }

  isFull(limit: number | undefined): boolean {
    return this.grants.length >= aheadMost(limit)
  }

  /** It is time for others to have a copy. */
  isHalfFull(limit: number | undefined): boolean {
    return this.grants.length * 2 >= aheadMost(limit)
  }

  /** Since when others do not know all. */
  get since(): number {
    return this.grants[0]?.at ?? Number.POSITIVE_INFINITY
  }
}
