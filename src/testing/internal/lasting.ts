/** A client that outlives the runners it asks, as one in another process does. */
import { Effect, Queue, Random, Stream, Take } from "effect"
import type { Client, Session } from "../../client/index.ts"
import type { Life, LifeOver } from "./Life.ts"

type Service = Client.Client["Type"]

/** A runner that is up. */
export interface Up {
  readonly life: Life
  readonly client: Service
}

const isOver = (error: unknown): error is LifeOver => (error as { readonly _tag?: unknown } | null)?._tag === "LifeOver"

/**
 * @param up waits for a runner
 */
export const lasting = (up: Effect.Effect<Up>): Service => {
  /** Asks, and asks the next runner if this one dies before it answers. Every request is idempotent. */
  const ask = <A, E>(request: (client: Service) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.flatMap(up, ({ client, life }) => life.within(request(client))).pipe(
      Effect.catchAll((error) => (isOver(error) ? ask(request) : Effect.fail(error as E)))
    )

  const once = <A, E>(stream: (client: Service) => Stream.Stream<A, E>): Stream.Stream<A, E | LifeOver> =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const { client, life } = yield* up
        const takes = yield* Queue.bounded<Take.Take<A, E | LifeOver>>(8)
        const reading = Stream.runForEachChunk(stream(client), (chunk) => Queue.offer(takes, Take.chunk(chunk)))
        yield* life.within(reading).pipe(
          Effect.matchCauseEffect({
            onFailure: (cause) => Queue.offer(takes, Take.failCause(cause)),
            onSuccess: () => Queue.offer(takes, Take.end)
          }),
          Effect.forkScoped
        )
        return Stream.flattenTake(Stream.fromQueue(takes))
      })
    )

  /** @param stream goes on where its state says, whenever it is made anew */
  const read = <A, E>(stream: (client: Service) => Stream.Stream<A, E>): Stream.Stream<A, E> =>
    Stream.catchAll(once(stream), (error) => (isOver(error) ? read(stream) : Stream.fail(error as E)))

  const chosen = (id: string | undefined) =>
    id === undefined
      ? Effect.map(Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER), (n) => `test-${n.toString(36)}`)
      : Effect.succeed(id)

  const hold = ({ id, namespace }: Pick<Session, "id" | "namespace">): Session => {
    const on = <A, E>(request: (session: Session) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
      // An id that was valid once stays so.
      ask((client) => Effect.flatMap(Effect.orDie(client.existing(id, { namespace })), request))
    const of = <A, E>(stream: (session: Session) => Stream.Stream<A, E>) =>
      read((client) => Stream.unwrap(Effect.map(Effect.orDie(client.existing(id, { namespace })), stream)))

    const send: Session["send"] = (message, options) =>
      Effect.flatMap(chosen(options?.id), (id) => on((session) => session.send(message, { ...options, id })))
    const stop: Session["stop"] = (how, options) =>
      Effect.flatMap(chosen(options?.id), (id) => on((session) => session.stop(how, { ...options, id })))

    return {
      id,
      namespace,
      send,
      stop,
      interrupt: stop("interrupt"),
      cancel: stop("cancel"),
      raise: (by, options) =>
        Effect.flatMap(chosen(options?.id), (id) => on((session) => session.raise(by, { ...options, id }))),
      decide: (pause, decision, options) =>
        Effect.flatMap(chosen(options?.id), (id) =>
          on((session) => session.decide(pause, decision, { ...options, id }))
        ),
      settle: (step, verdict, options) =>
        Effect.flatMap(chosen(options?.id), (id) => on((session) => session.settle(step, verdict, { ...options, id }))),
      revive: (options) =>
        Effect.flatMap(chosen(options?.id), (id) => on((session) => session.revive({ ...options, id }))),
      discard: (options) =>
        Effect.flatMap(chosen(options?.id), (id) => on((session) => session.discard({ ...options, id }))),
      result: (accepted) => on((session) => session.result(accepted)),
      ask: (message, options) =>
        Effect.flatMap(chosen(options?.id), (id) => on((session) => session.ask(message, { ...options, id }))),
      state: on((session) => session.state),
      feed: (options) =>
        Stream.suspend(() => {
          let after = options?.after
          return of((session) => session.feed({ after })).pipe(
            Stream.tap((event) =>
              Effect.sync(() => {
                after = event.cursor
              })
            )
          )
        }),
      content: (text) =>
        Stream.suspend(() => {
          let had = 0
          return of((session) => {
            let skip = had
            return session.content(text).pipe(
              Stream.map((bytes) => {
                const rest = bytes.subarray(Math.min(skip, bytes.length))
                skip -= bytes.length - rest.length
                return rest
              })
            )
          }).pipe(
            Stream.tap((bytes) =>
              Effect.sync(() => {
                had += bytes.length
              })
            )
          )
        })
    }
  }

  return {
    session: (agent, id, options) =>
      Effect.map(
        ask((client) => client.session(agent, id, options)),
        hold
      ),
    existing: (id, options) =>
      Effect.map(
        ask((client) => client.existing(id, options)),
        hold
      ),
    sessions: (filter) => ask((client) => client.sessions(filter))
  }
}
