/** Whether settings are some that a runner can work with, wherever they come from. */
import { Duration, Effect, Option } from "effect"
import { SettingInvalid } from "../SettingInvalid.ts"
import type { Settings } from "../Settings.ts"
import { durationForm } from "./variable.ts"

/** What of the settings is judged here. */
export type Judged = Pick<
  Settings,
  "port" | "healthPort" | "heartbeat" | "heartbeatExpiry" | "hang" | "refresh" | "shards" | "weight"
>

/** A heartbeat may be late, and one may be lost, without the runner being taken for dead. */
const expiryHeartbeatsMin = 3

/** Each shard is a row, and each runner looks at all of them several times a second. */
const shardsMax = 100_000

/** What lies below, the cluster takes for this. */
const weightMin = 0.1

const portMax = 65_535

const wrongPort = (port: number): string | null =>
  Number.isInteger(port) && port >= 0 && port <= portMax
    ? null
    : `${port} is no port: write a whole number from 0 (a free one) to ${portMax}`

const wrongDuration = (given: Duration.DurationInput): string | null => {
  // From a program without types it may be anything.
  const read = Option.liftThrowable(Duration.decode)(given)
  if (Option.isNone(read)) return `it is no duration: ${durationForm}`
  const ms = Duration.toMillis(read.value)
  return ms > 0 && Number.isFinite(ms) ? null : `it has to be longer than nothing, and to end: ${durationForm}`
}

const wrongExpiry = ({ heartbeat, heartbeatExpiry }: Judged): string | null => {
  const [beat, expiry] = [Duration.toMillis(heartbeat), Duration.toMillis(heartbeatExpiry)]
  const least = expiryHeartbeatsMin * beat
  return expiry >= least
    ? null
    : `${expiry} millis are less than ${expiryHeartbeatsMin} heartbeats of ${beat} millis, so runners that live would be taken for dead: give it "${least} millis" or more, or lower PERDURE_HEARTBEAT`
}

/** The first that is wrong, with its name. */
const wrongOf = (settings: Judged): readonly [setting: string, reason: string] | null => {
  const { hang, healthPort, heartbeat, heartbeatExpiry, port, refresh, shards, weight } = settings
  const isCount = Number.isInteger(shards) && shards >= 1 && shards <= shardsMax
  const isWeight = weight === 0 || (Number.isFinite(weight) && weight >= weightMin)
  const checks: ReadonlyArray<readonly [string, () => string | null]> = [
    ["PERDURE_PORT", () => wrongPort(port)],
    ["PERDURE_HEALTH_PORT", () => (healthPort === null ? null : wrongPort(healthPort))],
    ["PERDURE_HEARTBEAT", () => wrongDuration(heartbeat)],
    ["PERDURE_HEARTBEAT_EXPIRY", () => wrongDuration(heartbeatExpiry) ?? wrongExpiry(settings)],
    ["PERDURE_HANG", () => (hang === "auto" || hang === "off" ? null : wrongDuration(hang))],
    ["refresh", () => wrongDuration(refresh)],
    [
      "PERDURE_SHARDS",
      () =>
        isCount
          ? null
          : `${shards} shards cannot be: write a whole number from 1 to ${shardsMax}, the same on every runner`
    ],
    [
      "PERDURE_WEIGHT",
      () =>
        isWeight
          ? null
          : `${weight} is no weight: write a number from ${weightMin} on, e.g. 1, or 0 for a runner without sessions`
    ]
  ]
  for (const [setting, check] of checks) {
    const reason = check()
    if (reason !== null) return [setting, reason]
  }
  return null
}

/** Refuses settings by which a runner would not work. */
export const check = <S extends Judged>(settings: S): Effect.Effect<S, SettingInvalid> => {
  const wrong = wrongOf(settings)
  return wrong === null ? Effect.succeed(settings) : new SettingInvalid({ setting: wrong[0], reason: wrong[1] })
}

/** A runner without weight is there for those tools alone that ask for its tags. */
export const checkWork = (
  { weight }: Pick<Settings, "weight">,
  { tags }: { readonly tags: ReadonlyArray<string> }
): Effect.Effect<void, SettingInvalid> =>
  weight > 0 || tags.length > 0
    ? Effect.void
    : new SettingInvalid({
        setting: "PERDURE_WEIGHT",
        reason: "with 0 and no PERDURE_TAGS this runner has neither sessions nor tools: give it a weight, or tags"
      })
