/**
 * A local HTTP server that answers as it is told, for the fakes of particular providers. It records what it was asked
 * and says when a client hung up.
 */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { Deferred, Effect, Queue, type Scope } from "effect"

/** One thing that a stream does: send these bytes, pause, or wait for a signal. */
export type Beat = string | Uint8Array | { readonly pauseMs: number } | { readonly until: Deferred.Deferred<void> }

export type Behaviour =
  | {
      readonly _tag: "Stream"
      readonly beats: ReadonlyArray<Beat>
      /** How it ends: properly, by cutting the connection, or never. */
      readonly end: "close" | "cut" | "hang"
      readonly headers?: Readonly<Record<string, string>>
    }
  | {
      readonly _tag: "Status"
      readonly status: number
      readonly headers: Readonly<Record<string, string>>
      readonly body: string
    }
  /** The connection is reset before a word of the answer. */
  | { readonly _tag: "Reset" }

export interface Recorded {
  readonly path: string
  readonly headers: Http.IncomingHttpHeaders
  /** Parsed JSON. Assertions look into it as they please. */
  readonly body: any
}

/** `n` is how many requests came before this one. */
export type Scripted = Behaviour | ((request: Recorded, n: number) => Behaviour)

export interface FakeProvider {
  readonly url: string
  readonly requests: ReadonlyArray<Recorded>
  /** What the next calls are answered with, one each; the last is repeated. A function answers by what it is asked. */
  readonly script: (...behaviours: ReadonlyArray<Scripted>) => void
  /** Waits until a request has come and its stream has sent all that it has before its `end`. */
  readonly sent: Effect.Effect<void>
  /** Waits until a client has closed a connection whose answer was not at its end. */
  readonly hungUp: Effect.Effect<void>
}

/** The first `n` beats, and then the connection is cut. */
export const cutAfter = (n: number, beats: ReadonlyArray<Beat>): Behaviour => ({
  _tag: "Stream",
  beats: beats.slice(0, n),
  end: "cut"
})

/** The first `n` beats, and then the answer ends as if it were complete. */
export const endAfter = (n: number, beats: ReadonlyArray<Beat>): Behaviour => ({
  _tag: "Stream",
  beats: beats.slice(0, n),
  end: "close"
})

/** The first `n` beats, and then nothing. */
export const hangAfter = (n: number, beats: ReadonlyArray<Beat>): Behaviour => ({
  _tag: "Stream",
  beats: beats.slice(0, n),
  end: "hang"
})

/** The connection is reset before a word of the answer. */
export const reset: Behaviour = { _tag: "Reset" }

export const whole = (beats: ReadonlyArray<Beat>): Behaviour => ({ _tag: "Stream", beats, end: "close" })

/** The beats with a pause before each. */
export const paced = (pauseMs: number, beats: ReadonlyArray<Beat>): ReadonlyArray<Beat> =>
  beats.flatMap((beat) => [{ pauseMs }, beat])

export const status = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Behaviour => ({
  _tag: "Status",
  status,
  headers: { "content-type": typeof body === "string" ? "text/html" : "application/json", ...headers },
  body: typeof body === "string" ? body : JSON.stringify(body)
})

/** A server-sent event. */
export const sse = (event: { readonly type: string; readonly [field: string]: unknown }): string =>
  `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

export const make: Effect.Effect<FakeProvider, never, Scope.Scope> = Effect.gen(function* () {
  const requests: Array<Recorded> = []
  let behaviours: ReadonlyArray<Scripted> = []
  let served = 0
  const sent = yield* Queue.unbounded<void>()
  const hungUp = yield* Queue.unbounded<void>()

  const answer = async (behaviour: Behaviour, response: Http.ServerResponse) => {
    if (behaviour._tag === "Status") {
      response.writeHead(behaviour.status, behaviour.headers).end(behaviour.body)
      return
    }
    if (behaviour._tag === "Reset") {
      response.socket?.resetAndDestroy()
      return
    }
    response.writeHead(200, { "content-type": "text/event-stream", ...behaviour.headers })
    response.flushHeaders()
    for (const beat of behaviour.beats) {
      if (response.destroyed) return
      if (typeof beat === "string" || beat instanceof Uint8Array) {
        response.write(beat)
        // A turn of the loop each, so that they arrive one by one, as tokens do.
        await new Promise((resolve) => setImmediate(resolve))
      } else if ("pauseMs" in beat) await sleep(beat.pauseMs)
      else await Effect.runPromise(Deferred.await(beat.until))
    }
    Queue.unsafeOffer(sent, undefined)
    if (behaviour.end === "close") response.end()
    else if (behaviour.end === "cut") {
      // What was written is to arrive before the connection breaks.
      await sleep(30)
      response.socket?.destroy()
    }
  }

  const server = Http.createServer((request, response) => {
    const chunks: Array<Buffer> = []
    response.on("close", () => {
      if (!response.writableFinished) Queue.unsafeOffer(hungUp, undefined)
    })
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString("utf8")
      const recorded = {
        path: request.url ?? "",
        headers: request.headers,
        body: text === "" ? null : JSON.parse(text)
      }
      requests.push(recorded)
      const scripted = behaviours[Math.min(served++, behaviours.length - 1)]
      const behaviour = typeof scripted === "function" ? scripted(recorded, requests.length - 1) : scripted
      void answer(behaviour ?? status(500, { error: { type: "fake", message: "nothing scripted" } }), response)
    })
  })

  yield* Effect.acquireRelease(
    Effect.async<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    script: (...next) => {
      behaviours = next
      served = 0
    },
    sent: Queue.take(sent),
    hungUp: Queue.take(hungUp)
  }
})
