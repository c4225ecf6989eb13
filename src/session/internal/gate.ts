/** Where a session asks for slots: a pool of its runner, or one of another runner that has what a step needs. */
import type { Effect } from "effect"
import type { Pool } from "../Pools.ts"
import type { OpenStep } from "../State.ts"
import type { StepContext } from "../StepContext.ts"
import type { AttemptExit } from "./attempt.ts"
import type { Ticket } from "./fairPool.ts"
import type { Why } from "./lane.ts"
import type { Permit } from "./lanePermits.ts"

/** A slot that is held. */
export interface Lease {
  /** Runs the attempt where the slot is; `null`: here. Interrupting it ends the attempt there, with all it started. */
  readonly elsewhere: ((step: OpenStep, context: StepContext) => Effect.Effect<AttemptExit>) | null
  /** To be called once. */
  readonly release: () => void
  /** The call of a model that it is for: which one, and who is to be told how it ends. */
  readonly call?: Permit | undefined
}

/** Why a step waits: there is no slot, or no runner that has what it needs. */
export type Lacking = "slot" | "runner"

export interface Gate {
  readonly now: () => number
  /** How many slots can be taken at once. `model`: the first that may be asked, of a chain of them. */
  readonly free: (model?: string) => number
  /** Takes one that is free. */
  readonly take: (model?: string) => Lease
  /** Waits for one, after those who wait already. Returns how to give up. */
  readonly wait: (granted: (lease: Lease) => void, model?: string) => () => void
  readonly lacks: () => Lacking
  /** What a provider has to do with the wait. */
  readonly why?: (() => Why | null) | undefined
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
