/**
 * Slots of a runner that has what a step needs, asked for by the session's own runner.
 *
 * I5: a step is intended when its slot over there is held. What then cannot be asked any more is lost: the runner has died,
 * and whether the step may be repeated decides, as after any crash.
 */
import { Cause, Effect, Exit, Fiber } from "effect"
import type { Epoch, SessionKey } from "../../domain/Id.ts"
import type { OpenStep } from "../State.ts"
import type { StepContext } from "../StepContext.ts"
import type { AttemptExit } from "./attempt.ts"
import { type ErrandEntity, idOf } from "./errandProtocol.ts"
import type { Gate, Lease } from "./gate.ts"

/** How long a look waits for news, in milliseconds: also how often the other runner hears that we are there. */
const lookMs = 1_000
/** How long a look may take before its runner counts as lost. */
const answerMs = 6_000
/** How long to wait before asking again where there was no answer, or nobody to ask. */
const againMs = 200
/** How many slots a session asks for at the same time: those of its steps that are next. */
const mostAsked = 8

type Client = Effect.Effect.Success<typeof ErrandEntity.client>

export interface Surroundings {
  readonly client: Client
  readonly fork: <A>(effect: Effect.Effect<A>) => Fiber.RuntimeFiber<A>
  /** This runner's address. */
  readonly self: () => string
  readonly serves: (tag: string) => boolean
  /** A number that this process has not given before. */
  readonly number: () => number
  readonly now: () => number
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
  const { client, fork, now, number, self, serves, waited } = around
  const host = client(idOf(tag, key))
  const waiters: Array<(lease: Lease) => void> = []
  const asking = new Set<Asking>()

  const ask = (ticket: string, waitMs: number): Effect.Effect<boolean> =>
    host.Reserve({ ticket, epoch, pool, agent, from: self(), waitMs }).pipe(
      Effect.timeout(answerMs),
      Effect.exit,
      // No answer is no slot: the one that is there will be found, or a new one.
      Effect.map((exit) => Exit.isSuccess(exit) && exit.value)
    )

  const drop = (ticket: string): Effect.Effect<void> =>
    Effect.asVoid(Effect.exit(Effect.timeout(host.Drop({ ticket, epoch }), answerMs)))

  const leaseOf = (ticket: string): Lease => {
    // What is held and not begun yet is asked for on and on: what nobody asks for is given to others.
    const held = fork(Effect.forever(Effect.zipRight(Effect.sleep(lookMs), ask(ticket, 0))))
    return {
      elsewhere: (step, context) => Effect.zipRight(Fiber.interrupt(held), perform(ticket, step, context)),
      release: () => {
        fork(Effect.zipRight(Fiber.interrupt(held), drop(ticket)))
      }
    }
  }

  const perform = (ticket: string, step: OpenStep, context: StepContext): Effect.Effect<AttemptExit> => {
    const follow = (seen: number, saved: number): Effect.Effect<AttemptExit> =>
      host.Follow({ ticket, epoch, seen, saved, waitMs: lookMs }).pipe(
        Effect.timeout(answerMs),
        Effect.exit,
        Effect.flatMap((exit) => {
          if (Exit.isFailure(exit)) return Effect.succeed(lost(reasonOf(exit.cause)))
          const { outcome, pieces, save } = exit.value
          const heard = Effect.forEach(pieces, ({ channel, text }) => context.emit(channel, text), { discard: true })
          if (outcome !== null) return Effect.as(heard, outcome as AttemptExit)
          const kept = save === null ? Effect.succeed(saved) : Effect.as(context.save(save.partial), save.number)
          return Effect.flatMap(Effect.zipRight(heard, kept), (saved) => follow(seen + pieces.length, saved))
        })
      )
    return host.Begin({ ticket, epoch, attempt: step }).pipe(
      Effect.timeout(answerMs),
      Effect.exit,
      Effect.flatMap((exit) => (Exit.isFailure(exit) ? Effect.succeed(lost(reasonOf(exit.cause))) : follow(0, 0))),
      // I7: the step is not over here before it is over there.
      Effect.onInterrupt(() => drop(ticket))
    )
  }

  const reserve = (mine: Asking) => {
    const ticket = `${epoch}.${number()}`
    const until: Effect.Effect<void> = Effect.suspend(() => {
      const from = now()
      return Effect.flatMap(serves(tag) ? ask(ticket, lookMs) : Effect.succeed(false), (granted) =>
        granted
          ? Effect.sync(() => grant(mine, ticket))
          : // It has waited over there, unless there was nobody or a refusal.
            Effect.zipRight(Effect.sleep(Math.max(0, againMs - (now() - from))), until)
      )
    })
    return Effect.onInterrupt(until, () => drop(ticket))
  }

  const grant = (mine: Asking, ticket: string): void => {
    asking.delete(mine)
    const lease = leaseOf(ticket)
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
