/** Who is next: of those with the least running, the one that has waited longest. */

export interface Ranked {
  /** How much of it runs now. */
  busy: number
  /** Where it stands in the order; -1: nowhere. The order's own. */
  level: number
}

/** Levels are as many as the pool has slots, and sets keep the order in which they were filled. */
export class LeastBusy<A extends Ranked> {
  private readonly levels: Array<Set<A>> = []
  private size = 0

  get isEmpty(): boolean {
    return this.size === 0
  }

  /** Puts it where it belongs now: at the end of those with as much running. It keeps its place if it is there already. */
  put(one: A): void {
    if (one.level === one.busy) return
    this.remove(one)
    one.level = one.busy
    for (let i = this.levels.length; i <= one.busy; i++) this.levels.push(new Set())
    this.levels[one.busy]!.add(one)
    this.size++
  }

  remove(one: A): void {
    if (one.level < 0) return
    this.levels[one.level]!.delete(one)
    one.level = -1
    this.size--
  }

  first(): A | undefined {
    if (this.size === 0) return undefined
    for (const level of this.levels) for (const one of level) return one
    return undefined
  }
}
