/** A step whose outcome is not in the journal yet. Pure. */
import type {
  Amounts,
  AttemptFailed,
  Decided,
  NextInput,
  Repeatable,
  StepIntended,
  StepKind,
  StepProgress
} from "../domain/Entry.ts"
import type { Failure } from "../domain/Failure.ts"
import type { StepId } from "../domain/Id.ts"
import type { Json } from "../domain/Json.ts"

export interface OpenStep {
  readonly step: StepId
  readonly turn: number
  readonly kind: StepKind
  readonly name: string
  readonly input: Json
  readonly repeatable: Repeatable
  /** The attempt that runs or comes next; 1 is the first. */
  readonly attempt: number
  /** When that attempt is due, in milliseconds since the epoch. */
  readonly dueAt: number
  /** Whether the journal says that the attempt has begun; one that says nothing of it may have. */
  readonly begun?: boolean | undefined
  /** When the step was intended; left out by what is older. */
  readonly since?: number | undefined
  readonly nextInput: NextInput
  /** What earlier attempts produced or saved. */
  readonly partial: Json | undefined
  /** Of a child: what is set aside for it. */
  readonly reserved?: Amounts | undefined
  /** The model that the attempt asks, by name; left out for the first of the agent's chain. */
  readonly model?: string | undefined
  /** How many attempts have failed since the model was changed; left out where none has. */
  readonly failures?: number | undefined
  /** Why there is another attempt; left out for the first. */
  readonly why?: { readonly failure: Failure; readonly decided?: Decided | undefined } | undefined
  /** It does not begin until a human has decided. */
  readonly held?: boolean | undefined
}

/** A step that is intended. */
export const intended = (entry: StepIntended, at: number): OpenStep => ({
  step: entry.step,
  turn: entry.turn,
  kind: entry.kind,
  name: entry.name,
  input: entry.input,
  repeatable: entry.repeatable,
  attempt: 1,
  dueAt: at,
  since: at,
  nextInput: "original",
  partial: undefined,
  ...(entry.reserved === undefined ? {} : { reserved: entry.reserved })
})

/** The same when its attempt has begun, and has something to keep maybe. */
export const progressed = (step: OpenStep, { partial }: StepProgress): OpenStep => ({
  ...step,
  begun: true,
  ...(partial === undefined ? {} : { partial })
})

/** The same after a failed attempt. */
export const nextAttempt = (step: OpenStep, entry: AttemptFailed): OpenStep => {
  const { attempt, decided, failure, nextInput, retryAt: dueAt, startedAt } = entry
  // What a model had said is gone where the next attempt begins anew: a recovery must not go on from it.
  const partial = step.kind === "model" && nextInput !== "continue" ? undefined : (entry.partial ?? step.partial)
  const { begun: _, ...same } = step
  const next = { ...same, attempt: attempt + 1, dueAt, nextInput, partial }
  // Lost before its time: it is only counted anew, for the reasons that there were.
  if (startedAt < step.dueAt) return { ...next, failures: step.failures ?? step.attempt - 1 }
  return {
    ...next,
    failures: decided?.model === undefined ? (step.failures ?? step.attempt - 1) + 1 : 0,
    why: decided === undefined ? { failure } : { failure, decided },
    ...(decided?.model === undefined ? {} : { model: decided.model }),
    ...(decided?.plan === "ask" ? { held: true } : {})
  }
}
