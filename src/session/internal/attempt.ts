/** One attempt of a step: runs it and says what came of it, as entries' worth of data. Never fails. */
import { createHash } from "node:crypto"
import { Cause, Effect, Exit, Random } from "effect"
import { type Blobs, Claim } from "../../blob/index.ts"
import type { Entry, StepKind } from "../../domain/Entry.ts"
import type { StoreUnavailable } from "../../domain/Errors.ts"
import { type Drawn, type Failure, StepFailure } from "../../domain/Failure.ts"
import type { SessionKey, StepId } from "../../domain/Id.ts"
import { fromUnknown, type Json } from "../../domain/Json.ts"
import type { Usage } from "../../domain/Usage.ts"
import type { Behaviour, StepOutput } from "../Behaviour.ts"
import type { OpenStep } from "../State.ts"
import { canAsk, doubted, found, inTime, isAsked, unanswered } from "./doubted.ts"
import { judged } from "./judged.ts"

/** The same for every attempt of a step, and for no other step. */
export const idempotencyKey = (key: SessionKey, step: StepId): string =>
  createHash("sha256").update(`${key}#${step}`).digest("hex").slice(0, 40)

/** What an attempt came to; large content is claimed already. */
export type AttemptExit =
  | { readonly _tag: "Succeeded"; readonly output: StepOutput }
  | {
      readonly _tag: "Failed"
      readonly failure: Failure
      readonly partial: Json | undefined
      readonly usage: Usage | undefined
      readonly drawn?: Drawn | undefined
      /** Drawn once, for the jitter of a retry. */
      readonly random: number
    }
  /** The store refused the content: the attempt has no outcome, and the session cannot go on here. */
  | { readonly _tag: "Unstorable"; readonly error: StoreUnavailable }

const failureOf = (
  cause: Cause.Cause<StepFailure>
): { failure: Failure; partial?: unknown; usage?: Usage | undefined; drawn?: Drawn | undefined } => {
  const squashed = Cause.squash(cause)
  if (squashed instanceof StepFailure) return squashed
  if (Cause.isInterruptedOnly(cause)) {
    return { failure: { class: "Stopped", message: "stopped before it was done" } }
  }
  const message = squashed instanceof Error ? `${squashed.name}: ${squashed.message}` : String(squashed)
  return { failure: { class: "Defect", message: message.slice(0, 2_000) } }
}

/** @param spent what it has told to have used before it was interrupted */
export const settle = (
  key: SessionKey,
  kind: StepKind,
  exit: Exit.Exit<StepOutput, StepFailure>,
  spent?: Usage
): Effect.Effect<AttemptExit, never, Blobs> => {
  const textsOnly = kind === "model"
  const unstorable = (error: StoreUnavailable): AttemptExit => ({ _tag: "Unstorable", error })
  if (Exit.isSuccess(exit)) {
    const output = exit.value
    return Effect.match(Claim.check(key.namespace, output.output, { own: output.claims, textsOnly }), {
      onFailure: unstorable,
      onSuccess: (claimed) => ({
        _tag: "Succeeded",
        output: claimed === output.output ? output : { ...output, output: claimed }
      })
    })
  }
  const { drawn, failure, partial, usage = spent } = failureOf(exit.cause)
  return Effect.zipWith(
    partial === undefined ? Effect.succeed(undefined) : Claim.check(key.namespace, fromUnknown(partial), { textsOnly }),
    Random.next,
    (partial, random): AttemptExit => ({ _tag: "Failed", failure, partial, usage, drawn, random })
  ).pipe(Effect.catchAll((error) => Effect.succeed(unstorable(error))))
}

/** The entry that an attempt's end becomes. Pure. */
export const entryOf = (
  behaviour: Behaviour,
  step: OpenStep,
  stopping: boolean,
  startedAt: number,
  now: number,
  exit: Exclude<AttemptExit, { _tag: "Unstorable" }>
): Entry => {
  if (exit._tag === "Succeeded") {
    const { reconciled } = exit.output
    if (reconciled !== undefined && reconciled !== "happened") {
      return inTime(behaviour, step, found(behaviour, step, reconciled, startedAt, stopping, now))
    }
    return {
      _tag: "StepSucceeded",
      step: step.step,
      attempt: step.attempt,
      startedAt,
      output: exit.output.output,
      ...(exit.output.usage === undefined ? {} : { usage: exit.output.usage }),
      ...(exit.output.drawn === undefined ? {} : { drawn: exit.output.drawn }),
      ...(reconciled === undefined ? {} : { reconciled })
    }
  }
  const { failure } = exit
  const failed = { ...exit, startedAt }
  if (step.repeatable === "never") {
    // It ran elsewhere, on a runner that is gone: as after a crash of this one (I5).
    if (failure.class === "RunnerLost") return doubted(behaviour, step, failure, startedAt, stopping, now)
    if (isAsked(step)) {
      // To ask changes nothing: it is asked again, as long as the policy says.
      const again = judged(behaviour.policy, { ...step, repeatable: "readonly" }, failed, stopping, now)
      return again._tag === "StepFailed" || again.decided?.plan === "ask"
        ? unanswered(behaviour, step, failure, startedAt, stopping || failure.class === "Stopped", now)
        : { ...again, nextInput: "reconcile" }
    }
    // What was cut off for its time may have had its effect before.
    if (failure.class === "TimedOut" && canAsk(behaviour, step)) {
      return doubted(behaviour, step, failure, startedAt, stopping, now)
    }
  }
  return inTime(behaviour, step, judged(behaviour.policy, step, failed, stopping, now))
}
