/** `@effect/platform`'s sockets over the simulated network. */
import { Socket, SocketServer } from "@effect/platform"
import { Deferred, Effect, Exit, FiberSet, Scope } from "effect"
import type { End, Trouble } from "./End.ts"
import type { Network } from "./Network.ts"
import type { SimProcess } from "./SimProcess.ts"

const errorOf = (trouble: Trouble): Socket.SocketError =>
  trouble === "refused"
    ? new Socket.SocketGenericError({ reason: "Open", cause: new Error("ECONNREFUSED") })
    : trouble === "reset"
      ? new Socket.SocketGenericError({ reason: "Read", cause: new Error("ECONNRESET") })
      : new Socket.SocketCloseError({ reason: "Close", code: 1000 })

/** @param open gives an end, which is closed with the scope */
const fromEnd = (
  network: Network,
  open: Effect.Effect<End, Socket.SocketError, Scope.Scope>
): Effect.Effect<Socket.Socket> =>
  Effect.sync(() => {
    let current: End | undefined
    const latch = Effect.unsafeMakeLatch(false)

    const run: Socket.Socket["runRaw"] = (handler, options) =>
      Effect.scopedWith((scope) =>
        Effect.gen(function* () {
          const fibers = yield* FiberSet.make<unknown, Socket.SocketError>()
          const fork = yield* FiberSet.runtime(fibers)<never>()
          const end = yield* open
          current = end
          end.listen(
            (bytes) => {
              const handled = handler(bytes)
              if (Effect.isEffect(handled)) fork(handled as never)
            },
            (trouble) => Deferred.unsafeDone(fibers.deferred as never, Effect.fail(errorOf(trouble)))
          )
          yield* latch.open
          if (options?.onOpen !== undefined) yield* options.onOpen
          return yield* FiberSet.join(fibers)
        }).pipe(Scope.extend(scope))
      ).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            latch.unsafeClose()
            current = undefined
          })
        ),
        Effect.interruptible
      ) as never

    const write = (chunk: Uint8Array | string | Socket.CloseEvent): Effect.Effect<void, Socket.SocketError> =>
      latch.whenOpen(
        Effect.suspend(() => {
          const end = current
          if (end === undefined) return Effect.fail(errorOf("closed"))
          if (Socket.isCloseEvent(chunk)) {
            network.close(end)
            return Effect.void
          }
          // What is sent must not change on its way: encoders use their buffers again.
          const bytes = typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk.slice()
          const trouble = network.send(end, bytes)
          return trouble === null ? Effect.void : Effect.fail(errorOf(trouble))
        })
      )

    return Socket.Socket.of({
      [Socket.TypeId]: Socket.TypeId,
      run: run as Socket.Socket["run"],
      runRaw: run,
      writer: Effect.acquireRelease(Effect.succeed(write), () =>
        Effect.sync(() => {
          if (current !== undefined) network.close(current)
        })
      )
    })
  })

/** A connection to an address, made anew each time that the socket is run. */
export const connect = (network: Network, process: SimProcess, address: string): Effect.Effect<Socket.Socket> =>
  fromEnd(
    network,
    Effect.acquireRelease(
      Effect.async<End, Socket.SocketError>((resume) => {
        const giveUp = network.connect(process, address, (result) =>
          resume(typeof result === "string" ? Effect.fail(errorOf(result)) : Effect.succeed(result))
        )
        return Effect.sync(giveUp)
      }).pipe(
        Effect.interruptible,
        Effect.timeoutFail({
          duration: "1 second",
          onTimeout: () => new Socket.SocketGenericError({ reason: "OpenTimeout", cause: new Error("no answer") })
        })
      ),
      (end) => Effect.sync(() => network.close(end))
    )
  )

/** Listens on an address until the process dies or the scope closes. */
export const listen = (
  network: Network,
  process: SimProcess,
  host: string,
  port: number
): Effect.Effect<SocketServer.SocketServer["Type"], never, Scope.Scope> =>
  Effect.gen(function* () {
    const waiting: Array<End> = []
    let accept: ((end: End) => void) | null = null
    const stop = network.listen(process, `${host}:${port}`, (end) =>
      accept === null ? waiting.push(end) : accept(end)
    )
    yield* Effect.addFinalizer(() => Effect.sync(stop))
    return SocketServer.SocketServer.of({
      address: { _tag: "TcpAddress", hostname: host, port },
      run: (handler) =>
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const fibers = yield* FiberSet.make().pipe(Scope.extend(scope))
          const fork = yield* FiberSet.runtime(fibers)<never>()
          return yield* Effect.async<never>(() => {
            accept = (end) => {
              const opened = Effect.acquireRelease(Effect.succeed(end), () => Effect.sync(() => network.close(end)))
              fork(Effect.flatMap(fromEnd(network, opened), handler).pipe(Effect.ignore) as Effect.Effect<void>)
            }
            for (const end of waiting.splice(0)) accept(end)
            return Effect.suspend(() => {
              accept = null
              return Scope.close(scope, Exit.void)
            })
          })
        }) as never
    })
  })
