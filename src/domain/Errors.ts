/**
 * Failures that users and operators meet: each named as a fact, with what, why and what to do about it.
 *
 * Rooms that have failures of their own define them beside the code that raises them.
 */
import { Schema } from "effect"
import { CommandId, Namespace, SessionId } from "./Id.ts"

const at = { namespace: Namespace, session: SessionId }

/** The store did not answer, or refused. What was asked may or may not have happened. */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()("StoreUnavailable", {
  operation: Schema.String,
  /** What went wrong and what to do, free of row contents. */
  reason: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  override get message() {
    return `the store failed at ${this.operation}: ${this.reason}`
  }
}

/** The store was written by a newer Perdure, or is not a store at all. */
export class StoreUnusable extends Schema.TaggedError<StoreUnusable>()("StoreUnusable", { reason: Schema.String }) {
  override get message() {
    return this.reason
  }
}

/** Another runner owns the session's shard now: this one may not write (I3). */
export class Fenced extends Schema.TaggedError<Fenced>()("Fenced", at) {
  override get message() {
    return `session ${this.namespace}/${this.session} is owned by another runner now: the caller is to try again there`
  }
}

/** No session has this id in this namespace. */
export class SessionNotFound extends Schema.TaggedError<SessionNotFound>()("SessionNotFound", at) {
  override get message() {
    return `there is no session ${this.namespace}/${this.session}: create it (\`--agent NAME\`), or check its id with \`perdure ls\``
  }
}

/** The session has ended: it takes no more commands. */
export class SessionClosed extends Schema.TaggedError<SessionClosed>()("SessionClosed", at) {
  override get message() {
    return `session ${this.namespace}/${this.session} has ended: start another one`
  }
}

/** A turn is running and the message asked to be rejected then. Nothing was journaled. */
export class SessionBusy extends Schema.TaggedError<SessionBusy>()("SessionBusy", at) {
  override get message() {
    return `session ${this.namespace}/${this.session} is in a turn: wait for it, or send with whenBusy "enqueue" or "interrupt"`
  }
}

/** The session's mailbox is full. Nothing was journaled. */
export class MailboxFull extends Schema.TaggedError<MailboxFull>()("MailboxFull", { ...at, capacity: Schema.Int }) {
  override get message() {
    return `session ${this.namespace}/${this.session} has ${this.capacity} messages waiting, as many as it takes: send again later`
  }
}

/** The session exists with another agent. */
export class AgentMismatch extends Schema.TaggedError<AgentMismatch>()("AgentMismatch", {
  ...at,
  expected: Schema.String,
  actual: Schema.String
}) {
  override get message() {
    return `session ${this.namespace}/${this.session} belongs to agent "${this.actual}", not to "${this.expected}": use another session id`
  }
}

/** No runner that was asked knows the agent. */
export class AgentUnknown extends Schema.TaggedError<AgentUnknown>()("AgentUnknown", {
  agent: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    return `no agent "${this.agent}" here: the runner knows ${this.known.length === 0 ? "none" : this.known.join(", ")}`
  }
}

/** A message is larger than the runner takes. Nothing was journaled. */
export class MessageTooLarge extends Schema.TaggedError<MessageTooLarge>()("MessageTooLarge", {
  bytes: Schema.Int,
  limit: Schema.Int
}) {
  override get message() {
    return `the message has ${this.bytes} bytes, the limit is ${this.limit}: send it in parts, or as a file part that names a URL`
  }
}

/** What was sent does not have the shape it should. Nothing was journaled (I13). */
export class InvalidInput extends Schema.TaggedError<InvalidInput>()("InvalidInput", {
  what: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.what}: ${this.reason}`
  }
}

/** A command id was used before with another content (I1). */
export class CommandConflict extends Schema.TaggedError<CommandConflict>()("CommandConflict", {
  ...at,
  command: CommandId
}) {
  override get message() {
    return `command id "${this.command}" of session ${this.namespace}/${this.session} was used before for another command: give each command an id of its own`
  }
}

/** A pause is not there, was decided before, or its turn is being stopped: a pause is decided once (I9). */
export class NothingToDecide extends Schema.TaggedError<NothingToDecide>()("NothingToDecide", {
  ...at,
  pause: Schema.String
}) {
  override get message() {
    return `there is nothing to decide about "${this.pause}" in session ${this.namespace}/${this.session}: it was decided before, or is over; \`state\` (\`perdure trace\`) shows what waits`
  }
}

/** A message came under a shard that its session's id does not belong to, or for an id that is none. It was not looked at. */
export class Misrouted extends Schema.TaggedError<Misrouted>()("Misrouted", { reason: Schema.String }) {
  override get message() {
    return `the message was refused: ${this.reason}`
  }
}

/** An entry of the session cannot be read, so its state is not known. It is parked; all others go on (I13). */
export class SessionParked extends Schema.TaggedError<SessionParked>()("SessionParked", {
  ...at,
  reason: Schema.String
}) {
  override get message() {
    return `session ${this.namespace}/${this.session} is parked: ${this.reason}`
  }
}

/** Content is gone from the store. */
export class BlobMissing extends Schema.TaggedError<BlobMissing>()("BlobMissing", {
  namespace: Namespace,
  hash: Schema.String,
  /** Where only a part of it is gone or damaged: which. */
  reason: Schema.optional(Schema.String)
}) {
  override get message() {
    return `blob ${this.hash} of namespace ${this.namespace} is not in the store: ${this.reason ?? "it was deleted, or the store was restored without it"}`
  }
}

/** No runner could be reached in time. The command may or may not have been accepted: send it again with the same id. */
export class RunnerUnreachable extends Schema.TaggedError<RunnerUnreachable>()("RunnerUnreachable", {
  reason: Schema.String
}) {
  override get message() {
    return `no runner answered: ${this.reason}`
  }
}
