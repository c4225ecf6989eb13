/** What a runner holds of a lane: permits that are in use, some that are at hand, and a memory of what was sent. Plain data. */
import type { FailureClass } from "../../domain/Failure.ts"
import type { Limiter } from "../../resilience/index.ts"
import type { Granted, Remembered, Report } from "./laneProtocol.ts"

/** What is said of a call that has ended. */
export interface Ending {
  readonly failure?: FailureClass | undefined
  readonly retryAfterMs?: number | undefined
  readonly tokens?: number | undefined
}

/** A call that may begin. */
export interface Permit {
  readonly model: string
  /** Something is sent from now on. */
  readonly begun: () => void
  /** What the provider says of its limits, and whether it has begun to answer. */
  readonly heard: (heard: Limiter.Heard | undefined, answered: boolean) => void
  /** To be called once. What never began was not used. */
  readonly over: (ending: Ending) => void
}

interface Held {
  readonly id: string
  readonly host: string
  readonly number: number
  readonly tokens: number
  readonly model: string
  begun: boolean
  heard: Limiter.Heard | undefined
}

interface Spare extends Granted {
  readonly host: string
  readonly at: number
}

/** How long one is kept at hand that nobody uses, in milliseconds. */
const keptMs = 1_000

const isGoodFor = (spare: Spare, tokens: number): boolean => tokens <= 2 * spare.tokens

export interface Listener {
  readonly now: () => number
  /** How long what was sent is remembered, in milliseconds. */
  readonly perMs: number
  readonly report: (report: Omit<Report, "agoMs">) => void
}

export class Permits {
  private readonly held = new Map<string, Held>()
  private spares: Array<Spare> = []
  private log: Array<Remembered & { readonly endedAt: number }> = []

  constructor(private readonly to: Listener) {}

  get running(): number {
    return this.held.size
  }

  get atHand(): number {
    return this.spares.length
  }

  isAsked(model: string): boolean {
    for (const one of this.held.values()) if (one.model === model) return true
    return false
  }

  keep(granted: Granted, host: string): void {
    this.spares.push({ ...granted, host, at: this.to.now() })
  }

  /** How many at hand are good for a call of so many tokens. */
  free(tokens: number): number {
    const since = this.to.now() - keptMs
    return this.spares.filter((one) => one.at > since && isGoodFor(one, tokens)).length
  }

  /** Takes one that is at hand, if one is: what was free a moment ago may be too old by now, and is good until it is given back. */
  take(model: string, tokens: number): Permit | null {
    const at = this.spares.findIndex((one) => isGoodFor(one, tokens))
    if (at < 0) return null
    const [spare] = this.spares.splice(at, 1)
    return this.hold(spare!, spare!.host, model)
  }

  /** @param ended is told first */
  hold(
    granted: Pick<Granted, "id" | "number" | "tokens">,
    host: string,
    model: string,
    ended?: Permit["over"]
  ): Permit {
    const { id, number, tokens } = granted
    const held: Held = { id, host, number, tokens, model, begun: false, heard: undefined }
    this.held.set(id, held)
    return {
      model,
      begun: () => {
        held.begun = true
      },
      heard: (heard, answered) => {
        // What is told now is not told again when it is old.
        held.heard = answered ? undefined : heard
        if (answered) this.to.report({ id, model, what: "seen", ...(heard === undefined ? {} : { heard }) })
      },
      over: (ending) => {
        if (!this.held.delete(id)) return
        ended?.(ending)
        this.over(held, ending)
      }
    }
  }

  private over(held: Held, { failure, retryAfterMs, tokens }: Ending): void {
    const { begun, heard, host, id, model, number } = held
    if (!begun) {
      this.to.report({ id, model, what: "unused" })
      return
    }
    if (failure !== "RateLimited") {
      this.log.push({ id, host, number, model, tokens: tokens ?? held.tokens, agoMs: 0, endedAt: this.to.now() })
    }
    this.to.report({
      id,
      model,
      what: "ended",
      ...(failure === undefined ? {} : { failure }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      ...(tokens === undefined ? {} : { tokens }),
      ...(heard === undefined ? {} : { heard })
    })
  }

  /** Gives back what nobody uses, all of it or what is old, and forgets what no window has any more. */
  tidy(all: boolean): void {
    const now = this.to.now()
    const isOver = ({ at }: Spare) => all || now - at >= keptMs
    if (this.spares.some(isOver)) {
      for (const { id } of this.spares.filter(isOver)) this.to.report({ id, model: "", what: "unused" })
      this.spares = this.spares.filter((one) => !isOver(one))
    }
    const first = this.log[0]
    if (first === undefined || first.endedAt > now - this.to.perMs) return
    this.log = this.log.filter(({ endedAt }) => endedAt > now - this.to.perMs)
  }

  /** What is under way, and what was sent within the window. */
  get memory(): ReadonlyArray<Remembered> {
    const now = this.to.now()
    return [
      ...[...this.held.values()].map(({ host, id, model, number, tokens }) => ({
        id,
        host,
        number,
        model,
        tokens,
        agoMs: null
      })),
      ...this.log.map(({ endedAt, ...one }) => ({ ...one, agoMs: now - endedAt }))
    ]
  }
}
