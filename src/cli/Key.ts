/** A session that is named on the command line. */
import { Effect, Schema } from "effect"
import { SessionNotFound } from "../domain/Errors.ts"
import { explain, SessionId, SessionKey } from "../domain/Id.ts"
import { Store } from "../store/index.ts"
import { BadArgument } from "./CliError.ts"
import type { Where } from "./Where.ts"

export const of = (where: Where, session: string): Effect.Effect<SessionKey, BadArgument> =>
  Schema.decodeUnknown(SessionId)(session).pipe(
    Effect.mapBoth({
      onFailure: (error) => new BadArgument({ argument: "SESSION", reason: explain(error) }),
      onSuccess: (id) => SessionKey.make({ namespace: where.namespace, session: id })
    })
  )

/** What the store knows of it; `SessionNotFound` where it knows nothing. */
export const existing = (key: SessionKey) =>
  Effect.flatMap(
    Effect.flatMap(Store, (store) => store.session(key.namespace, key.session)),
    (info) =>
      info === null
        ? Effect.fail(new SessionNotFound({ namespace: key.namespace, session: key.session }))
        : Effect.succeed(info)
  )
