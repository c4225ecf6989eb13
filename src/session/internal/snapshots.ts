/** When a session's state is worth a snapshot, and saving it beside the running session. */
import { Effect } from "effect"
import type { SessionKey } from "../../domain/Id.ts"
import type { Head, Journal } from "../../journal/index.ts"
import type { SessionState } from "../State.ts"
import { fingerprint, type Loaded } from "./load.ts"

/** What an entry weighs where its size is not known. */
const usualBytes = 300

export class Snapshots {
  private entries: number
  private bytesSince: number
  private bytes: number
  private busy = false

  /** @param every a snapshot is due after so many entries, and when they weigh a quarter of the last one */
  constructor(
    private readonly key: SessionKey,
    private readonly journal: Journal["Type"],
    private readonly loaded: Loaded,
    private readonly every: number
  ) {
    this.entries = loaded.entriesSince
    this.bytesSince = loaded.entriesSince * usualBytes
    this.bytes = loaded.snapshotBytes
  }

  /** What to do after an append; `null` if nothing. */
  after(state: SessionState, head: Head, entries: number, bytes: number): Effect.Effect<void> | null {
    this.entries += entries
    this.bytesSince += bytes
    if (this.busy || this.entries < this.every || this.bytesSince * 4 < this.bytes) return null
    this.busy = true
    const encoded = new TextEncoder().encode(JSON.stringify(state))
    this.entries = 0
    this.bytesSince = 0
    this.bytes = encoded.length
    return this.journal
      .saveSnapshot(this.key, { head, fingerprint: fingerprint(this.loaded.registered.behaviour), state: encoded })
      .pipe(
        // The journal has everything: a snapshot that could not be saved costs time at the next wake and no more.
        Effect.ignore,
        Effect.ensuring(
          Effect.sync(() => {
            this.busy = false
          })
        )
      )
  }
}
