/** Branded ids. Every key of every table begins with a {@link Namespace}. */
import { ParseResult, Schema } from "effect"

const named = (what: string, pattern: RegExp, rule: string) =>
  Schema.String.pipe(
    Schema.pattern(pattern, {
      message: (issue) => `${what} ${JSON.stringify(String(issue.actual).slice(0, 80))} is not valid: use ${rule}`
    })
  )

/** Isolation of tenants. */
export const Namespace = named(
  "namespace",
  /^[a-z0-9][a-z0-9._-]{0,62}$/,
  "1 to 63 lower-case letters, digits, '.', '_' or '-', a letter or digit first"
).pipe(Schema.brand("Namespace"))
export type Namespace = typeof Namespace.Type

export const defaultNamespace = Namespace.make("default")

/** A session's id, chosen by its creator: creating twice is one session. */
export const SessionId = named(
  "session id",
  /^[A-Za-z0-9][A-Za-z0-9._:@~+=-]{0,199}$/,
  "1 to 200 letters, digits or any of . _ : @ ~ + = -, a letter or digit first"
).pipe(Schema.brand("SessionId"))
export type SessionId = typeof SessionId.Type

/** The id of a command: sending it again changes nothing (I1). */
export const CommandId = named(
  "command id",
  /^[\x21-\x7e]{1,200}$/,
  "1 to 200 printable ASCII characters without spaces"
).pipe(Schema.brand("CommandId"))
export type CommandId = typeof CommandId.Type

export const AgentName = named(
  "agent name",
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/,
  "1 to 100 letters, digits, '.', '_' or '-', a letter or digit first"
).pipe(Schema.brand("AgentName"))
export type AgentName = typeof AgentName.Type

/** A step of one session: unique in it, stable across restarts. */
export const StepId = Schema.String.pipe(Schema.minLength(1), Schema.brand("StepId"))
export type StepId = typeof StepId.Type

export const TimerId = Schema.String.pipe(Schema.minLength(1), Schema.brand("TimerId"))
export type TimerId = typeof TimerId.Type

/** The place of an entry in its session's journal: 1, 2, 3 … without a gap (I4). */
export const Seq = Schema.NonNegativeInt.pipe(Schema.brand("Seq"))
export type Seq = typeof Seq.Type

/** The fencing number of a shard's owner: it grows each time that a runner acquires the shard (I3). */
export const Epoch = Schema.NonNegativeInt.pipe(Schema.brand("Epoch"))
export type Epoch = typeof Epoch.Type

/** What a runner owns, as the cluster prints it: `group:number`. */
export const Shard = Schema.String.pipe(Schema.brand("Shard"))
export type Shard = typeof Shard.Type

/** The full address of a session. */
export class SessionKey extends Schema.Class<SessionKey>("SessionKey")({
  namespace: Namespace,
  session: SessionId
}) {
  override toString(): string {
    return `${this.namespace}/${this.session}`
  }

  /** Whether `parse` can read it. */
  static isValid(text: string): boolean {
    const slash = text.indexOf("/")
    return slash > 0 && Schema.is(Namespace)(text.slice(0, slash)) && Schema.is(SessionId)(text.slice(slash + 1))
  }

  /** Reads what `toString` wrote. */
  static parse(text: string): SessionKey {
    const slash = text.indexOf("/")
    return SessionKey.make({
      namespace: Namespace.make(text.slice(0, slash)),
      session: SessionId.make(text.slice(slash + 1))
    })
  }
}

/** A readable sentence for what a user typed wrong. */
export const explain = (error: ParseResult.ParseError): string =>
  ParseResult.ArrayFormatter.formatErrorSync(error)
    .map((issue) => issue.message)
    .join("; ")
