import { Schema } from "effect"
import { Namespace, Seq, SessionId } from "../domain/Id.ts"

/** An entry is there and cannot be read: redacted, damaged, or written by a newer Perdure. All others can (I13). */
export class EntryUnreadable extends Schema.TaggedError<EntryUnreadable>()("EntryUnreadable", {
  namespace: Namespace,
  session: SessionId,
  seq: Seq,
  /** What is wrong with it and what to do, free of its content. */
  reason: Schema.String
}) {
  override get message() {
    return `entry ${this.seq} of session ${this.namespace}/${this.session} cannot be read: ${this.reason}`
  }
}
