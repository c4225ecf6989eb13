/** A runner that only listens and answers, and what may be said to it: for attacks on the way there. */
import type { Socket } from "@effect/platform"
import { Deferred, Effect, Fiber, Redacted } from "effect"
import { type House, keepDoor } from "../../src/runner/internal/doorkeeper.ts"

export const secret = Redacted.make("the secret of this cluster, long enough")
export const other = Redacted.make("the secret of another one, as long as it")

/** A runner that answers what it hears by the same in capitals, and remembers it. */
export const runner = (house: Partial<House> = {}) =>
  Effect.gen(function* () {
    const heard: Array<string> = []
    const server = yield* keepDoor({
      listen: "127.0.0.1",
      host: "127.0.0.1",
      port: 0,
      secrets: [secret],
      certificates: null,
      ...house
    })
    yield* Effect.forkScoped(
      server.run((socket) =>
        Effect.scoped(
          Effect.gen(function* () {
            const write = yield* socket.writer
            yield* socket.run((bytes) => {
              const text = Buffer.from(bytes).toString()
              heard.push(text)
              return write(text.toUpperCase())
            })
          })
        )
      )
    )
    const { port } = server.address as { readonly port: number }
    return { port, heard }
  })

/** Says something and waits until so much has been answered. */
export const ask = (socket: Socket.Socket, text: string) =>
  Effect.gen(function* () {
    const answered = yield* Deferred.make<string, Socket.SocketError | "ended">()
    const write = yield* socket.writer
    let got = ""
    const running = yield* socket
      .run((bytes) => {
        got += Buffer.from(bytes).toString()
        if (got.length >= text.length) Deferred.unsafeDone(answered, Effect.succeed(got))
      })
      .pipe(
        Effect.zipRight(Effect.fail("ended" as const)),
        Effect.onError((cause) => Deferred.failCause(answered, cause)),
        Effect.fork
      )
    yield* Effect.fork(write(text))
    const answer = yield* Deferred.await(answered)
    yield* Fiber.interrupt(running)
    return answer
  }).pipe(Effect.scoped)

export const at = (port: number, host = "127.0.0.1") => ({ host, port })
