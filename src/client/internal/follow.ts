/** A feed: the journal from the store, live text from the session's runner, by long poll. */
import { Chunk, Effect, Option, Stream } from "effect"
import { type Blobs, Claim } from "../../blob/index.ts"
import type { Recorded } from "../../domain/Entry.ts"
import type { BlobMissing, StoreUnavailable } from "../../domain/Errors.ts"
import type { SessionKey } from "../../domain/Id.ts"
import type { Json } from "../../domain/Json.ts"
import { type Cursor, Feed, type FeedEvent } from "../../feed/index.ts"
import type { EntryUnreadable, Journal } from "../../journal/index.ts"
import type { Protocol } from "../../session/index.ts"

const pageSize = 256

/** The text of model steps is part of the feed: a claim on it is resolved. All else stays as it is. */
const resolveText = (
  key: SessionKey,
  recorded: Recorded
): Effect.Effect<Recorded, BlobMissing | StoreUnavailable, Blobs> => {
  const { entry } = recorded
  const field = entry._tag === "StepSucceeded" ? "output" : entry._tag === "AttemptFailed" ? "partial" : null
  const content = field === null ? undefined : (entry as { readonly [field]?: Json })[field as never]
  if (field === null || content === undefined || !isModelOutput(content)) return Effect.succeed(recorded)
  return Effect.map(Claim.resolve(key.namespace, content), (whole) =>
    whole === content ? recorded : { ...recorded, entry: { ...entry, [field]: whole } as Recorded["entry"] }
  )
}

const isModelOutput = (content: Json): boolean => typeof content === "object" && content !== null && "parts" in content

export const follow = <E>(
  key: SessionKey,
  start: Cursor.Cursor,
  journal: Journal["Type"],
  pull: (request: Protocol.PullRequest) => Effect.Effect<Protocol.PullReply, E>,
  pollMs: number
): Stream.Stream<FeedEvent, E | StoreUnavailable | BlobMissing | EntryUnreadable, Blobs> => {
  const read = (after: number) =>
    Effect.flatMap(journal.page(key, after, pageSize), (entries) =>
      Effect.forEach(entries, (recorded) => resolveText(key, recorded))
    )

  interface Position {
    readonly cursor: Cursor.Cursor
    /** Whether the journal had no more when it was last read. */
    readonly caughtUp: boolean
    readonly done: boolean
  }

  const backlog = (position: Position) =>
    Effect.map(read(position.cursor.seq), (entries) => {
      const page = Feed.advance(position.cursor, entries, [])
      const next: Position = { cursor: page.cursor, caughtUp: entries.length < pageSize, done: false }
      return [page.events, next] as const
    })

  const fresh = (position: Position) =>
    Effect.gen(function* () {
      const { cursor } = position
      const reply = yield* pull({ seq: cursor.seq, seen: cursor.seen, waitMs: pollMs })
      const entries = reply.seq > cursor.seq ? (yield* read(cursor.seq)).filter(({ seq }) => seq <= reply.seq) : []
      const last = entries[entries.length - 1]?.seq ?? cursor.seq
      // Live text belongs behind the entries that the runner had: with fewer of them it would come too early.
      const complete = last >= reply.seq
      const page = Feed.advance(cursor, entries, complete ? reply.live : [])
      const done = reply.ended && complete
      return [page.events, { cursor: page.cursor, caughtUp: complete, done }] as const
    })

  return Stream.paginateChunkEffect<Position, FeedEvent, E | StoreUnavailable | BlobMissing | EntryUnreadable, Blobs>(
    { cursor: start, caughtUp: false, done: false },
    (position) =>
      Effect.map(position.caughtUp ? fresh(position) : backlog(position), ([events, next]) => [
        Chunk.unsafeFromArray(events),
        next.done ? Option.none() : Option.some(next)
      ])
  )
}
