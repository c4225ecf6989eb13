/**
 * B9. What is too large for a row is a claim on a blob, without anybody asking for it; a blob that is lost is a typed
 * error and not the end of the session; history is read from the store, and wakes no actor. Cites I11, I13.
 */
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import Database from "libsql"
import { Client, type Session } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { Store } from "../../src/store/index.ts"
import { Hands, handlers } from "../fixtures/hands.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Counting from "../support/Counting.ts"
import * as Fake from "../support/FakeProvider.ts"
import { answered, directory, entriesOf, isTurnEnd, tagged, toolResults } from "../support/World.ts"

const runner = (home: string, fake: Fake.FakeProvider) =>
  Runner.layerEmbedded({ agents: [Hands], directory: home }).pipe(Layer.provide([handlers, Anthropic.layer(fake)]))

/** Three megabytes, in pieces as they stream. */
const pieces = Array.from({ length: 300 }, (_, i) => `${String(i).padStart(8, "0")} ${"x".repeat(9_990)}\n`)
const long = pieces.join("")

const says = (...texts: ReadonlyArray<string>) => Fake.whole(Anthropic.message([Anthropic.text(...texts)]))

/** Takes content away behind the runner's back, as a bad restore does. */
const lose = (home: string) =>
  Effect.sync(() => {
    const db = new Database(join(home, "perdure.db"))
    const { changes } = db.prepare("DELETE FROM perdure_chunks").run()
    db.close()
    return changes
  })

/** The largest row of a session, in bytes. */
const largestRow = Effect.flatMap(Store, (store) => store.read("default" as never, "s" as never, 0, 1_000)).pipe(
  Effect.map((rows) => Math.max(...rows.map(({ payload }) => payload.length)))
)

const contentOf = (session: Session, text: string) =>
  Effect.map(Stream.runCollect(session.content(text)), (chunks) => Buffer.concat([...chunks]).toString())

describe("B9: oversized", () => {
  it.scopedLive(
    "I11: a tool's output of megabytes is a claim; the model sees its head and tail, whoever wants reads it whole",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const home = yield* directory
        fake.script((request) =>
          answered(request) === 0
            ? Fake.whole(
                Anthropic.message([
                  Anthropic.tool("c1", "shell", JSON.stringify({ script: "seq 1 400000", mark: "none" }))
                ])
              )
            : says("read")
        )
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Hands, "s")
          expect(yield* session.ask("Go")).toBe("read")
          expect(yield* largestRow).toBeLessThan(64 * 1024)
          const [result] = toolResults(fake.requests[1]!)
          expect(result!.slice(0, 100)).toContain("1\\n2\\n3\\n")
          expect(result!.slice(-100)).toContain("399999\\n400000\\n")
          expect(result).toMatch(/\d+ bytes more; go on with read_more /)
          expect(result!.length).toBeLessThan(20_000)
          const output = tagged(yield* entriesOf("s"), "StepSucceeded")[1]!.output as { result: { stdout: string } }
          const whole = yield* contentOf(session, output.result.stdout)
          expect(whole === Array.from({ length: 400_000 }, (_, i) => `${i + 1}\n`).join("")).toBe(true)
        }).pipe(Effect.provide(runner(home, fake)))
      })
  )

  it.scopedLive("I11: an answer of megabytes is one too; readers and the model itself get it whole", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const home = yield* directory
      fake.script(says(...pieces), says("yes"))
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Hands, "s")
        expect((yield* session.ask("Much, please")) === long).toBe(true)
        expect(yield* largestRow).toBeLessThan(64 * 1024)
        let text = ""
        yield* session.feed().pipe(
          Stream.takeUntil(isTurnEnd),
          Stream.runForEach((event) =>
            Effect.sync(() => {
              if (event._tag === "Delta" && event.channel === "text") text += event.text
            })
          )
        )
        expect(text === long).toBe(true)
        expect(yield* session.ask("And?")).toBe("yes")
        expect(JSON.stringify(fake.requests[1]!.body.messages).includes(JSON.stringify(long).slice(1, -1))).toBe(true)
      }).pipe(Effect.provide(runner(home, fake)))
    })
  )

  it.scopedLive("I13: a blob that is lost is a typed error to whoever wants it; the session answers still", () =>
    Effect.gen(function* () {
      const fake = yield* Fake.make
      const home = yield* directory
      const { script } = fake
      script(says(...pieces), says("still here"))
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Hands, "s")
        const before = yield* session.send("Much, please", { id: "m1" })
        yield* session.result(before)
        expect(yield* lose(home)).toBeGreaterThan(0)

        const error = yield* Effect.flip(Stream.runDrain(session.feed()))
        expect(error).toMatchObject({ _tag: "BlobMissing" })
        expect(error.message).toContain("is not in the store")
        // The model is told what is left of its words: their head and tail.
        expect(yield* session.ask("Are you there?")).toBe("still here")
        const told = JSON.stringify(fake.requests[1]!.body.messages)
        expect(told).toContain("00000000 xxx")
        expect(told).toMatch(/bytes more; blob sha256:[0-9a-f]{64}/)
        expect(told.length).toBeLessThan(20_000)
      }).pipe(Effect.provide(runner(home, fake)))
      // And in the next life, too.
      script(says("even now"))
      yield* Effect.gen(function* () {
        const session = yield* Client.existing("s")
        expect(yield* session.ask("Are you?")).toBe("even now")
      }).pipe(Effect.provide(runner(home, fake)))
    })
  )

  it.scopedLive(
    "history is read from the store: beside the runner it wakes nobody, without a runner it is there as well",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const home = yield* directory
        fake.script(says(...pieces))
        yield* Effect.flatMap(Client.session(Hands, "s"), (session) => session.ask("Go")).pipe(
          Effect.provide(runner(home, fake))
        )
        const history = Effect.gen(function* () {
          const entries = yield* entriesOf("s")
          expect(entries.at(-1)!._tag).toBe("TurnEnded")
        })
        let counts = Counting.none()
        const counting = Counting.layerEmbedded({ agents: [Hands], directory: home, counts: () => counts })
        yield* Effect.gen(function* () {
          const [info] = yield* Client.sessions()
          expect(info).toMatchObject({ session: "s", status: "resting" })
          counts = Counting.none()
          yield* history
          expect(counts.calls).toMatchObject({ read: 1 })
          expect(counts.calls["waking"]).toBeUndefined()
          // The witness sees: asking the session itself wakes it.
          yield* Effect.flatMap(Client.existing("s"), (session) => session.state)
          expect(counts.calls["waking"]).toBe(1)
        }).pipe(Effect.provide(Layer.provide(counting, [handlers, Anthropic.layer(fake)])))
        yield* Effect.provide(history, Runner.layerReader({ directory: home }))
      })
  )
})
