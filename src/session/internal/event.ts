/** What happens to a session, and what it leads to. */
import { Deferred, Effect } from "effect"
import type { Command, SessionCreated } from "../../domain/Entry.ts"
import type { CommandId, TimerId } from "../../domain/Id.ts"
import type { Json } from "../../domain/Json.ts"
import type { Behaviour } from "../Behaviour.ts"
import type { Ack, Refused, Unavailable } from "../Protocol.ts"
import type { OpenStep } from "../State.ts"
import { afford } from "./afford.ts"
import { type AttemptExit, entryOf } from "./attempt.ts"
import type { Commands } from "./commands.ts"
import type { Draft } from "./draft.ts"
import type { Running } from "./running.ts"

export type Event =
  | { readonly _tag: "Create"; readonly created: SessionCreated; readonly reply: Deferred.Deferred<Ack, Unavailable> }
  | {
      readonly _tag: "Command"
      readonly id: CommandId
      readonly command: Command
      readonly reply: Deferred.Deferred<Ack, Unavailable | Refused>
    }
  | { readonly _tag: "Ended"; readonly step: OpenStep; readonly startedAt: number; readonly exit: AttemptExit }
  | {
      readonly _tag: "Save"
      readonly step: OpenStep
      readonly partial: Json | undefined
      readonly reply: Deferred.Deferred<void, Unavailable>
    }
  | { readonly _tag: "Wake" }

/** Whom it happens to. */
export interface Subject {
  readonly behaviour: Behaviour
  readonly commands: Commands
  readonly running: Running
  failure: Unavailable | null
}

/** Drafts what an event leads to, and returns what to do for its sender once that is on disk. */
export const take = (to: Subject, draft: Draft, event: Event): (() => void) | null => {
  switch (event._tag) {
    case "Create":
      if (draft.state.seq === 0) draft.push(event.created)
      return () => Deferred.unsafeDone(event.reply, Effect.succeed({ seq: 1 }))
    case "Command": {
      const answer = to.commands.accept(draft, event.id, event.command)
      return () => Deferred.unsafeDone(event.reply, answer)
    }
    case "Ended": {
      const { exit, startedAt, step: of } = event
      to.running.delete(of.step)
      const step = draft.state.open[of.step]
      if (step === undefined || step.attempt !== of.attempt) return null
      if (exit._tag === "Unstorable") {
        to.failure = exit.error
        return null
      }
      const stopping = draft.state.turn?.stopping != null
      const entry = entryOf(to.behaviour, step, stopping, startedAt, draft.now, exit)
      draft.push(afford(to.behaviour, draft.state, draft.now, entry))
      return null
    }
    case "Save": {
      const { partial } = event
      const { attempt, step } = event.step
      if (draft.state.open[step]?.attempt === attempt) {
        draft.push({ _tag: "StepProgress", step, attempt, ...(partial === undefined ? {} : { partial }) })
      }
      return () => Deferred.unsafeDone(event.reply, Effect.void)
    }
    case "Wake":
      for (const [timer, due] of Object.entries(draft.state.timers)) {
        if (due <= draft.now) draft.push({ _tag: "TimerFired", timer: timer as TimerId })
      }
      return null
  }
}
