/** A reader of a session's feed: it loses it, goes away, and comes back with the cursor that it had. */
import { Cause, Effect, Option, Stream } from "effect"
import type { Session } from "../../../client/index.ts"
import type { Prng } from "./Prng.ts"
import { told } from "./told.ts"
import type { World } from "./World.ts"

/** What of it outlives its process. */
export interface Reader {
  readonly name: string
  cursor: string | null
  ended: boolean
}

interface Host {
  readonly world: World
  /** Nobody goes away any more. */
  readonly calm: boolean
}

/** @param session its key */
export const follow = (
  host: Host,
  session: string,
  held: Session,
  reader: Reader,
  random: Prng
): Effect.Effect<void> => {
  const { history } = host.world
  const { name } = reader
  const patience = Effect.suspend(() => (host.calm ? Effect.never : Effect.sleep(random.skewed(200, 20_000))))
  const once = Effect.suspend(() => {
    history.record({ _tag: "Follow", reader: name, session, cursor: reader.cursor })
    return held.feed({ after: reader.cursor ?? undefined }).pipe(
      Stream.runForEach((event) =>
        Effect.sync(() => {
          reader.cursor = event.cursor
          history.record({ _tag: "Read", reader: name, session, event })
        })
      ),
      Effect.map(() => {
        reader.ended = true
      }),
      Effect.raceFirst(patience),
      Effect.catchAllCause((cause) =>
        Effect.sync(() => {
          const failure = Option.getOrNull(Cause.failureOption(cause))
          const error = failure?._tag ?? "Defect"
          history.record({ _tag: "Refused", client: name, session, command: "feed", error, message: told(cause) })
        })
      )
    )
  })
  return Effect.zipRight(
    once,
    Effect.suspend(() => Effect.sleep(random.skewed(1, 1_000)))
  ).pipe(Effect.repeat({ until: () => reader.ended }), Effect.asVoid)
}
