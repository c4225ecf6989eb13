/** The runners of a world, one after another. */
import { Cause, type Clock, Deferred, Effect, Exit, FiberId, Layer, Runtime, Scope } from "effect"
import { Client } from "../../client/index.ts"
import { Life, LifeOver } from "./Life.ts"
import type { Up } from "./lasting.ts"

interface Current {
  readonly life: Life
  /** What its layers have opened: closed when it leaves in good order, never when it dies. */
  readonly layers: Scope.CloseableScope
  /** What the operating system does for it: closed whenever it ends. */
  readonly system: Scope.CloseableScope
  readonly client: Deferred.Deferred<Client.Client["Type"], LifeOver>
}

/** What there was in a runner's place before; nothing of it may still be going on when the next one starts. */
const bury = (last: Current | null): Effect.Effect<void> =>
  last === null ? Effect.void : Effect.zipRight(last.life.settled, Scope.close(last.system, Exit.void))

export class Lives {
  /** How many have died. */
  crashes = 0
  #current: Current | null = null
  #last: Current | null = null
  #isClosed = false
  readonly #waiting = new Set<() => void>()

  constructor(
    readonly world: Runtime.Runtime<never>,
    readonly clock: Clock.Clock,
    readonly restart: "automatic" | "manual",
    /** Builds a runner in its life; `system` is closed when that ends. */
    readonly runner: (life: Life, system: Scope.Scope) => Layer.Layer<Client.Client, unknown>
  ) {}

  /** Ends a life now, unless it is over. */
  crash(life: Life): void {
    if (life.isOver) return
    this.crashes++
    this.#current = null
    life.end()
    if (this.restart === "automatic" && !this.#isClosed) this.start()
    this.#changed()
  }

  crashCurrent(): void {
    if (this.#current !== null) this.crash(this.#current.life)
  }

  start(): void {
    const life = new Life(this.world, this.clock)
    const layers = Effect.runSync(Scope.make())
    const system = Effect.runSync(Scope.make())
    const client = Deferred.unsafeMake<Client.Client["Type"], LifeOver>(FiberId.none)
    const last = this.#last
    const mine: Current = { life, layers, system, client }
    this.#current = mine
    this.#last = mine
    const build = Effect.map(Layer.buildWithScope(this.runner(life, system), layers), (context) =>
      Effect.runSync(Effect.provide(Client.Client, context))
    )
    Runtime.runFork(this.world)(
      bury(last).pipe(
        Effect.zipRight(life.within(build)),
        Effect.catchAllCause((cause) =>
          life.isOver
            ? Effect.fail(new LifeOver())
            : Effect.dieMessage(`the test's runner could not start: ${Cause.pretty(cause)}`)
        ),
        Effect.exit,
        Effect.flatMap((exit) => Deferred.done(client, exit))
      )
    )
    this.#changed()
  }

  /** Waits for a runner that is up. */
  get up(): Effect.Effect<Up> {
    return Effect.suspend(() => {
      const current = this.#current
      if (current === null) return Effect.zipRight(this.#change, this.up)
      return Effect.map(Deferred.await(current.client), (client) => ({ life: current.life, client })).pipe(
        Effect.catchTag("LifeOver", () => this.up)
      )
    })
  }

  /** Stops the runner in good order, if there is one, and starts the next. */
  get renew(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const current = this.#current
      if (current === null) return Effect.void
      return current.life.leave(Scope.close(current.layers, Exit.void))
    }).pipe(Effect.zipRight(Effect.sync(() => this.start())), Effect.zipRight(Effect.asVoid(this.up)))
  }

  crashed(times: number): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.crashes >= times ? Effect.void : Effect.zipRight(this.#change, this.crashed(times))
    )
  }

  /** Ends whatever lives, for good. */
  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isClosed = true
      this.#current?.life.end()
      return bury(this.#last)
    })
  }

  readonly #change = Effect.async<void>((resume) => {
    const tell = () => resume(Effect.void)
    this.#waiting.add(tell)
    return Effect.sync(() => this.#waiting.delete(tell))
  })

  #changed(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const tell of waiting) tell()
  }
}
