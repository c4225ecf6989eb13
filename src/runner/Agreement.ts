/**
 * Settings that runners must agree on, checked at each start: the number of shards, which the first runner of a store has
 * decided for good, and heartbeats, by which those who live judge each other.
 */
import { Duration, Effect, Schema } from "effect"
import type { StoreUnavailable } from "../domain/Errors.ts"
import { Store } from "../store/index.ts"
import { infoOf, type Beat, beatOf } from "./internal/info.ts"
import { RunnerSettings } from "./Settings.ts"
import { SettingInvalid } from "./SettingInvalid.ts"

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

/** A heartbeat may be lost: whoever is heard less often than this is soon taken for dead. */
const beatsMin = 2

const isHeard = (one: Beat, other: Beat): boolean => one.heartbeatMs * beatsMin <= other.expiryMs

const shardsAgree = Effect.gen(function* () {
  const store = yield* Store
  const here = String((yield* RunnerSettings).shards)
  const agreed = yield* store.agree("shards", here)
  if (agreed !== here) return yield* new SettingsDiffer({ setting: "PERDURE_SHARDS", here, agreed })
})

const heartbeatsAgree = Effect.gen(function* () {
  const mine = beatOf(yield* RunnerSettings)
  const rows = yield* (yield* Store).runners(mine.expiryMs)
  for (const row of rows) {
    const { beat } = infoOf(row)
    if (beat === undefined || (isHeard(mine, beat) && isHeard(beat, mine))) continue
    const told = ({ expiryMs, heartbeatMs }: Beat) =>
      `a heartbeat each ${Duration.format(heartbeatMs)} and an expiry of ${Duration.format(expiryMs)}`
    return yield* new SettingInvalid({
      setting: "PERDURE_HEARTBEAT, PERDURE_HEARTBEAT_EXPIRY",
      reason: `this process has ${told(mine)}, the runner at ${row.address} has ${told(beat)}: one of them would take the other for dead. Give all the same; to change them by much, end all runners first`
    })
  }
})

/** Succeeds where this process has the settings of the others. */
export const check: Effect.Effect<void, SettingsDiffer | SettingInvalid | StoreUnavailable, Store | RunnerSettings> =
  Effect.zipRight(shardsAgree, heartbeatsAgree)
