/**
 * Slots of a runner that has what a step needs, asked for by the session's own runner.
 *
 * I5: a step is intended when its slot over there is held. What then cannot be asked any more is lost: the runner has died,
 * and whether the step may be repeated decides, as after any crash.
 */
import { Cause, Effect, Exit, Fiber, Option } from "effect"
import type { Epoch, SessionKey } from "../../domain/Id.ts"
import type { OpenStep } from "../State.ts"
import type { StepContext } from "../StepContext.ts"
import type { AttemptExit } from "./attempt.ts"
import { againMs, answered, answerMs, lossOf, unaskedMs } from "./answered.ts"
import { addressOf, type End, type ErrandEntity, idOf } from "./errandProtocol.ts"
import type { Gate, Lease } from "./gate.ts"

/** How long a look waits for news, in milliseconds: also how often the other runner hears that we are there. */
const lookMs = 1_000
/** When a slot of which nothing was heard is certainly not kept: a call for it may have been under way, and what begins it. */
const forgottenMs = 2 * unaskedMs + 100
/** How many slots a session asks for at the same time: those of its steps that are next. */
const mostAsked = 8

type Client = Effect.Effect.Success<typeof ErrandEntity.client>

export interface Surroundings {
  readonly client: Client
  readonly fork: <A>(effect: Effect.Effect<A>) => Fiber.RuntimeFiber<A>
  /** This runner's address. */
  readonly self: () => string
  readonly serves: (tag: string) => boolean
  /** Whether the runner with this address is on the list. */
  readonly isThere: (address: string) => boolean
  /** A number that this process has not given before. */
  readonly number: () => number
  readonly now: () => number
  /** Milliseconds since whenever: no clock that is set moves it. */
  readonly elapsed: () => number
  readonly waited: (ms: number) => void
}

export interface Wanted {
  readonly key: SessionKey
  readonly epoch: Epoch
  readonly agent: string
  readonly pool: string
  readonly tag: string
}

/** A slot that is asked for. */
interface Asking {
  fiber: Fiber.RuntimeFiber<void> | null
}

/** A slot over there. */
interface Slot {
  readonly ticket: string
  /** The host that granted it. */
  readonly host: string
  /** When the host has last said that it is kept, in milliseconds since whenever. */
  heardAt: number
}

const lost = (reason: string): AttemptExit => ({
  _tag: "Failed",
  failure: { class: "RunnerLost", message: `the runner that ran this attempt was lost: ${reason}` },
  partial: undefined,
  usage: undefined,
  random: 0.5
})

const reasonOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return (error instanceof Error ? error.message : String(error)).slice(0, 500)
}

export const away = (around: Surroundings, { agent, epoch, key, pool, tag }: Wanted): Gate => {
  const { client, elapsed, fork, isThere, now, number, self, serves, waited } = around
  const remote = client(idOf(tag, key))
  const waiters: Array<(lease: Lease) => void> = []
  const asking = new Set<Asking>()

  /** The name of the host if it has granted the slot, `null` while it has not, `"over"` where it never will. */
  const ask = (ticket: string): Effect.Effect<string | null | "over"> =>
    remote.Reserve({ ticket, epoch, pool, agent, from: self(), waitMs: lookMs }).pipe(
      Effect.timeout(answerMs),
      Effect.exit,
      // No answer is no slot: the one that is there will be found, or a new one.
      Effect.map((exit) => (Exit.isSuccess(exit) ? exit.value : lossOf(exit.cause) === null ? null : "over"))
    )

  /**
   * Ends it over there, and answers with what is known of its end. Told on and on, but not for ever: a host that has heard
   * nothing for {@link answerMs} has ended it by itself, and one whose runner is off the list is dead.
   */
  const drop = ({ host, ticket }: Omit<Slot, "heardAt">, known = false): Effect.Effect<End> => {
    const isGone = () => host !== "" && !isThere(addressOf(host))
    const told: Effect.Effect<End> = Effect.suspend(() =>
      isGone()
        ? Effect.succeed("unknown")
        : Effect.flatMap(Effect.exit(remote.Drop({ ticket, epoch, host, known })), (exit) => {
            if (Exit.isSuccess(exit)) return Effect.succeed(exit.value)
            // Under a newer epoch: whoever has that one has ended it.
            if (lossOf(exit.cause) !== null) return Effect.succeed("unknown")
            return Effect.zipRight(Effect.sleep(againMs), told)
          })
    )
    // Also where all is being interrupted: what is not interruptible cannot time out.
    return Effect.map(
      Effect.timeoutOption(Effect.interruptible(told), answerMs),
      Option.getOrElse((): End => "unknown")
    )
  }

  /** Asks until there is a slot. */
  const slot: Effect.Effect<Slot> = Effect.suspend(() => {
    let ticket = `${epoch}.${number()}`
    let isAsked = false
    const until: Effect.Effect<Slot> = Effect.suspend(() => {
      const from = elapsed()
      isAsked ||= serves(tag)
      return Effect.flatMap(serves(tag) ? ask(ticket) : Effect.succeed(null), (host) => {
        if (host !== null && host !== "over") return Effect.succeed({ ticket, host, heardAt: elapsed() })
        if (host === "over") ticket = `${epoch}.${number()}`
        // It has waited over there, unless there was nobody or a refusal.
        return Effect.zipRight(Effect.sleep(Math.max(0, againMs - (elapsed() - from))), until)
      })
    })
    return Effect.onInterrupt(until, () => (isAsked ? drop({ ticket, host: "" }) : Effect.void))
  })

  /** What is held and not begun yet is asked for on and on: what nobody asks for is given to others. Ends with the slot. */
  const keep = (slot: Slot): Effect.Effect<void> =>
    Effect.sleep(lookMs).pipe(
      Effect.zipRight(
        Effect.exit(Effect.timeout(remote.Keep({ ticket: slot.ticket, epoch, host: slot.host }), answerMs))
      ),
      Effect.flatMap((exit) => {
        if (Exit.isFailure(exit) && lossOf(exit.cause) !== null) return Effect.void
        if (Exit.isSuccess(exit)) slot.heardAt = elapsed()
        return keep(slot)
      })
    )

  const leaseOf = (first: Slot): Lease => {
    let held: Slot = first
    let isKept = true
    let isKnown = false
    const keeping = fork(
      Effect.zipRight(
        keep(first),
        Effect.sync(() => {
          isKept = false
        })
      )
    )
    /** I5: what has certainly not begun is no doubt: it waits for another slot, as before it was intended. */
    const run = (step: OpenStep, context: StepContext): Effect.Effect<AttemptExit> =>
      Effect.flatMap(isKept ? perform(held, step, context) : Effect.succeed(null), (exit) =>
        exit === null
          ? Effect.flatMap(Effect.interruptible(slot), (next) => {
              held = next
              isKept = true
              return run(step, context)
            })
          : Effect.sync(() => {
              isKnown = true
              return exit
            })
      )
    return {
      elsewhere: (step, context) =>
        Effect.uninterruptible(
          Effect.flatMap(Effect.interruptible(Fiber.interrupt(keeping)), () => run(step, context))
        ),
      release: () => {
        fork(Effect.zipRight(Fiber.interrupt(keeping), drop(held, isKnown)))
      }
    }
  }

  /**
   * Runs the attempt over there; `null` where it is certain that it has not begun.
   *
   * I7: it is not over here, nor tried again, before it is over there. I5: what was interrupted here, and nobody over there
   * can say that it has stopped, is lost.
   */
  const perform = (slot: Slot, step: OpenStep, context: StepContext): Effect.Effect<AttemptExit | null> => {
    const { host, ticket } = slot
    let hasBegun = false
    const follow = (seen: number, saved: number): Effect.Effect<AttemptExit, unknown> =>
      Effect.flatMap(answered(remote.Follow({ ticket, epoch, seen, saved, waitMs: lookMs })), (news) => {
        const { outcome, pieces, save } = news
        const heard = Effect.forEach(pieces, ({ channel, text }) => context.emit(channel, text), { discard: true })
        if (outcome !== null) return Effect.as(heard, outcome as AttemptExit)
        const kept = save === null ? Effect.succeed(saved) : Effect.as(context.save(save.partial), save.number)
        return Effect.flatMap(Effect.zipRight(heard, kept), (saved) => follow(seen + pieces.length, saved))
      })
    const followed = Effect.flatMap(answered(remote.Begin({ ticket, epoch, host, attempt: step })), () => {
      hasBegun = true
      return follow(0, 0)
    })
    /** I5: what may still be on its way there must not begin after somebody was told that it is in doubt. */
    const ended = Effect.tap(drop(slot), (end) =>
      end === "unknown" && !hasBegun ? Effect.sleep(Math.max(0, slot.heardAt + forgottenMs - elapsed())) : Effect.void
    )
    return Effect.flatMap(Effect.exit(Effect.interruptible(followed)), (exit) =>
      Exit.isSuccess(exit)
        ? Effect.succeed(exit.value)
        : Effect.flatMap(ended, (end) => {
            if (typeof end !== "string") return Effect.succeed(end as AttemptExit)
            if (Cause.isInterrupted(exit.cause)) {
              return end === "unknown" ? Effect.succeed(lost("whether it has stopped is not known")) : Effect.interrupt
            }
            const neverBegan = end === "neverBegan" || lossOf(exit.cause)?.neverBegan === true
            return Effect.succeed(neverBegan ? null : lost(reasonOf(exit.cause)))
          })
    )
  }

  const reserve = (mine: Asking) => Effect.map(slot, (granted) => grant(mine, granted))

  const grant = (mine: Asking, granted: Slot): void => {
    asking.delete(mine)
    const lease = leaseOf(granted)
    const first = waiters.shift()
    if (first === undefined) lease.release()
    else first(lease)
    serve()
  }

  const serve = (): void => {
    while (asking.size < Math.min(waiters.length, mostAsked)) {
      const mine: Asking = { fiber: null }
      asking.add(mine)
      mine.fiber = fork(reserve(mine))
    }
    // Those that were asked last give up first.
    const surplus = Math.max(0, asking.size - waiters.length)
    for (const mine of [...asking].reverse().slice(0, surplus)) {
      asking.delete(mine)
      mine.fiber?.unsafeInterruptAsFork(mine.fiber.id())
    }
  }

  return {
    now,
    free: () => 0,
    take: () => {
      throw new Error("a slot of another runner was taken that was not waited for")
    },
    wait: (granted) => {
      waiters.push(granted)
      serve()
      return () => {
        const at = waiters.indexOf(granted)
        if (at < 0) return
        waiters.splice(at, 1)
        serve()
      }
    },
    lacks: () => (serves(tag) ? "slot" : "runner"),
    waited,
    leave: () => {}
  }
}
