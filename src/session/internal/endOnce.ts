/**
 * Ends fibers that are told so more than once, by an interrupted turn and then by a session that leaves, say. Effect hands
 * each interruption on to what a fiber has forked by then: a second one would cut short what its finalizers do in fibers of
 * their own (a race, a time-out), and it would be over before what it has started is (I7).
 */
import { Effect, Fiber, Option } from "effect"

const told = new WeakSet<Fiber.RuntimeFiber<void>>()

/** Interrupts it, if nobody has. */
export const interrupt = (fiber: Fiber.RuntimeFiber<void>): void => {
  if (told.has(fiber)) return
  told.add(fiber)
  fiber.unsafeInterruptAsFork(fiber.id())
}

/** Interrupts them, if nobody has, and waits until all are over. */
export const end = (fibers: ReadonlyArray<Fiber.RuntimeFiber<void>>): Effect.Effect<void> =>
  Effect.suspend(() => {
    for (const fiber of fibers) interrupt(fiber)
    return Effect.forEach(fibers, Fiber.await, { discard: true })
  })

/** How long what is interrupted may take to end: code that cannot be interrupted never does. */
const longestMs = 1_000

/** Waits for an end, but not for what has none: that must not hold up all others. Whether it has come. */
export const patiently = (ending: Effect.Effect<void>): Effect.Effect<boolean> =>
  Effect.map(Effect.interruptible(Effect.timeoutOption(ending, longestMs)), Option.isSome)
