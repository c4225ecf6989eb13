/** What a running attempt knows of itself, and how it reports. */
import type { Effect } from "effect"
import type { StepFailure } from "../domain/Failure.ts"
import type { Epoch, SessionKey, StepId } from "../domain/Id.ts"
import type { Json } from "../domain/Json.ts"
import type { Usage } from "../domain/Usage.ts"
import type { Channel } from "../feed/index.ts"
import type { Permit } from "./internal/lanePermits.ts"
import type { Ended, Task } from "./internal/child.ts"

export interface StepContext {
  readonly key: SessionKey
  readonly agent: string
  readonly turn: number
  readonly step: StepId
  /** 1 for the first try. */
  readonly attempt: number
  /** The same for every attempt of the step, and for no other step of any session. */
  readonly idempotencyKey: string
  /** Of an errand, which runs on another runner than its session: the epoch under which that one has asked for it. */
  readonly askedUnder?: Epoch | undefined
  /** Of a model step behind limits: the model that is to be asked, and who is to hear what its provider says of them. */
  readonly call?: Pick<Permit, "model" | "heard"> | undefined
  /** What an attempt has used that is interrupted, and cannot say so by how it ends: it counts (I8). */
  readonly spent?: ((usage: Usage) => void) | undefined
  /** Live text for readers of the feed. Not journaled. */
  readonly emit: (channel: Channel, text: string) => Effect.Effect<void>
  /** What an earlier attempt saved, or what it had produced when it was cut; `undefined` if nothing. */
  readonly saved: Json | undefined
  /** Commits a point from which a next attempt can go on. */
  readonly save: (partial: Json) => Effect.Effect<void>
  /** Of a step that has a share of the budget: gives a task to another session, and waits until that is over. */
  readonly child?: ((task: Task) => Effect.Effect<Ended, StepFailure>) | undefined
}
