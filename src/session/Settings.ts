/** Settings of sessions, each documented here once. */
import { Context, type Duration, Effect, Layer } from "effect"

export interface Settings {
  /** How many accepted messages may wait behind the running turn. */
  readonly mailboxCapacity: number
  /** The largest message, in bytes of its JSON. Larger ones are refused with `MessageTooLarge`. */
  readonly messageBytes: number
  /** How long a resting session stays in memory after its last request. */
  readonly idle: Duration.DurationInput
  /** A snapshot is due after this many entries, and when they weigh a quarter of the last snapshot. */
  readonly snapshotEntries: number
  /** How long running tools may go on when the runner leaves, before they are interrupted. */
  readonly drain: Duration.DurationInput
  /** The same when the session moves to another runner, and its own stays: its shard is nobody's meanwhile. */
  readonly handover: Duration.DurationInput
  /** How often waking a session is tried again after the store has failed. */
  readonly retryWake: Duration.DurationInput
}

export const defaults: Settings = {
  mailboxCapacity: 1_000,
  messageBytes: 8 * 1024 * 1024,
  idle: "1 minute",
  snapshotEntries: 128,
  drain: "1 second",
  handover: "5 seconds",
  retryWake: "1 second"
}

export class SessionSettings extends Context.Tag("perdure/SessionSettings")<SessionSettings, Settings>() {
  static readonly layer = (settings: Partial<Settings> = {}): Layer.Layer<SessionSettings> =>
    Layer.effect(
      SessionSettings,
      Effect.sync(() => ({ ...defaults, ...settings }))
    )
}
