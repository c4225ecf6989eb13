/** What is done beside the journal when an entry is on disk: live text, timers, spans. */
import { Effect } from "effect"
import type { Entry } from "../../domain/Entry.ts"
import type { SessionKey, Shard } from "../../domain/Id.ts"
import type { Live } from "../../feed/index.ts"
import type { Ground } from "./ground.ts"
import * as TurnSpan from "./turnSpan.ts"

export interface Followed {
  readonly ground: Pick<Ground, "alarms" | "clock" | "traced">
  readonly key: SessionKey
  readonly shard: Shard
  readonly live: Live
  turnSpan: TurnSpan.TurnSpan
  readonly openSpan: () => void
  readonly fork: (effect: Effect.Effect<void>) => void
}

const seen = ({ ground, turnSpan }: Followed, entry: Entry): void => {
  const now = ground.clock.unsafeCurrentTimeMillis()
  if (entry._tag === "AttemptFailed" || entry._tag === "StepFailed") TurnSpan.attemptFailed(turnSpan, entry, now)
  if (entry._tag === "Noted" || entry._tag === "Paused" || entry._tag === "Resumed") {
    TurnSpan.noted(turnSpan, entry, now)
  }
}

const brokenPolicy = (key: SessionKey, step: string, threw: string): string =>
  `the policy of session ${key} threw at step ${step}, which has failed for it: ${threw}`

export const follow = (of: Followed, entry: Entry): void => {
  const { ground, key, live } = of
  if (ground.traced) seen(of, entry)
  switch (entry._tag) {
    case "AttemptFailed":
      if (entry.nextInput === "continue") live.goOn(entry.step)
      else live.begin(entry.step, { text: "", reasoning: "" })
      break
    case "StepFailed":
      if (entry.decided?.threw !== undefined)
        of.fork(Effect.logError(brokenPolicy(key, entry.step, entry.decided.threw)))
      live.end(entry.step)
      break
    case "StepSucceeded":
    case "StepInDoubt":
      live.end(entry.step)
      break
    case "TurnStarted":
      of.openSpan()
      break
    case "TurnEnded":
      of.turnSpan.end(entry.outcome._tag)
      of.turnSpan = TurnSpan.none
      break
    case "TimerSet":
      ground.alarms.set(key, of.shard, entry.timer, entry.due)
      break
    case "TimerFired":
    case "TimerCleared":
      ground.alarms.clear(key, entry.timer)
      break
  }
}
