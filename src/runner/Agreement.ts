/** Settings that must be the same on every runner of a store: the first runner's are kept, and checked at each start. */
import { Effect, Schema } from "effect"
import type { StoreUnavailable } from "../domain/Errors.ts"
import { Store } from "../store/index.ts"
import { RunnerSettings } from "./Settings.ts"

/**
 * The store's sessions are laid out by another value of a setting: a runner or client with this one would look for them
 * where they are not, so it does not start.
 */
export class SettingsDiffer extends Schema.TaggedError<SettingsDiffer>()("SettingsDiffer", {
  setting: Schema.String,
  here: Schema.String,
  /** What the runners of this store have agreed on. */
  agreed: Schema.String
}) {
  override get message() {
    return `${this.setting} is ${this.here} here, but ${this.agreed} for this store since its first runner: set it to ${this.agreed}, or use another store`
  }
}

/** Succeeds where this process has the settings of the others. */
export const check: Effect.Effect<void, SettingsDiffer | StoreUnavailable, Store | RunnerSettings> = Effect.gen(
  function* () {
    const store = yield* Store
    const here = String((yield* RunnerSettings).shards)
    const agreed = yield* store.agree("shards", here)
    if (agreed !== here) return yield* new SettingsDiffer({ setting: "PERDURE_SHARDS", here, agreed })
  }
)
