/** Accepting commands, once each (I1). */
import { createHash } from "node:crypto"
import { Effect } from "effect"
import type { Command } from "../../domain/Entry.ts"
import * as Errors from "../../domain/Errors.ts"
import type { CommandId, SessionKey } from "../../domain/Id.ts"
import { refuse } from "../Decide.ts"
import { settle } from "../Doubt.ts"
import type { Ack, Refused } from "../Protocol.ts"
import type { Draft } from "./draft.ts"

/** Answers that are remembered; older ones are looked up in the store. */
const mostRemembered = 1_000

/** What tells one command from another: itself, or its hash where that is shorter. */
const fingerprint = (command: Command): string => {
  const text = JSON.stringify(command)
  return text.length <= 128 ? text : createHash("sha256").update(text).digest("base64")
}

/** What it wanted to decide. */
const subjectOf = (command: Command): string => {
  if (command._tag === "Decide") return command.pause
  return "step" in command && command.step !== undefined ? `step ${command.step}` : "what is parked"
}

export class Commands {
  private readonly accepted = new Map<CommandId, { readonly seq: number; readonly command: string }>()

  /** @param forgot whether commands may have been accepted that are not remembered here */
  constructor(
    private readonly key: SessionKey,
    private readonly capacity: number,
    private forgot: boolean
  ) {}

  /** Whether it can be said without asking the store if the id was used before. */
  knows(id: CommandId): boolean {
    return !this.forgot || this.accepted.has(id)
  }

  /** Drafts the command, and says what to answer once the draft is on disk. */
  accept(draft: Draft, id: CommandId, command: Command): Effect.Effect<Ack, Refused> {
    const { key } = this
    const text = fingerprint(command)
    const known = this.accepted.get(id)
    if (known !== undefined) {
      return known.command === text
        ? Effect.succeed({ seq: known.seq })
        : Effect.fail(new Errors.CommandConflict({ ...key, command: id }))
    }
    // What it asks for is so already.
    if (draft.state.ended !== null && command._tag === "Cancel") return Effect.succeed({ seq: draft.state.seq })
    if (draft.state.seq === 0) return Effect.fail(new Errors.SessionNotFound(key))
    switch (refuse(draft.state, command, this.capacity)) {
      case "closed":
        return Effect.fail(new Errors.SessionClosed(key))
      case "busy":
        return Effect.fail(new Errors.SessionBusy(key))
      case "undecidable":
        return Effect.fail(new Errors.NothingToDecide({ ...key, pause: subjectOf(command) }))
      case "full":
        return Effect.fail(new Errors.MailboxFull({ ...key, capacity: this.capacity }))
      case null: {
        const reason = draft.behaviour.refuses?.(command) ?? null
        if (reason !== null) return Effect.fail(new Errors.InvalidInput({ what: "message", reason }))
        const follows = command._tag === "Settle" ? settle(draft.behaviour, draft.state, id, command, draft.now) : []
        if ("wrong" in follows) {
          return Effect.fail(new Errors.InvalidInput({ what: "verdict", reason: follows.wrong }))
        }
        draft.push({ _tag: "CommandAccepted", id, command })
        const { seq } = draft.state
        for (const entry of follows) draft.push(entry)
        this.remember(id, seq, text)
        return Effect.succeed({ seq })
      }
    }
  }

  private remember(id: CommandId, seq: number, command: string): void {
    this.accepted.set(id, { seq, command })
    if (this.accepted.size <= mostRemembered) return
    this.accepted.delete(this.accepted.keys().next().value!)
    this.forgot = true
  }
}
