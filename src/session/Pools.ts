/**
 * The pools of a runner: how many steps of a kind it runs at once, and who is next (A3). A step asks for its pool by name
 * (`Behaviour.pool`); a heavy tool gets a pool of its own, so that it holds up its like and nobody else.
 */
import { Clock, Context, Effect, Layer, Schema } from "effect"
import type { StepKind } from "../domain/Entry.ts"
import { Metrics } from "../telemetry/index.ts"
import { FairPool } from "./internal/fairPool.ts"

export interface Size {
  /** How many steps run at once on this runner. */
  readonly slots: number
  /** How many of them may be one session's; all of them unless told. */
  readonly perSession?: number | undefined
}

/** Pools by name; a number is that of the slots. */
export type Sizes = Readonly<Record<string, number | Size>>

/**
 * What every runner has: a pool for each kind of step. As many as a process has connections where the limit of open files
 * is the usual one: more would fail, not run. One session has a sixteenth of it, so that one answer with hundreds of
 * calls leaves room for the others at once. What needs a machine's cores or memory belongs in a pool of its own.
 */
export const defaults: Readonly<Record<StepKind | "child", Size>> = {
  model: { slots: 1_024, perSession: 64 },
  tool: { slots: 1_024, perSession: 64 },
  custom: { slots: 1_024, perSession: 64 },
  // Who waits for another session must not keep a slot from it.
  child: { slots: 1_000_000 }
}

/** A step asks for a pool that this runner does not have. */
export class PoolUnknown extends Schema.TaggedError<PoolUnknown>()("PoolUnknown", {
  pool: Schema.String,
  agent: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    return `agent "${this.agent}" asks for the pool "${this.pool}", and this runner has ${this.known.join(", ")}: name it in the runner's \`pools\`, e.g. { ${JSON.stringify(this.pool)}: 2 }, or in PERDURE_POOLS, e.g. "${this.pool}=2"`
  }
}

/** A pool is not one: its name, or its size. */
export class PoolInvalid extends Schema.TaggedError<PoolInvalid>()("PoolInvalid", {
  pool: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `the pool ${JSON.stringify(this.pool)} is not valid: ${this.reason}`
  }
}

/** One pool as it is now. */
export interface View {
  readonly pool: string
  readonly slots: number
  readonly running: number
  readonly waiting: number
}

/** A pool with its clock and its metrics. */
export interface Pool {
  readonly name: string
  readonly fair: FairPool
  readonly now: () => number
  /** Something has begun, ended, begun to wait or given up. */
  readonly changed: () => void
  readonly waited: (ms: number) => void
}

const wellNamed = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$/

const isCount = (value: number): boolean => Number.isInteger(value) && value > 0

const check = (pool: string, { perSession, slots }: Size): Effect.Effect<void, PoolInvalid> => {
  if (!wellNamed.test(pool)) {
    const reason = "use 1 to 63 letters, digits, '.', '_', ':' or '-', a letter or digit first"
    return new PoolInvalid({ pool, reason })
  }
  if (isCount(slots) && (perSession === undefined || isCount(perSession))) return Effect.void
  return new PoolInvalid({ pool, reason: `its slots are to be whole numbers from 1 on, not ${perSession ?? slots}` })
}

export class Pools extends Context.Tag("perdure/Pools")<
  Pools,
  {
    /** @internal What does not exist dies: names are checked when the runner starts. */
    readonly get: (pool: string) => Pool
    /** Fails with the first pool of these that this runner does not have. */
    readonly require: (agent: string, pools: Iterable<string>) => Effect.Effect<void, PoolUnknown>
    readonly view: Effect.Effect<ReadonlyArray<View>>
  }
>() {
  /**
   * @param sizes added to {@link defaults}, or instead of them
   * @param tags what this runner has: it has the pools of steps that ask for them
   */
  static readonly layer = (sizes: Sizes = {}, tags: ReadonlyArray<string> = []): Layer.Layer<Pools, PoolInvalid> =>
    Layer.effect(
      Pools,
      Effect.gen(function* () {
        const clock = yield* Clock.clockWith(Effect.succeed)
        const now = () => clock.unsafeCurrentTimeMillis()
        const pools = new Map<string, Pool>()
        for (const [name, given] of Object.entries<number | Size>({ ...defaults, ...sizes })) {
          const size: Size = typeof given === "number" ? { slots: given } : given
          yield* check(name, size)
          const fair = new FairPool(size.slots, Math.min(size.perSession ?? size.slots, size.slots))
          const { changed, waited } = Metrics.pool(name)
          pools.set(name, { name, fair, now, changed: () => changed(fair), waited })
        }
        return {
          get: (name) => {
            const pool = pools.get(name)
            if (pool === undefined) throw new Error(`there is no pool "${name}", and no start has refused it`)
            return pool
          },
          require: (agent, wanted) => {
            for (const one of wanted) {
              const [pool = "", tag] = one.split("@")
              const isOurs = tag === undefined || tags.includes(tag)
              if (isOurs && !pools.has(pool)) return new PoolUnknown({ pool, agent, known: [...pools.keys()] })
            }
            return Effect.void
          },
          view: Effect.sync(() =>
            [...pools.values()].map(({ fair, name: pool }) => ({
              pool,
              slots: fair.slots,
              running: fair.running,
              waiting: fair.waiting
            }))
          )
        }
      })
    )
}
