/**
 * One life of a runner inside a test: what it runs can be ended as `kill -9` ends a process.
 *
 * Interruption would be the wrong model: it runs finalizers, and a dead process runs nothing. So a life has a scheduler
 * of its own that drops its tasks from the end on. What belongs to the world around it (the disk, the clock, the
 * operating system) runs outside, and is called off.
 */
import { Clock, Effect, Exit, Fiber, Runtime, Scheduler, Schema } from "effect"

/** The life ended before what was asked of it. Never leaves this room. */
export class LifeOver extends Schema.TaggedError<LifeOver>()("LifeOver", {}) {
  override get message() {
    return "the runner died: ask its successor"
  }
}

class MortalScheduler implements Scheduler.Scheduler {
  isOver = false

  scheduleTask(task: Scheduler.Task, priority: number, fiber?: Fiber.RuntimeFiber<unknown, unknown>): void {
    if (this.isOver) return
    const mortal = () => {
      if (!this.isOver) task()
    }
    Scheduler.defaultScheduler.scheduleTask(mortal, priority, fiber)
  }

  /** Code that never waits is stopped too, at its next chance to yield. */
  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    return this.isOver ? 0 : Scheduler.defaultScheduler.shouldYield(fiber)
  }
}

export class Life {
  readonly #scheduler = new MortalScheduler()
  readonly #outside = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  readonly #onEnd = new Set<() => void>()
  readonly #world: Runtime.Runtime<never>
  readonly #clock: Clock.Clock
  #isLeaving = false

  /** @param world what runs outside of the life, and after it */
  constructor(world: Runtime.Runtime<never>, clock: Clock.Clock) {
    this.#world = world
    this.#clock = {
      [Clock.ClockTypeId]: Clock.ClockTypeId,
      unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis(),
      unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
      currentTimeMillis: clock.currentTimeMillis,
      currentTimeNanos: clock.currentTimeNanos,
      sleep: (duration) => this.outside(clock.sleep(duration))
    }
  }

  /** Opened when this life has taken its shards from the store. */
  readonly hasShards = Effect.unsafeMakeLatch(false)

  get isOver(): boolean {
    return this.#scheduler.isOver
  }

  /** Runs something in this life. Interrupting it interrupts that. */
  within<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | LifeOver> {
    return Effect.async<A, E | LifeOver>((resume) => {
      const over = () => resume(new LifeOver())
      if (this.isOver) return over()
      this.#onEnd.add(over)
      const fiber = Runtime.runFork(this.#world)(Effect.withClock(effect, this.#clock), { scheduler: this.#scheduler })
      fiber.addObserver((exit) => {
        this.#onEnd.delete(over)
        // A runner that leaves answers nobody: whoever asked it asks the next one.
        if (this.#isLeaving && Exit.isFailure(exit)) this.#onEnd.add(over)
        else resume(exit)
      })
      return Effect.zipRight(
        Effect.sync(() => this.#onEnd.delete(over)),
        this.#interrupt(fiber)
      )
    })
  }

  /** Interrupts a fiber of this life, and waits until it has ended, or its life: the dead do not say that they are done. */
  #interrupt(fiber: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const done = () => {
        this.#onEnd.delete(done)
        resume(Effect.void)
      }
      if (this.isOver) return done()
      this.#onEnd.add(done)
      fiber.addObserver(done)
      fiber.unsafeInterruptAsFork(fiber.id())
    })
  }

  /** From inside of this life: lets the world do something, which is called off when the life ends. */
  outside<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.async<A, E>((resume) => {
      if (this.isOver) return
      const fiber = Runtime.runFork(this.#world)(effect)
      this.#outside.add(fiber)
      fiber.addObserver((exit) => {
        this.#outside.delete(fiber)
        if (!this.isOver) resume(exit)
      })
      return Fiber.interrupt(fiber)
    })
  }

  /** Closes it in good order: what it still answers with failures goes to its successor. */
  leave<A, E>(close: Effect.Effect<A, E>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isLeaving = true
      return this.within(close).pipe(Effect.ignore, Effect.ensuring(Effect.sync(() => this.end())))
    })
  }

  /** Ends it between two instructions. Nothing of it runs after this line. */
  end(): void {
    if (this.isOver) return
    this.#scheduler.isOver = true
    for (const fiber of this.#outside) fiber.unsafeInterruptAsFork(fiber.id())
    const asked = [...this.#onEnd]
    this.#onEnd.clear()
    for (const tell of asked) tell()
  }

  /** Waits until the world has called off what this life had asked of it. */
  get settled(): Effect.Effect<void> {
    return Effect.suspend(() => Effect.asVoid(Fiber.awaitAll([...this.#outside])))
  }
}
