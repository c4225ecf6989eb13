import { expect, it } from "@effect/vitest"
import { Effect, Fiber, Option, Scheduler } from "effect"
import { OneAtATime } from "../../src/domain/OneAtATime.ts"

it.effect("whoever is interrupted while it waits, or when it has its turn, holds up nobody", () =>
  Effect.gen(function* () {
    const { run } = new OneAtATime()
    const latch = yield* Effect.makeLatch(false)
    const first = yield* Effect.fork(run(latch.await))
    const second = yield* Effect.fork(run(Effect.never))
    const third = yield* Effect.fork(run(Effect.never))
    yield* Effect.yieldNow()
    yield* Fiber.interrupt(second)
    yield* latch.open
    yield* Fiber.join(first)
    yield* Fiber.interrupt(third)
    expect(yield* run(Effect.succeed("in"))).toBe("in")
  })
)

it.effect("one at a time, first come first served, and failures go on to the next", () =>
  Effect.gen(function* () {
    const { run } = new OneAtATime()
    const said: Array<string> = []
    const one = (name: string) =>
      run(
        Effect.gen(function* () {
          said.push(`${name} begins`)
          yield* Effect.yieldNow()
          said.push(`${name} ends`)
          return yield* Effect.fail(name)
        })
      )
    const fibers = yield* Effect.forEach(["a", "b", "c"], (name) => Effect.fork(one(name)))
    const failed = yield* Effect.forEach(fibers, (fiber) => Effect.flip(Fiber.join(fiber)))
    expect(failed).toEqual(["a", "b", "c"])
    expect(said).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"])
  })
)

/** Gives way exactly once: before the step of that number. */
const givingWayAt = (step: number): Scheduler.Scheduler => {
  let steps = 0
  return {
    shouldYield: () => (++steps === step ? 0 : false),
    scheduleTask: (task, priority, fiber) => Scheduler.defaultScheduler.scheduleTask(task, priority, fiber)
  }
}

it.live("whoever is interrupted takes no turn along, wherever that finds it", () =>
  Effect.gen(function* () {
    const oneAtATime = new OneAtATime()
    for (const take of [oneAtATime.run(Effect.void), Effect.scoped(oneAtATime.scoped)]) {
      for (let step = 1; step < 40; step++) {
        // Effect's semaphore loses its permit at one of them.
        const fiber = yield* Effect.fork(Effect.withScheduler(take, givingWayAt(step)))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(fiber)
        expect(yield* Effect.timeoutOption(oneAtATime.run(Effect.succeed(step)), "1 second")).toEqual(Option.some(step))
      }
    }
  })
)
