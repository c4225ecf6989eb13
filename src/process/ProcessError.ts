/**
 * What can go wrong with a process, each named as a fact.
 *
 * Messages name the command, never its arguments, environment or output: those may hold secrets.
 */
import { Schema } from "effect"

/** Neither the command nor its working directory can be run in if it is not there. Nothing was started. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {
  what: Schema.Literal("command", "directory"),
  /** The command or directory as it was asked for. */
  path: Schema.String
}) {
  override get message() {
    return this.what === "command"
      ? `there is no command "${this.path}": install it, give its absolute path, or grant a PATH that has it`
      : `the working directory "${this.path}" does not exist: create it before the process is started`
  }
}

/** The command or its working directory is there, but may not be used. Nothing was started. */
export class NotPermitted extends Schema.TaggedError<NotPermitted>()("NotPermitted", {
  what: Schema.Literal("command", "directory"),
  path: Schema.String
}) {
  override get message() {
    return this.what === "command"
      ? `"${this.path}" may not be executed: make it an executable file (chmod +x), or run it through its interpreter`
      : `"${this.path}" may not be used as a working directory: it must be a directory that this user may enter`
  }
}

/** The operating system refused to start the process. */
export class SpawnFailed extends Schema.TaggedError<SpawnFailed>()("SpawnFailed", {
  command: Schema.String,
  /** Why, and what to do. */
  reason: Schema.String,
  /** The system's name for it, e.g. `EAGAIN`, where it gave one. */
  code: Schema.optional(Schema.String)
}) {
  override get message() {
    return `"${this.command}" could not be started: ${this.reason}`
  }
}

/** The process ran longer than its `timeout`; its whole tree was torn down. */
export class TimedOut extends Schema.TaggedError<TimedOut>()("TimedOut", {
  command: Schema.String,
  timeoutMs: Schema.Number,
  /** What it had written by then, as far as `Processes.run` captured it; empty from `Processes.start`. */
  stdout: Schema.String,
  stderr: Schema.String
}) {
  override get message() {
    return `"${this.command}" was still running after ${this.timeoutMs} ms and was stopped: give it more time, or less to do`
  }
}

/** Something was written to a process that does not take input (any more). */
export class StdinClosed extends Schema.TaggedError<StdinClosed>()("StdinClosed", { command: Schema.String }) {
  override get message() {
    return `"${this.command}" takes no input: it has ended or closed it, or was started without \`keepStdinOpen\``
  }
}

/** The pipe from the process failed while it was read. What was read before is right, what follows is lost. */
export class PipeBroken extends Schema.TaggedError<PipeBroken>()("PipeBroken", {
  command: Schema.String,
  channel: Schema.Literal("stdout", "stderr"),
  /** The system's name for it. */
  code: Schema.String
}) {
  override get message() {
    return `the ${this.channel} of "${this.command}" could not be read to its end (${this.code}): run it again`
  }
}

export type ProcessError = NotFound | NotPermitted | SpawnFailed | TimedOut | StdinClosed | PipeBroken
