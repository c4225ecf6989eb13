/**
 * What a tool's handler may ask for: who it works for, and what it can do that survives.
 *
 * Name it among the tool's dependencies, `Tool.make("book", { dependencies: [ToolContext], … })`, and
 * `yield* ToolContext` in the handler. Runners provide it; nobody else has to.
 */
import { Context, type Effect, type Stream } from "effect"
import type { StoreUnavailable } from "../domain/Errors.ts"
import type { Namespace, SessionId, StepId } from "../domain/Id.ts"
import type { Json } from "../domain/Json.ts"
import type { Exit, ProcessError, Running, Spawn } from "../process/index.ts"

/** What an OS process left behind. Output of any size: what is too large for a row stands as a short claim on it. */
export interface Ran {
  readonly exit: Exit
  readonly stdout: string
  readonly stderr: string
}

export class ToolContext extends Context.Tag("perdure/ToolContext")<
  ToolContext,
  {
    readonly namespace: Namespace
    readonly session: SessionId
    readonly turn: number
    readonly step: StepId
    /** 1 for the first try. */
    readonly attempt: number
    /** The same for every attempt of this call, and for no other call: give it to services that know such keys. */
    readonly idempotencyKey: string
    /** Shows a line of progress to whoever follows the session now. Not journaled. */
    readonly progress: (text: string) => Effect.Effect<void>
    /** What an earlier attempt of this call saved. */
    readonly saved: Json | undefined
    /** Commits a point from which a next attempt can go on. */
    readonly save: (partial: Json) => Effect.Effect<void>
    /** Starts an OS process that ends with this call at the latest, with all its descendants (I7). */
    readonly spawn: (spawn: Spawn) => Effect.Effect<Running, ProcessError>
    /** Runs an OS process to its end, and every descendant with it (I7). */
    readonly run: (spawn: Spawn) => Effect.Effect<Ran, ProcessError | StoreUnavailable>
    /**
     * Writes content of any size to the store as it comes. The text that it gives stands for it wherever it is put in
     * the tool's result; the model sees its head and tail.
     */
    readonly attach: <E, R>(content: Stream.Stream<Uint8Array, E, R>) => Effect.Effect<string, E | StoreUnavailable, R>
  }
>() {}
