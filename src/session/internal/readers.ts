/** Answers long polls: at once where there is news, else at the next change. */
import { Effect } from "effect"
import type { Live } from "../../feed/index.ts"
import type { PullReply, PullRequest, Unavailable } from "../Protocol.ts"
import type { Shards } from "../Shards.ts"
import type { Waiter, Waiters } from "./waiters.ts"

interface Now {
  /** The journal's end. */
  readonly seq: number
  readonly ended: boolean
  /** The session leaves its runner. */
  readonly closed: boolean
  readonly failure: Unavailable | null
}

export interface Source {
  readonly live: Live
  readonly waiters: Waiters
  readonly shards: Shards["Type"]
  readonly now: () => Now
}

/** How long a reader waits for a session that leaves: it comes back soon, but not at once, and again, and again. */
const leavingMs = 50

export const readers = ({ live, now, shards, waiters }: Source) => {
  const answer = (request: PullRequest): Effect.Effect<PullReply, Unavailable> =>
    Effect.suspend(() => {
      const { ended, failure, seq } = now()
      if (failure !== null) return Effect.fail(failure)
      return Effect.succeed({ seq, ended, live: request.quiet === true ? [] : live.beyond(request.seen) })
    })

  const hasNews = (request: PullRequest): boolean => {
    const { closed, ended, failure, seq } = now()
    return (
      failure !== null ||
      ended ||
      closed ||
      seq > request.seq ||
      (request.quiet !== true && live.beyond(request.seen).length > 0)
    )
  }

  /** In the instant in which there is nothing new, it begins to listen. */
  const listen = (request: PullRequest): Waiter | null => {
    if (hasNews(request)) return null
    const waiter = waiters.listen()
    const forget = shards.onDrain(waiters.wake)
    return {
      news: waiter.news,
      stop: () => {
        waiter.stop()
        forget()
      }
    }
  }

  return (request: PullRequest): Effect.Effect<PullReply, Unavailable> =>
    request.waitMs <= 0
      ? answer(request)
      : Effect.acquireUseRelease(
          Effect.sync(() => listen(request)),
          (waiter) =>
            waiter === null
              ? Effect.void
              : Effect.timeoutOption(waiter.news, shards.draining() ? leavingMs : request.waitMs),
          (waiter) => Effect.sync(() => waiter?.stop())
        ).pipe(Effect.zipRight(answer(request)))
}
