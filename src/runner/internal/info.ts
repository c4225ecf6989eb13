/** What a runner leaves in the store for the others. */
import { Duration } from "effect"
import type { Settings } from "../Settings.ts"

export interface Info {
  /** The cluster's own record. */
  readonly runner: string
  /** The number that makes its message ids unique. */
  readonly machine: number
  /** Of the secrets that it takes from others; absent where it takes any certificate's word, or is of an earlier version. */
  readonly secrets?: ReadonlyArray<string> | undefined
  /** How often it is heard, and after how long in silence it takes others for dead, in milliseconds. */
  readonly beat?: Beat | undefined
}

export interface Beat {
  readonly heartbeatMs: number
  readonly expiryMs: number
}

export const infoOf = (row: { readonly info: string }): Info => JSON.parse(row.info) as Info

export const beatOf = ({ heartbeat, heartbeatExpiry }: Pick<Settings, "heartbeat" | "heartbeatExpiry">): Beat => ({
  heartbeatMs: Duration.toMillis(heartbeat),
  expiryMs: Duration.toMillis(heartbeatExpiry)
})
