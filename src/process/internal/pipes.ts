/** Node's pipes as Effect's streams, with back-pressure both ways. */
import type { Readable, Writable } from "node:stream"
import { Effect, Option, Stream } from "effect"
import { PipeBroken, StdinClosed } from "../ProcessError.ts"
import { pause } from "./realTime.ts"

/**
 * How long a pipe may stay silent after the whole tree is gone before it counts as ended. Somebody outside of the tree
 * may hold its other end (a daemon that was handed it), and would keep its reader waiting for ever.
 */
const silenceMs = 200

/**
 * The bytes of a pipe. `gone` completes when no process of the tree is left. To be called in the tick of the spawn:
 * Node throws unread output away when a process ends, unless somebody listens.
 */
export const read = (
  readable: Readable,
  command: string,
  channel: "stdout" | "stderr",
  gone: Effect.Effect<void>
): Stream.Stream<Uint8Array, PipeBroken> => {
  let failure: NodeJS.ErrnoException | undefined
  let wake: (() => void) | undefined
  for (const event of ["readable", "end", "close"]) readable.on(event, () => wake?.())
  readable.on("error", (cause) => {
    failure = cause
    wake?.()
  })
  const take = (): Effect.Effect<Uint8Array, Option.Option<PipeBroken>> | undefined => {
    const chunk: Uint8Array | null = readable.read()
    if (chunk !== null) return Effect.succeed(chunk)
    if (failure !== undefined) {
      return Effect.fail(Option.some(new PipeBroken({ command, channel, code: failure.code ?? "unknown" })))
    }
    return readable.readableEnded || readable.destroyed ? Effect.fail(Option.none()) : undefined
  }
  const wait = Effect.async<Uint8Array, Option.Option<PipeBroken>>((resume) => {
    wake = () => {
      const taken = take()
      if (taken === undefined) return
      wake = undefined
      resume(taken)
    }
    wake()
    return Effect.sync(() => {
      wake = undefined
    })
  })
  const silent = gone.pipe(Effect.zipRight(pause(silenceMs)), Effect.zipRight(Effect.fail(Option.none())))
  return Stream.repeatEffectOption(Effect.suspend(() => take() ?? Effect.raceFirst(wait, silent)))
}

export interface Input {
  readonly write: (data: string | Uint8Array) => Effect.Effect<void, StdinClosed>
  readonly close: Effect.Effect<void>
}

/** The input of a process; `undefined` where it was started without one. */
export const input = (writable: Writable | undefined, command: string): Input => {
  // A process may end without having read its input: that is its business, and each write says so.
  writable?.on("error", () => {})
  return {
    write: (data) =>
      Effect.async((resume) => {
        if (writable === undefined || !writable.writable) return resume(new StdinClosed({ command }))
        writable.write(data, (cause) => resume(cause ? new StdinClosed({ command }) : Effect.void))
      }),
    close: Effect.async((resume) => {
      if (writable === undefined || !writable.writable) return resume(Effect.void)
      // The callback comes when all that was written before has left, or never will.
      writable.end(() => resume(Effect.void))
    })
  }
}
