/**
 * A simulated OS process: what Effect runs in it can be killed between two instructions (no finalizer runs, as with
 * `kill -9`), stopped and continued (SIGSTOP, SIGCONT), and has a clock that can jump.
 *
 * It is a scheduler of its own. Tasks run one after another, mostly in the order in which they came and now and then in
 * another one; a fiber is pre-empted after a random number of operations.
 */
import {
  Cause,
  Clock,
  ConfigProvider,
  Duration,
  Effect,
  type Fiber,
  Logger,
  LogLevel,
  Random,
  Runtime,
  type Scheduler
} from "effect"
import type { Prng } from "./Prng.ts"
import { told } from "./told.ts"
import type { World } from "./World.ts"

export type State = "running" | "stopped" | "dead"

export interface Settings {
  /** How many operations a fiber does before it lets others go on: drawn between 1 and twice this. */
  readonly operations: number
}

interface Jump {
  readonly ms: number
  reads: number
}

export class SimProcess implements Scheduler.Scheduler {
  state: State = "running"
  /** Its clock less true time, in milliseconds. */
  #skew = 0
  #jumps: Array<Jump> = []
  readonly clock: Clock.Clock
  readonly #random: Prng
  readonly #effectRandom: Random.Random
  readonly #onDeath: Array<() => void> = []
  #tasks: Array<() => void> = []
  #first = 0
  #untilYield: number

  constructor(
    readonly world: World,
    /** Unique in the run: `runner-1.2` is the second life of the first runner. */
    readonly name: string,
    readonly settings: Settings
  ) {
    this.#random = world.random.fork(name)
    this.#effectRandom = Random.make(this.#random.bits())
    this.#untilYield = settings.operations
    this.clock = this.#makeClock()
    world.add(this)
  }

  // --- The loop ---

  readonly ready = (): boolean => this.state === "running" && this.#first < this.#tasks.length

  readonly step = (): void => {
    const tasks = this.#tasks
    const waiting = tasks.length - this.#first
    if (waiting > 1 && (this.#random.bits() & 7) === 0) {
      const other = this.#first + (this.#random.bits() % waiting)
      const task = tasks[other]!
      tasks[other] = tasks[this.#first]!
      tasks[this.#first] = task
    }
    const task = tasks[this.#first]!
    tasks[this.#first++] = nothing
    if (this.#first === tasks.length) {
      tasks.length = 0
      this.#first = 0
    } else if (this.#first > 4096) {
      this.#tasks = tasks.slice(this.#first)
      this.#first = 0
    }
    task()
  }

  /** Lets the process do something, as its kernel does: at once when it runs, when it goes on if it is stopped. */
  readonly task = (task: () => void): void => {
    if (this.state !== "dead") this.#tasks.push(task)
  }

  // --- Effect's scheduler ---

  scheduleTask(task: () => void): void {
    if (this.state !== "dead") this.#tasks.push(task)
  }

  shouldYield(): number | false {
    // Code that never waits ends here too: what it schedules is dropped.
    if (this.state === "dead") return 0
    if (--this.#untilYield > 0) return false
    this.#untilYield = 1 + (this.#random.bits() % (2 * this.settings.operations))
    return 0
  }

  // --- Its clock ---

  /** Its clock jumps by `ms`, when it has been read so many times more. */
  jump(ms: number, reads = 0): void {
    if (reads === 0) this.#skew += ms
    else this.#jumps.push({ ms, reads })
  }

  /** Between one look at a clock and the next there may be a second, though no line waits: the machine has stood still. */
  #read(): void {
    if (this.#jumps.length === 0) return
    for (const jump of this.#jumps) if (--jump.reads === 0) this.#skew += jump.ms
    this.#jumps = this.#jumps.filter(({ reads }) => reads > 0)
  }

  #makeClock(): Clock.Clock {
    const now = () => {
      this.#read()
      return Math.floor(this.world.now + this.#skew)
    }
    // Monotonic, as Effect's own is: setting a clock does not move it.
    const nanos = () => BigInt(Math.floor(this.world.now * 1000)) * 1000n
    return {
      [Clock.ClockTypeId]: Clock.ClockTypeId,
      unsafeCurrentTimeMillis: now,
      unsafeCurrentTimeNanos: nanos,
      currentTimeMillis: Effect.sync(now),
      currentTimeNanos: Effect.sync(nanos),
      sleep: (duration) => {
        const milliseconds = Duration.toMillis(duration)
        return Effect.async<void>((resume) => {
          if (!Number.isFinite(milliseconds)) return
          const event = this.world.after(milliseconds, () => resume(Effect.void))
          return Effect.sync(() => {
            event.cancelled = true
          })
        })
      }
    }
  }

  // --- Running Effects ---

  /** Runs something in this process. */
  fork<A, E>(effect: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E> {
    return Runtime.runFork(Runtime.defaultRuntime)(
      effect.pipe(
        Effect.withClock(this.clock),
        Effect.withRandom(this.#effectRandom),
        Effect.withConfigProvider(surroundings),
        Effect.withTracerEnabled(false),
        Effect.provide(this.#logger)
      ),
      { scheduler: this, immediate: false }
    )
  }

  readonly #logger = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ cause, logLevel, message }) => {
      if (LogLevel.lessThan(logLevel, LogLevel.Warning)) return
      this.world.history.record({
        _tag: "Told",
        process: this.name,
        what: `${logLevel.label}: ${textOf(message)}${Cause.isEmpty(cause) ? "" : ` ${told(cause)}`}`
      })
    })
  )

  // --- Life and death ---

  /** Is called when it dies, however. */
  onDeath(callback: () => void): void {
    if (this.state === "dead") callback()
    else this.#onDeath.push(callback)
  }

  /** Nothing of it runs after this line. */
  kill(): void {
    if (this.state === "dead") return
    this.state = "dead"
    this.#tasks = []
    this.#first = 0
    this.world.remove(this)
    for (const callback of this.#onDeath) callback()
  }

  stop(): void {
    if (this.state === "running") this.state = "stopped"
  }

  continue(): void {
    if (this.state === "stopped") this.state = "running"
  }
}

const nothing = () => {}
const surroundings = ConfigProvider.fromMap(new Map())
const textOf = (message: unknown): string => (Array.isArray(message) ? message : [message]).map(String).join(" ")
