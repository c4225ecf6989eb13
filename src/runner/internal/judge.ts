/** What a runner's state means to whoever decides about its life: plain functions of data. */

export interface Observed {
  /** Milliseconds of one clock, here and below. */
  readonly now: number
  readonly startedAt: number
  /** When it was last seen with shards, or began. */
  readonly hadShardsAt: number
  readonly draining: boolean
  readonly registered: boolean
  /** When the store has last confirmed that the runner is one; `null`: never yet. */
  readonly confirmedAt: number | null
  readonly shards: number
  /** After so long in silence the others take a runner for dead. */
  readonly expiryMs: number
}

export interface Verdict {
  readonly ok: boolean
  /** For an operator. */
  readonly reason: string
}

/** So many times the expiry without the store, and a runner is not live: trouble of the database alone is waited out. */
const patience = 12

/** A runner without a shard is ready after so long: there are that many others, or it was told to have none. */
const settled_ms = 5000

const ok = (reason: string): Verdict => ({ ok: true, reason })
const not = (reason: string): Verdict => ({ ok: false, reason })

const seconds = (millis: number): string => `${Math.round(millis / 1000)} s`

/** Whether the process is worth keeping. That it answers says that its main loop turns. */
export const isLive = ({ confirmedAt, draining, expiryMs, now, startedAt }: Observed): Verdict => {
  if (draining) return ok("draining")
  const silence = now - (confirmedAt ?? startedAt)
  return silence <= patience * expiryMs
    ? ok("live")
    : not(`the store has not answered this runner's heartbeat for ${seconds(silence)}`)
}

/** Whether the runner does its part now. */
export const isReady = (observed: Observed): Verdict => {
  const { confirmedAt, draining, expiryMs, hadShardsAt, now, registered, shards } = observed
  if (draining) return not("draining")
  if (!registered || confirmedAt === null) return not("not registered with the others yet")
  if (now - confirmedAt > expiryMs) {
    return not(`the store has not answered this runner's heartbeat for ${seconds(now - confirmedAt)}`)
  }
  if (shards === 0 && now - hadShardsAt < settled_ms) return not("it has no shards")
  return ok(`ready with ${shards} shards`)
}
