/** A4. Tokens reach the reader as they are made; each comes once, or is taken back in so many words. Cites I6. */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { Client } from "../../src/client/index.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"
import * as Postgres from "../support/Postgres.ts"
import * as Runners from "../support/Runners.ts"
import { clientOf, directory, isTurnEnd, Reader } from "../support/World.ts"

const program = "test/fixtures/hands.main.ts"
const words = (n: number, word: string) => Array.from({ length: n }, (_, i) => `${word}${i} `)

describe("A4: streaming to a reader in another process", () => {
  it.scopedLive("each token has come before the next is made, through the socket of the runner", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const home = yield* directory
      const tokens = words(20, "t")
      const gates = yield* Effect.forEach(tokens, () => Deferred.make<void>())
      const beats = Anthropic.message([Anthropic.text(...tokens)])
      // The beats of a text: message start, ping, block start, then one for each token.
      fake.script(
        Fake.whole(beats.flatMap((beat, i) => (i >= 3 && i < 23 ? [{ until: gates[i - 3]! }, beat] : [beat])))
      )
      const runners = yield* Runners.make({ directory: home }, program)
      yield* runners.start({ MODEL_URL: fake.url })
      yield* Effect.gen(function* () {
        const session = yield* Client.existing("talk")
        yield* Client.session({ name: "hands", version: "1" }, "talk")
        yield* session.send("Go")
        let text = ""
        yield* Deferred.succeed(gates[0]!, undefined)
        yield* session.feed().pipe(
          Stream.takeUntil(isTurnEnd),
          Stream.runForEach((event) => {
            if (event._tag !== "Delta") return Effect.void
            text += event.text
            // The server makes the next token only now: had this one waited for it, nothing would ever come.
            const next = gates[text.trim().split(" ").length]
            return next === undefined ? Effect.void : Deferred.succeed(next, undefined)
          }),
          Effect.timeout("20 seconds")
        )
        expect(text).toBe(tokens.join(""))
        expect(fake.requests).toHaveLength(1)
      }).pipe(Effect.provide(clientOf({ directory: home })))
    })
  )

  it.scopedLive(
    "I6: readers that leave and come back with their cursors, at random, see every event once, in order",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const home = yield* directory
        const tokens = words(150, "w")
        fake.script(Fake.whole(Fake.paced(4, Anthropic.message([Anthropic.text(...tokens)]))))
        const runners = yield* Runners.make({ directory: home }, program)
        yield* runners.start({ MODEL_URL: fake.url })
        yield* Effect.gen(function* () {
          const session = yield* Client.session({ name: "hands", version: "1" }, "talk")
          yield* session.send("Go")
          const steady = new Reader()
          const all = session.feed().pipe(
            Stream.takeUntil(isTurnEnd),
            Stream.runForEach((e) => Effect.sync(() => steady.take(e)))
          )
          const restless = Effect.gen(function* () {
            const reader = new Reader()
            while (!reader.events.some(isTurnEnd)) {
              const patience = 1 + Math.floor(Math.random() * 12)
              yield* session.feed({ after: reader.cursor }).pipe(
                Stream.takeUntil(isTurnEnd),
                Stream.take(patience),
                Stream.runForEach((e) => Effect.sync(() => reader.take(e)))
              )
            }
            return reader
          })
          const readers = yield* Effect.all([Effect.as(all, steady), restless, restless, restless], {
            concurrency: "unbounded"
          })
          for (const reader of readers) {
            expect(reader.seqs).toEqual(reader.seqs.map((_, i) => i + 1))
            expect(reader.seqs).toEqual(steady.seqs)
            expect([...reader.texts.values()]).toEqual([tokens.join("")])
            expect(reader.rewinds).toBe(0)
          }
          // It was a stream: pieces, not one delivery at the end.
          expect(steady.events.filter(({ _tag }) => _tag === "Delta").length).toBeGreaterThan(10)
        }).pipe(Effect.provide(clientOf({ directory: home })))
      })
  )

  it.scopedLive(
    "I6: a runner killed with -9 in the middle of an answer: what it had said is taken back, once, and comes anew",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const database = yield* Postgres.database
        const lost = words(12, "lost")
        const final = words(60, "final")
        fake.script(
          Fake.hangAfter(3 + lost.length, Anthropic.message([Anthropic.text(...lost)])),
          Fake.whole(Fake.paced(3, Anthropic.message([Anthropic.text(...final)])))
        )
        const runners = yield* Runners.make(database, program)
        const [one, two] = (yield* Effect.all(
          ["one", "two"].map((key) => runners.start({ MODEL_URL: fake.url, MODEL_KEY: key })),
          { concurrency: 2 }
        )) as [Runners.RunnerProcess, Runners.RunnerProcess]
        yield* Effect.gen(function* () {
          const session = yield* Client.session({ name: "hands", version: "1" }, "cut")
          yield* session.send("Go")
          const follow = (reader: Reader, saw: Deferred.Deferred<void>) =>
            session.feed({ after: reader.cursor }).pipe(
              Stream.takeUntil(isTurnEnd),
              Stream.runForEach((event) => {
                reader.take(event)
                return [...reader.texts.values()].join("") === lost.join("")
                  ? Deferred.succeed(saw, undefined)
                  : Effect.void
              })
            )
          const [steady, returning] = [new Reader(), new Reader()]
          const [steadySaw, returningSaw] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
          const following = yield* Effect.fork(follow(steady, steadySaw))
          const leaving = yield* Effect.fork(follow(returning, returningSaw))
          yield* Deferred.await(steadySaw)
          yield* Deferred.await(returningSaw)
          yield* Fiber.interrupt(leaving)
          const host = fake.requests[0]!.headers["x-api-key"] === "one" ? one : two
          host.kill("SIGKILL")
          yield* Fiber.join(following).pipe(Effect.timeout("20 seconds"))
          const late = new Reader()
          yield* follow(returning, yield* Deferred.make<void>())
          yield* follow(late, yield* Deferred.make<void>())

          for (const reader of [steady, returning, late]) {
            expect([...reader.texts.values()]).toEqual([final.join("")])
            expect(reader.seqs).toEqual(reader.seqs.map((_, i) => i + 1))
          }
          expect([steady.rewinds, returning.rewinds, late.rewinds]).toEqual([1, 1, 0])
          expect(fake.requests).toHaveLength(2)
        }).pipe(Effect.provide(clientOf(database)))
      }),
    60_000
  )
})
