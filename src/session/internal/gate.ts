/** Where a session asks for slots: a pool of its runner, or one of another runner that has what a step needs. */
import type { Effect } from "effect"
import type { Pool } from "../Pools.ts"
import type { OpenStep } from "../State.ts"
import type { StepContext } from "../StepContext.ts"
import type { AttemptExit } from "./attempt.ts"
import type { Ticket } from "./fairPool.ts"

/** A slot that is held. */
export interface Lease {
  /** Runs the attempt where the slot is; `null`: here. Interrupting it ends the attempt there, with all it started. */
  readonly elsewhere: ((step: OpenStep, context: StepContext) => Effect.Effect<AttemptExit>) | null
  /** To be called once. */
  readonly release: () => void
}

/** Why a step waits: there is no slot, or no runner that has what it needs. */
export type Lacking = "slot" | "runner"

export interface Gate {
  readonly now: () => number
  /** How many slots can be taken at once. */
  readonly free: () => number
  /** Takes one that is free. */
  readonly take: () => Lease
  /** Waits for one, after those who wait already. Returns how to give up. */
  readonly wait: (granted: (lease: Lease) => void) => () => void
  readonly lacks: () => Lacking
  /** Somebody has waited for so long, in milliseconds. */
  readonly waited: (ms: number) => void
  /** The session has left, and has given back what it held. */
  readonly leave: () => void
}

export const here = ({ changed, fair, now, waited }: Pool, namespace: string): Gate => {
  const seat = fair.sit(namespace)
  const lease: Lease = {
    elsewhere: null,
    release: () => {
      fair.release(seat)
      changed()
    }
  }
  return {
    now,
    free: () => Math.max(0, fair.free(seat)),
    take: () => {
      fair.take(seat)
      changed()
      return lease
    },
    wait: (granted) => {
      const ticket: Ticket = {
        granted: () => {
          changed()
          granted(lease)
        }
      }
      fair.wait(seat, ticket)
      changed()
      return () => {
        fair.cancel(seat, ticket)
        changed()
      }
    },
    lacks: () => "slot",
    waited,
    leave: () => fair.leave(seat)
  }
}
