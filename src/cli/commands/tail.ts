/**
 * `perdure tail`: a session's feed, live. Through the runner where one is up; where none is, from the store: then entries
 * come as they are written, and live text when there is a runner again.
 */
import { Chunk, Context, Duration, Effect, Option, Stream } from "effect"
import { Client, ClientSettings } from "../../client/index.ts"
import type { SessionKey } from "../../domain/Id.ts"
import { Cursor, Feed, type FeedEvent } from "../../feed/index.ts"
import { Journal } from "../../journal/index.ts"
import * as Follow from "../Follow.ts"
import * as Key from "../Key.ts"
import * as Where from "../Where.ts"

export interface Options extends Where.Options {
  readonly session: string
  readonly after: Option.Option<string>
  readonly noFollow: boolean
  readonly json: boolean
  readonly colours: boolean
}

/** How often a store without a runner is looked at, and how often, in looks, a runner is looked for. */
const look = Duration.millis(200)
const looksForRunner = 5

const pageEntries = 256

/** A reader's place that moves as events are shown: what a next source goes on from. */
interface Place {
  cursor: Cursor.Cursor
}

/** What is in the store beyond the cursor. */
const stored = (key: SessionKey, place: Place): Stream.Stream<FeedEvent, unknown, Journal> =>
  Stream.repeatEffectChunkOption(
    Effect.gen(function* () {
      const journal = yield* Journal
      const entries = yield* Effect.mapError(journal.page(key, place.cursor.seq, pageEntries), Option.some)
      if (entries.length === 0) return yield* Effect.fail(Option.none())
      const page = Feed.advance(place.cursor, entries, [])
      place.cursor = page.cursor
      return Chunk.unsafeFromArray(page.events)
    })
  )

/** What the runner sends, until it is gone. */
const live = (where: Where.Where, key: SessionKey, place: Place): Stream.Stream<FeedEvent, unknown> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const services = yield* Where.buildClient(where)
      const session = yield* Context.get(services, Client.Client).existing(key.session, { namespace: key.namespace })
      return session.feed({ after: Cursor.encode(place.cursor) })
    })
  ).pipe(
    Stream.tap((event) =>
      Effect.map(Cursor.decode(event.cursor), (cursor) => {
        place.cursor = cursor
      })
    )
  )

const isGone = (error: unknown): boolean =>
  typeof error === "object" &&
  error !== null &&
  "_tag" in error &&
  (error._tag === "NoRunner" || error._tag === "RunnerUnreachable" || error._tag === "AgentUnknown")

export const main = (options: Options) =>
  Effect.gen(function* () {
    const where = yield* Where.of(options)
    const key = yield* Key.of(where, options.session)
    const cursor = Option.isSome(options.after) ? yield* Cursor.decode(options.after.value) : Cursor.start
    const place: Place = { cursor }
    const view = Follow.view(options.json, options.colours)
    let ended = false
    const show = <E, R>(events: Stream.Stream<FeedEvent, E, R>) =>
      Follow.show(events, view, (event) =>
        Effect.sync(() => (ended = event._tag === "Entry" && event.recorded.entry._tag === "SessionEnded"))
      )

    yield* Effect.gen(function* () {
      const info = yield* Key.existing(key)
      yield* show(stored(key, place))
      if (options.noFollow || info.status === "ended") return
      for (let looks = 0; !ended; looks++) {
        if (looks % looksForRunner === 0) {
          yield* show(live(where, key, place)).pipe(Effect.catchIf(isGone, () => Effect.void))
        }
        if (ended) return
        yield* Effect.sleep(look)
        yield* show(stored(key, place))
      }
    }).pipe(
      Effect.provide(Where.reader(where)),
      // A runner that has died is told by silence: the store goes on telling what there is.
      Effect.provideService(ClientSettings, { attempt: "2 seconds", total: "3 seconds", poll: "20 seconds" })
    )
  })
