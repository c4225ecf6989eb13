/** What all sessions of a runner stand on: made once, because a session at rest should weigh little. */
import type { Sharding } from "@effect/cluster"
import { type Clock, Context, Effect, Runtime } from "effect"
import type { Blobs } from "../../blob/index.ts"
import { Journal } from "../../journal/index.ts"
import { Store } from "../../store/index.ts"
import { Spans } from "../../telemetry/index.ts"
import { Alarms } from "../Alarms.ts"
import { Errands } from "../Errands.ts"
import { Lanes } from "../Lanes.ts"
import type { Registered, Registry } from "../Registry.ts"
import { SessionSettings, type Settings } from "../Settings.ts"
import { Shards } from "../Shards.ts"
import { type Remotes, remotes } from "./child.ts"

/** The services that a session needs besides those of its behaviour. */
export type Services = Journal | Blobs | Store | Registry | Alarms | Shards | Errands | Lanes | SessionSettings

export interface Ground {
  readonly journal: Journal["Type"]
  readonly store: Store["Type"]
  readonly alarms: Alarms["Type"]
  readonly shards: Shards["Type"]
  readonly errands: Errands["Type"]
  /** Other sessions, for those that have children. */
  readonly remotes: Remotes
  readonly lanes: Lanes["Type"]
  readonly settings: Settings
  readonly clock: Clock.Clock
  /** Whether anybody traces. */
  readonly traced: boolean
  readonly context: Context.Context<Services>
  /** Where runs what outlasts a request. */
  readonly runtime: Runtime.Runtime<Services>
  /** The same, with the services of a behaviour: where its sessions' steps run. */
  readonly runtimeOf: (registered: Registered) => Runtime.Runtime<Services>
}

export const make: Effect.Effect<Ground, never, Services | Sharding.Sharding> = Effect.gen(function* () {
  // Building a runner is uninterruptible; what its sessions do is not. And none of it belongs to whoever asked first.
  const runtime = yield* Effect.interruptible(Effect.runtime<Services>())
  const runtimes = new WeakMap<Registered, Runtime.Runtime<Services>>()
  return {
    journal: yield* Journal,
    store: yield* Store,
    alarms: yield* Alarms,
    shards: yield* Shards,
    errands: yield* Errands,
    remotes: yield* remotes,
    lanes: yield* Lanes,
    settings: yield* SessionSettings,
    clock: yield* Effect.clock,
    traced: yield* Spans.enabled,
    context: runtime.context,
    runtime,
    runtimeOf: (registered) => {
      let found = runtimes.get(registered)
      if (found === undefined) {
        found = Runtime.updateContext(runtime, Context.merge(registered.context)) as Runtime.Runtime<Services>
        runtimes.set(registered, found)
      }
      return found
    }
  }
})
