/**
 * The secrets of this process, as the others may know them: by fingerprints, in each runner's row. Runners that share no
 * secret would each say that they are ready, and cut each other's connections; so who would be such a one does not start.
 */
import { createHmac } from "node:crypto"
import { Context, Duration, Effect, Layer, Redacted } from "effect"
import type { StoreUnavailable } from "../domain/Errors.ts"
import { type RunnerRow, Store } from "../store/index.ts"
import { infoOf } from "./internal/info.ts"
import { RunnerSettings } from "./Settings.ts"
import * as Traffic from "./Traffic.ts"

const label = "perdure cluster secret fingerprint 1"

/**
 * Tells whether two secrets are one, and nothing else: what has 32 bytes cannot be guessed from it. 16 bytes in hex.
 */
export const fingerprint = (secret: Redacted.Redacted): string =>
  createHmac("sha256", Redacted.value(secret)).update(label).digest("hex").slice(0, 32)

const strangers = (others: ReadonlyArray<string>) =>
  new Traffic.TrafficMisconfigured({
    setting: "PERDURE_CLUSTER_SECRET",
    reason: `runners live on this store (${others.slice(0, 3).join(", ")}) with which this process shares no secret, so neither would answer the other: give it theirs, or both while it is changed ("old,new" on all, then "new,old", then "new"). Where it is not set, a secret from the store is meant`
  })

/** Why a process with these fingerprints has no place among runners: they have secrets, and none of them. `null` where it has one. */
export const strangersAmong = (
  mine: ReadonlyArray<string>,
  rows: ReadonlyArray<RunnerRow>
): Traffic.TrafficMisconfigured | null => {
  const armed = rows.flatMap((row) => {
    const { secrets } = infoOf(row)
    return secrets === undefined || secrets.length === 0 ? [] : [{ address: row.address, secrets }]
  })
  if (mine.length === 0 || armed.length === 0) return null
  const isKnown = armed.some(({ secrets }) => secrets.some((one) => mine.includes(one)))
  return isKnown ? null : strangers(armed.map(({ address }) => address))
}

const check = (mine: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { heartbeatExpiry } = yield* RunnerSettings
    const rows = yield* (yield* Store).runners(Duration.toMillis(heartbeatExpiry))
    const refusal = strangersAmong(mine, rows)
    if (refusal !== null) return yield* refusal
  })

export class Credentials extends Context.Reference<Credentials>()("perdure/Credentials", {
  /** Fingerprints of the secrets that this process takes; none where certificates alone decide, or nothing is dialled. */
  defaultValue: (): ReadonlyArray<string> => []
}) {
  /** Of the settings, or the store; refused beside runners that share none of them. */
  static readonly layer: Layer.Layer<never, Traffic.TrafficMisconfigured | StoreUnavailable, RunnerSettings | Store> =
    Layer.effect(
      Credentials,
      Effect.gen(function* () {
        const secrets = yield* Effect.flatMap(RunnerSettings, Traffic.secretsOf)
        const mine = (secrets ?? []).map(fingerprint)
        yield* check(mine)
        return mine
      })
    ) as Layer.Layer<never, Traffic.TrafficMisconfigured | StoreUnavailable, RunnerSettings | Store>
}
