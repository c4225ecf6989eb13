/** Answers long polls: at once where there is news, else at the next change. */
import { Effect } from "effect"
import type { Live } from "../../feed/index.ts"
import type { PullReply, PullRequest, Unavailable } from "../Protocol.ts"
import type { Shards } from "../Shards.ts"
import type { SessionState } from "../State.ts"
import type { Waiter } from "./waiters.ts"

export interface Source {
  readonly live: Live
  readonly shards: Shards["Type"]
  /** The journal's end. */
  readonly seq: number
  readonly state: SessionState
  /** The session leaves its runner. */
  readonly closed: boolean
  readonly failure: Unavailable | null
  readonly changed: () => void
  readonly listen: () => Waiter
}

/** How long a reader waits for a session that leaves: it comes back soon, but not at once, and again, and again. */
const leavingMs = 50

const answer = (source: Source, request: PullRequest): Effect.Effect<PullReply, Unavailable> =>
  Effect.suspend(() => {
    const { failure, live, seq, state } = source
    if (failure !== null) return Effect.fail(failure)
    const ended = state.ended !== null
    return Effect.succeed({ seq, ended, live: request.quiet === true ? [] : live.beyond(request.seen) })
  })

const hasNews = ({ closed, failure, live, seq, state }: Source, request: PullRequest): boolean =>
  failure !== null ||
  state.ended !== null ||
  closed ||
  seq > request.seq ||
  (request.quiet !== true && live.beyond(request.seen).length > 0)

/** In the instant in which there is nothing new, it begins to listen. */
const listen = (source: Source, request: PullRequest): Waiter | null => {
  if (hasNews(source, request)) return null
  const waiter = source.listen()
  const forget = source.shards.onDrain(() => source.changed())
  return {
    news: waiter.news,
    stop: () => {
      waiter.stop()
      forget()
    }
  }
}

export const pull = (source: Source, request: PullRequest): Effect.Effect<PullReply, Unavailable> =>
  request.waitMs <= 0
    ? answer(source, request)
    : Effect.acquireUseRelease(
        Effect.sync(() => listen(source, request)),
        (waiter) =>
          waiter === null
            ? Effect.void
            : Effect.timeoutOption(waiter.news, source.shards.draining() ? leavingMs : request.waitMs),
        (waiter) => Effect.sync(() => waiter?.stop())
      ).pipe(Effect.zipRight(answer(source, request)))
