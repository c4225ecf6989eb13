/** What this runner owns, as the sessions on it need to know it. The runner fills it in. */
import { Context } from "effect"
import type { Epoch, Shard } from "../domain/Id.ts"

export class Shards extends Context.Tag("perdure/Shards")<
  Shards,
  {
    /** The epoch under which this runner owns the shard, or `null` if it does not (I3). */
    readonly epoch: (shard: Shard) => Epoch | null
    /** The store has fenced a write of this runner under that epoch: it may have been declared dead. */
    readonly fenced: (shard: Shard, epoch: Epoch) => void
    /** The runner is leaving: long polls answer at once, and no step begins. */
    readonly draining: () => boolean
    /** Runs the callback when the runner begins to leave. Returns how to forget it. */
    readonly onDrain: (callback: () => void) => () => void
    /** Runs the callback when others may own the sessions: what they do must stop. Returns how to forget it. */
    readonly onLost: (callback: () => void) => () => void
  }
>() {}
