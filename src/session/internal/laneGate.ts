/**
 * Slots for steps that call a model: of the runner's pool, and of the model's lane. The call waits for the lane first, so that
 * a provider that lets nothing through holds up no slot.
 *
 * Of a chain of models the first is asked whose breaker is not open, and whose provider does not want to be left alone for
 * long. One that is half-open is tried by one call at a time,
 * where the others have another one to go to.
 */
import type { Gate, Lease } from "./gate.ts"
import type { Lane, Why } from "./lane.ts"
import type { Permit } from "./lanePermits.ts"

/** A model of the chain; without a lane it has no limits. */
export interface Link {
  readonly model: string
  readonly lane: Lane | null
}

export interface Caller {
  readonly namespace: string
  readonly session: string
  /** What the next call is taken to use, where something is known of it. */
  readonly tokens: () => number | null
}

const permitless = (model: string): Permit => ({ model, begun: () => {}, heard: () => {}, over: () => {} })

/** The models from one of them on; all where it is not one of them, or none is said. */
const from = (chain: ReadonlyArray<Link>, model: string | undefined): ReadonlyArray<Link> => {
  const at = chain.findIndex((link) => link.model === model)
  return at > 0 ? chain.slice(at) : chain
}

/** How long a provider may ask to be left alone before the next of the chain is asked, in milliseconds. */
const patienceMs = 30_000

const isLeftAlone = ({ lane }: Link): boolean => lane !== null && lane.blockedMs > patienceMs

const isUsable = ({ lane, model }: Link, isLast: boolean): boolean => {
  if (lane === null) return true
  const { state } = lane.stateOf(model)
  return state === "closed" || (state === "half-open" && (isLast || !lane.isAsked(model)))
}

/** Which model is asked now: where none is usable, the one that will be first. */
const pick = (chain: ReadonlyArray<Link>): Link => {
  if (chain.length === 1) return chain[0]!
  const asked = chain.filter((link) => !isLeftAlone(link))
  const links = asked.length === 0 ? chain : asked
  const usable = links.find((link, i) => isUsable(link, i === links.length - 1))
  if (usable !== undefined) return usable
  const untilOf = ({ lane, model }: Link) => lane?.stateOf(model).until ?? 0
  return links.reduce((first, link) => (untilOf(link) < untilOf(first) ? link : first))
}

/** @param later runs something when what is under way is done */
export const limited = (
  inner: Gate,
  chain: readonly [Link, ...ReadonlyArray<Link>],
  { namespace, session, tokens }: Caller,
  later: (then: () => void) => void
): Gate => {
  const tokensFor = (lane: Lane) => tokens() ?? lane.meanTokens
  let last: Link = chain[0]

  const leaseOf = (lease: Lease, call: Permit): Lease => ({
    ...lease,
    call,
    release: () => {
      // Whoever called has said how that ended; who did not has not used it.
      call.over({})
      lease.release()
    }
  })

  return {
    ...inner,
    free: (model) => {
      const slots = inner.free()
      if (slots <= 0) return 0
      const { lane, model: chosen } = pick(from(chain, model))
      return lane === null ? slots : Math.min(slots, lane.free(chosen, tokensFor(lane)))
    },
    take: (model) => {
      const { lane, model: chosen } = pick(from(chain, model))
      return leaseOf(inner.take(), lane === null ? permitless(chosen) : lane.take(chosen, tokensFor(lane)))
    },
    wait: (granted, model) => {
      const links = from(chain, model)
      let giveUp = () => {}
      /** The lane lets it through: now for a slot. */
      const through = (call: Permit) => {
        const take = (lease: Lease) => {
          giveUp = () => {}
          granted(leaseOf(lease, call))
        }
        if (inner.free() > 0) {
          take(inner.take())
          return
        }
        const leave = inner.wait(take)
        giveUp = () => {
          leave()
          call.over({})
        }
      }
      const go = () => {
        const link = pick(links)
        last = link
        const { lane, model } = link
        if (lane === null) {
          let isWanted = true
          giveUp = () => {
            isWanted = false
          }
          later(() => isWanted && through(permitless(model)))
          return
        }
        const mayMove = () => pick(links) !== link
        giveUp = lane.wait({
          namespace,
          session,
          model,
          tokens: tokensFor(lane),
          granted: through,
          shut: () => {
            if (!mayMove()) return
            giveUp()
            go()
          }
        })
      }
      go()
      return () => giveUp()
    },
    why: (): Why | null => (last.lane === null ? null : last.lane.why(last.model))
  }
}
