import * as net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import type { Socket } from "@effect/platform"
import { Effect, Fiber, TestClock } from "effect"
import { dial } from "../../src/runner/internal/dial.ts"
import { halfOpen_max, handshake_ms } from "../../src/runner/internal/limits.ts"
import * as Taps from "../support/Taps.ts"
import { ask, at, other, runner, secret } from "./listener.ts"

describe("runner traffic by a secret", () => {
  it.scopedLive("is understood by who knows it, in large and in small, over one connection or many", () =>
    Effect.gen(function* () {
      const { heard, port } = yield* runner()
      const connect = dial(secret, null)
      const long = "words and words ".repeat(300_000)
      expect(yield* ask(yield* connect(at(port)), "hello")).toBe("HELLO")
      expect(yield* ask(yield* connect(at(port)), long)).toBe(long.toUpperCase())
      const answers = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => `number ${i}`),
        (text) => Effect.flatMap(connect(at(port)), (socket) => ask(socket, text)),
        { concurrency: "unbounded" }
      )
      expect(answers).toEqual(answers.map((_, i) => `NUMBER ${i}`))
      expect(heard.join("")).toContain("number 19")
    })
  )

  it.scopedLive("a stranger who sends garbage, a request or nothing but a good beginning gets no byte back", () =>
    Effect.gen(function* () {
      const { heard, port } = yield* runner()
      const request = Buffer.from("83a45f746167a752657175657374a26964a131a3746167a450696e67", "hex")
      for (const bytes of [Buffer.from("GET / HTTP/1.1\r\n\r\n"), request, Buffer.alloc(100_000, 7)]) {
        const visit = yield* Taps.visit(port, bytes)
        expect(visit).toEqual({ bytes: Buffer.alloc(0), ended: "closed" })
      }
      // In the first words it names another address: that one is not this runner's to answer for.
      const hello = Buffer.concat([Buffer.from("PERDURE\u0001"), Buffer.alloc(64, 9), Buffer.from("\u0007other:1")])
      expect((yield* Taps.visit(port, hello)).bytes).toHaveLength(0)
      expect(heard).toEqual([])
    })
  )

  it.scopedLive("who has another secret gets a nonce and a key and nothing more, and is heard by nobody", () =>
    Effect.gen(function* () {
      const { heard, port } = yield* runner({ host: "127.0.0.2" })
      const tap = yield* Taps.tap({ host: "127.0.0.2", port })
      const failed = yield* Effect.flip(ask(yield* dial(other, null)(at(port, "127.0.0.2")), "let me in"))
      expect(String((failed as Socket.SocketGenericError).cause)).toMatch(/its secret is another one/)
      expect(tap.fromServer()).toHaveLength(72)
      expect(heard).toEqual([])
    })
  )

  it.scopedLive("a client tells nothing to a server that only pretends to know the secret", () =>
    Effect.gen(function* () {
      const pretender = yield* runner({ secrets: [other] })
      yield* Effect.flip(ask(yield* dial(secret, null)(at(pretender.port)), "a prompt that is private"))
      expect(pretender.heard).toEqual([])
    })
  )

  it.scopedLive("what was captured cannot be played again, to the same runner or to another one", () =>
    Effect.gen(function* () {
      const { heard, port } = yield* runner({ host: "127.0.0.2" })
      const tap = yield* Taps.tap({ host: "127.0.0.2", port })
      expect(yield* ask(yield* dial(secret, null)(at(port, "127.0.0.2")), "pay ten")).toBe("PAY TEN")
      expect(heard).toEqual(["pay ten"])

      const captured = tap.fromClient()
      expect(captured.includes("pay")).toBe(false)
      expect(tap.fromServer().includes("PAY")).toBe(false)
      const replayed = yield* Taps.visit(port, captured)
      expect(replayed.bytes.length).toBeLessThanOrEqual(72)
      expect(replayed.ended).toBe("closed")
      expect(heard).toEqual(["pay ten"])
    })
  )

  it.scopedLive("a record that is repeated or changed on its way ends the connection unread", () =>
    Effect.gen(function* () {
      const { heard, port } = yield* runner({ host: "127.0.0.2" })
      const tap = yield* Taps.tap({ host: "127.0.0.2", port })
      const changes: ReadonlyArray<(record: Buffer) => ReadonlyArray<Buffer>> = [
        (record) => [record, record],
        (record) => [Buffer.concat([record.subarray(0, -1), Buffer.from([record.at(-1)! ^ 1])])]
      ]
      for (const change of changes) {
        heard.length = 0
        // The third thing that a client sends is its first record: before are its hello and its proof.
        tap.change((piece, count) => (count === 2 ? change(piece) : [piece]))
        const answer = yield* Effect.either(ask(yield* dial(secret, null)(at(port, "127.0.0.2")), "pay ten and wait"))
        // The first of two equal records is genuine, and is read if it comes before the other.
        expect(heard.length).toBeLessThanOrEqual(change === changes[0] ? 1 : 0)
        if (change !== changes[0]) expect(answer._tag).toBe("Left")
        yield* tap.closed
      }
    })
  )

  it.scopedLive("a connection that is led to another runner of the cluster is not taken there", () =>
    Effect.gen(function* () {
      const wanted = yield* runner()
      const found = yield* runner({ host: "127.0.0.2" })
      yield* Taps.tap({ host: "127.0.0.2", port: wanted.port }, found.port)
      yield* Effect.flip(ask(yield* dial(secret, null)(at(wanted.port, "127.0.0.2")), "for the other"))
      expect(found.heard).toEqual([])
    })
  )

  it.scopedLive("its secret can be changed while runners run: any that a runner has lets in", () =>
    Effect.gen(function* () {
      const { port } = yield* runner({ secrets: [other, secret] })
      expect(yield* ask(yield* dial(secret, null)(at(port)), "old")).toBe("OLD")
      expect(yield* ask(yield* dial(other, null)(at(port)), "new")).toBe("NEW")
    })
  )

  it.scopedLive("strangers who say nothing make room for those who do, however many they are", () =>
    Effect.gen(function* () {
      const { port } = yield* runner()
      const silent = yield* Effect.forEach(Array.from({ length: halfOpen_max + 10 }), () => Taps.open(port), {
        concurrency: 16
      })
      expect(yield* ask(yield* dial(secret, null)(at(port)), "hello")).toBe("HELLO")
      yield* Taps.until(() => silent.filter((one) => one.closed).length >= 10)
      expect(silent.filter((one) => !one.closed).length).toBeGreaterThan(halfOpen_max - 5)
    })
  )

  it.scoped("a stranger who is slow is cut when the time for it is over", () =>
    Effect.gen(function* () {
      const { port } = yield* runner()
      const stranger = yield* Taps.open(port)
      stranger.write(Buffer.from("PERDURE\u0001"))
      const ended = yield* Effect.fork(Effect.promise(() => new Promise((done) => stranger.once("close", done))))
      // The runner has begun to count when it has read what was sent.
      const turn = Effect.promise(() => new Promise((done) => setImmediate(done)))
      yield* Effect.zipRight(TestClock.adjust(handshake_ms), turn).pipe(Effect.repeat({ until: () => stranger.closed }))
      yield* Fiber.join(ended)
    })
  )

  it.scopedLive("small messages are not held back, and the kernel looks for peers that are gone", () =>
    Effect.gen(function* () {
      const calls: Array<string> = []
      const { setKeepAlive, setNoDelay } = net.Socket.prototype
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => Object.assign(net.Socket.prototype, { setKeepAlive, setNoDelay }))
      )
      Object.assign(net.Socket.prototype, {
        setNoDelay(this: net.Socket, on: boolean) {
          calls.push(`noDelay ${on}`)
          return setNoDelay.call(this, on)
        },
        setKeepAlive(this: net.Socket, on: boolean, after: number) {
          calls.push(`keepAlive ${on}`)
          return setKeepAlive.call(this, on, after)
        }
      })
      const { port } = yield* runner()
      yield* ask(yield* dial(secret, null)(at(port)), "hello")
      expect(calls.filter((call) => call === "noDelay true")).toHaveLength(2)
      expect(calls.filter((call) => call === "keepAlive true")).toHaveLength(2)
    })
  )
})
