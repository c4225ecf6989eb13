/** Settings of clients, each documented here once. */
import { Context, type Duration } from "effect"

export interface Settings {
  /** A request that is not answered for this long is sent again: its runner may have hung. It is idempotent. */
  readonly attempt: Duration.DurationInput
  /** A request that no runner has answered for this long fails with `RunnerUnreachable`. */
  readonly total: Duration.DurationInput
  /** How long one long poll of a feed waits. */
  readonly poll: Duration.DurationInput
}

export const defaults: Settings = { attempt: "5 seconds", total: "30 seconds", poll: "20 seconds" }

export class ClientSettings extends Context.Reference<ClientSettings>()("perdure/ClientSettings", {
  defaultValue: () => defaults
}) {}
