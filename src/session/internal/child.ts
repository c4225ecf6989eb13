/**
 * A step that is another session: it creates that one, gives it its task, and waits until it is over.
 *
 * The child's id comes from the step, and every request is idempotent: whoever takes the step over takes the same child
 * over. It is stopped by being told, and is over before its step is (I10), with all that it used accounted for.
 */
import { createHash } from "node:crypto"
import { Cause, Deferred, Effect, Schedule } from "effect"
import type { Amounts, Drawn, SessionCreated, SessionOutcome } from "../../domain/Entry.ts"
import { type FailureClass, StepFailure } from "../../domain/Failure.ts"
import { AgentName, CommandId, SessionId, SessionKey, type StepId } from "../../domain/Id.ts"
import type { UserPart } from "../../domain/Message.ts"
import type { Usage } from "../../domain/Usage.ts"
import { SessionEntity } from "../Protocol.ts"

/** What a child is to do, and who is to do it. */
export interface Task {
  readonly agent: string
  readonly agentVersion: string
  readonly parts: ReadonlyArray<UserPart>
}

/** A child that is over. */
export interface Ended {
  readonly outcome: SessionOutcome
  readonly usage: Usage
  /** With what its own children have done. */
  readonly drawn: Drawn
  /** It was told to stop. */
  readonly stopped: boolean
}

/** Of a step's child: always the same, whoever asks. Readable where there is room. */
export const idOf = (parent: SessionId, step: StepId): SessionId => {
  const id = `${parent}~${step}`
  if (id.length <= 160) return SessionId.make(id)
  const hash = createHash("sha256").update(parent).digest("hex").slice(0, 32)
  return SessionId.make(`${parent.slice(0, 80)}~${hash}~${step}`)
}

/** How to reach sessions, wherever they are. */
export const remotes = SessionEntity.client
export type Remotes = Effect.Effect.Success<typeof remotes>

/** What passes: the session has moved, its runner has died, the store does not answer. */
const passing: ReadonlySet<string> = new Set([
  "Fenced",
  "StoreUnavailable",
  "AlreadyProcessingMessage",
  "PersistenceError",
  "RpcClientError",
  "MailboxFull"
])

const waitMs = 10_000
const again = { _tag: "Fenced" } as const

/** Asks until there is an answer: a child that cannot be reached is not over. */
const ask = <A, E extends { readonly _tag: string }>(request: Effect.Effect<A, E>, extraMs = 0) =>
  request.pipe(
    // A session that leaves its runner hands its own interruption on, as if it were an answer.
    Effect.catchAllCause(
      (cause): Effect.Effect<never, E | typeof again> =>
        Cause.isInterruptedOnly(cause) ? Effect.fail(again) : Effect.failCause(cause)
    ),
    Effect.timeoutFail({ duration: 5_000 + extraMs, onTimeout: () => again }),
    Effect.retry({
      while: (error) => passing.has(error._tag),
      schedule: Schedule.exponential("10 millis", 1.6).pipe(Schedule.union(Schedule.spaced("500 millis")))
    })
  )

const failWith = (failureClass: FailureClass, message: string) =>
  new StepFailure({ failure: { class: failureClass, message } })

const failureOf = (error: { readonly _tag: string; readonly message?: string }) =>
  error._tag === "AgentUnknown"
    ? failWith("InvalidRequest", `its agent is on no runner: ${error.message}`)
    : failWith("Defect", `the child cannot go on: ${error.message ?? error._tag}`)

export interface Parent {
  readonly key: SessionKey
  readonly step: StepId
  /** What it has set aside for the child. */
  readonly budget: Amounts
}

/** @param stop done when the child is to be stopped */
export const run = (
  remotes: Remotes,
  { budget, key, step }: Parent,
  { agent, agentVersion, parts }: Task,
  stop: Deferred.Deferred<void>
): Effect.Effect<Ended, StepFailure> => {
  const child = SessionKey.make({ namespace: key.namespace, session: idOf(key.session, step) })
  const remote = remotes(String(child))
  const created: SessionCreated = {
    _tag: "SessionCreated",
    agent: AgentName.make(agent),
    agentVersion,
    attributes: { "perdure.parent": key.session },
    parent: { session: key.session, step },
    budget
  }
  const over: Effect.Effect<void, StepFailure> = Effect.suspend(() => {
    const wait = (seq: number): Effect.Effect<void, StepFailure> =>
      ask(remote.Pull({ seq, seen: {}, waitMs, quiet: true }), waitMs).pipe(
        Effect.mapError(failureOf),
        Effect.flatMap((reply) => (reply.ended ? Effect.void : wait(reply.seq)))
      )
    return wait(0)
  })
  const cancel = ask(
    remote.Accept({ id: CommandId.make("stop"), command: { _tag: "Cancel", reason: "its parent was stopped" } })
  ).pipe(Effect.mapError(failureOf))

  return Effect.gen(function* () {
    yield* ask(remote.Create({ created }))
    yield* ask(
      remote.Accept({ id: CommandId.make("task"), command: { _tag: "Send", parts, whenBusy: "enqueue" } })
      // It was given its task before, and has ended since.
    ).pipe(Effect.catchTag("SessionClosed", () => Effect.void))
    const stopped = Effect.zipRight(Deferred.await(stop), Effect.zipRight(cancel, Effect.never))
    yield* Effect.raceFirst(over, stopped)
    const { outcome, usage, used } = yield* ask(remote.Inspect())
    if (outcome === null) return yield* Effect.dieMessage(`session ${child} is over and has no outcome`)
    return { outcome, usage, drawn: used, stopped: yield* Deferred.isDone(stop) }
  }).pipe(Effect.mapError((error) => (error instanceof StepFailure ? error : failureOf(error))))
}
