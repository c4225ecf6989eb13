/** Tools that run where what they need is: real runners, one of them with the tag, on a real Postgres. */
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Schedule, Stream } from "effect"
import { Client, type Session } from "../../src/client/index.ts"
import { Painter } from "../fixtures/studio.ts"
import { mark } from "../process/suites.ts"
import { appeared, survivors } from "../support/Orphans.ts"
import * as Postgres from "../support/Postgres.ts"
import * as Runners from "../support/Runners.ts"
import { clientOf, entriesOf, isTurnEnd, tagged } from "../support/World.ts"

/** Takes no sessions: what runs there has come from another runner. */
const studio = { PERDURE_TAGS: "gpu", PERDURE_POOLS: "heavy=1", PERDURE_WEIGHT: "0" }

const until = <A>(what: string, read: Effect.Effect<A, unknown>, test: (a: A) => boolean): Effect.Effect<A> =>
  read.pipe(
    Effect.filterOrFail(test, () => "not yet"),
    Effect.retry(Schedule.spaced("10 millis").pipe(Schedule.upTo("20 seconds"))),
    Effect.orElse(() => Effect.dieMessage(`it did not come to pass: ${what}`))
  )

const progress = (session: Session) =>
  session.feed().pipe(
    Stream.takeUntil(isTurnEnd),
    Stream.filter((event) => event._tag === "Delta" && event.channel === "progress"),
    Stream.map((event) => (event._tag === "Delta" ? event.text : "")),
    Stream.runCollect,
    Effect.map(Chunk.join(""))
  )

describe("a tool that asks for a tag", () => {
  it.scopedLive(
    "waits while no runner has it, and says so; then runs there, with progress and what it saves; its pool is theirs",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database, "test/fixtures/studio.main.ts")
        yield* runners.start()
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Painter, "one")
          const accepted = yield* session.send(`paint 0.2 ${mark()}`)
          const { waiting } = yield* until(
            "it waits, and what led to it is on disk",
            session.state,
            ({ open, waiting }) => waiting.length === 1 && open.length === 0
          )
          expect(waiting[0]).toMatchObject({ pool: "heavy@gpu", name: "paint", lacks: "runner", step: null })
          const other = yield* Client.session(Painter, "two")
          const second = yield* other.send(`sketch 0.1 ${mark()}`)

          const gpu = yield* runners.start(studio)
          expect(yield* session.result(accepted)).toMatchObject({
            _tag: "Completed",
            output: expect.stringContaining(`paint on ${gpu.pid}, attempt 1`)
          })
          expect((yield* other.result(second))._tag).toBe("Completed")
          expect(runners.witness().map(({ pid }) => pid)).toEqual([gpu.pid, gpu.pid])
          expect(tagged(yield* entriesOf("one"), "StepProgress")).toMatchObject([{ partial: { layers: 1 } }])
        }).pipe(Effect.provide(clientOf(database)))
      }),
    60_000
  )

  it.scopedLive(
    "shows its progress while it runs; interrupted, its processes over there are gone before the turn is (I7)",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database, "test/fixtures/studio.main.ts")
        yield* Effect.all([runners.start(), runners.start(studio)], { concurrency: 2 })
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Painter, "s")
          const marker = mark()
          const said = yield* Effect.fork(progress(session))
          const accepted = yield* session.send(`paint 600 ${marker}`)
          yield* appeared(marker, 1)
          yield* session.interrupt
          expect((yield* session.result(accepted))._tag).toBe("Interrupted")
          expect(yield* survivors(marker, 0)).toEqual([])
          expect(yield* said).toContain("paint has begun")
          // The slot is free again.
          expect(yield* session.ask(`sketch 0 ${mark()}`)).toContain("sketch on")
        }).pipe(Effect.provide(clientOf(database)))
      }),
    60_000
  )

  it.scopedLive(
    "its runner killed with -9: what may be repeated runs on the next one with the tag, the rest is in doubt (I5)",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database, "test/fixtures/studio.main.ts")
        const [, gpu] = yield* Effect.all([runners.start(), runners.start({ ...studio, PERDURE_POOLS: "heavy=2" })], {
          concurrency: 2
        })
        yield* Effect.gen(function* () {
          const marker = mark()
          const never = yield* Client.session(Painter, "never")
          const first = yield* never.send(`paint 600 ${marker}`)
          const again = yield* Client.session(Painter, "again")
          const second = yield* again.send(`sketch 600 ${marker}`)
          yield* until("both have begun", Effect.sync(runners.witness), ({ length }) => length === 2)
          yield* appeared(marker, 2)
          gpu.kill("SIGKILL")
          expect(yield* survivors(marker)).toEqual([])
          const next = yield* runners.start({ ...studio, PERDURE_POOLS: "heavy=2" })
          expect((yield* never.result(first))._tag).toBe("Completed")
          expect(tagged(yield* entriesOf("never"), "StepInDoubt")).toHaveLength(1)
          expect(yield* again.result(second)).toMatchObject({
            output: expect.stringContaining(`sketch on ${next.pid}, attempt 2`)
          })
          expect(runners.witness().filter(({ tool }) => tool === "paint")).toHaveLength(1)
        }).pipe(Effect.provide(clientOf(database)))
      }),
    60_000
  )

  it.scopedLive(
    "its session's runner killed with -9: it is ended over there when that is seen, and in doubt (I5, I7)",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database, "test/fixtures/studio.main.ts")
        const [home] = yield* Effect.all([runners.start(), runners.start(studio)], { concurrency: 2 })
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Painter, "s")
          const marker = mark()
          const accepted = yield* session.send(`paint 600 ${marker}`)
          yield* appeared(marker, 1)
          const from = Date.now()
          home.kill("SIGKILL")
          expect(yield* survivors(marker, 5_000)).toEqual([])
          console.log(`the tool over there is gone ${Date.now() - from} ms after its session's runner`)
          yield* runners.start()
          expect((yield* session.result(accepted))._tag).toBe("Completed")
          expect(tagged(yield* entriesOf("s"), "StepInDoubt")).toHaveLength(1)
          expect(runners.witness()).toHaveLength(1)
          expect(yield* session.ask(`sketch 0 ${mark()}`)).toContain("sketch on")
        }).pipe(Effect.provide(clientOf(database)))
      }),
    60_000
  )

  it.scopedLive(
    "its session's runner told to leave: it may end within the drain; what is cut off is repeated or in doubt (I2, I5)",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database, "test/fixtures/studio.main.ts")
        const pools = { ...studio, PERDURE_POOLS: "heavy=3" }
        const [home] = yield* Effect.all([runners.start(), runners.start(pools)], { concurrency: 2 })
        yield* Effect.gen(function* () {
          const marker = mark()
          const ask = (id: string, text: string) =>
            Effect.flatMap(Client.session(Painter, id), (session) =>
              Effect.map(session.send(`${text} ${marker}`), (accepted) => session.result(accepted))
            )
          const never = yield* ask("never", "paint 600")
          const again = yield* ask("again", "sketch 600")
          const short = yield* ask("short", "paint 1.2")
          yield* until("all three have begun", Effect.sync(runners.witness), ({ length }) => length === 3)
          home.kill("SIGTERM")
          yield* runners.start()
          expect(yield* short).toMatchObject({ output: expect.stringContaining("attempt 1") })
          expect((yield* never)._tag).toBe("Completed")
          expect(yield* again).toMatchObject({ output: expect.stringContaining("attempt 2") })
          expect(tagged(yield* entriesOf("short"), "StepInDoubt")).toEqual([])
          expect(tagged(yield* entriesOf("never"), "StepInDoubt")).toHaveLength(1)
          const all = yield* Effect.forEach(["short", "never", "again"], entriesOf)
          expect(all.flatMap((entries) => tagged(entries, "StepFailed"))).toEqual([])
          expect(runners.witness().filter(({ tool }) => tool === "paint")).toHaveLength(2)
          expect(yield* survivors(marker)).toEqual([])
        }).pipe(Effect.provide(clientOf(database)))
      }),
    60_000
  )

  it.scopedLive(
    "its own runner told to leave: it may end within the drain and is told; the rest is over before it is tried again (I5, I7)",
    () =>
      Effect.gen(function* () {
        const database = yield* Postgres.database
        const runners = yield* Runners.make(database, "test/fixtures/studio.main.ts")
        const pools = { ...studio, PERDURE_POOLS: "heavy=3" }
        const [, gpu] = yield* Effect.all([runners.start(), runners.start(pools)], { concurrency: 2 })
        yield* Effect.gen(function* () {
          const marker = mark()
          const ask = (id: string, text: string) =>
            Effect.flatMap(Client.session(Painter, id), (session) =>
              Effect.map(session.send(`${text} ${marker}`), (accepted) => session.result(accepted))
            )
          const never = yield* ask("never", "paint 600")
          const again = yield* ask("again", "sketch 600")
          const short = yield* ask("short", "paint 1.2")
          yield* until("all three have begun", Effect.sync(runners.witness), ({ length }) => length === 3)
          const from = Date.now()
          gpu.kill("SIGTERM")
          expect(yield* short).toMatchObject({ output: expect.stringContaining(`paint on ${gpu.pid}, attempt 1`) })
          expect((yield* never)._tag).toBe("Completed")
          expect(yield* gpu.ended).toBe(0)
          console.log(`a runner with errands has left after ${Date.now() - from} ms`)
          expect(yield* survivors(marker)).toEqual([])
          const next = yield* runners.start(pools)
          expect(yield* again).toMatchObject({ output: expect.stringContaining(`sketch on ${next.pid}, attempt 2`) })
          expect(tagged(yield* entriesOf("short"), "StepInDoubt")).toEqual([])
          expect(tagged(yield* entriesOf("never"), "StepInDoubt")).toHaveLength(1)
          expect(runners.witness().filter(({ tool }) => tool === "paint")).toHaveLength(2)
        }).pipe(Effect.provide(clientOf(database)))
      }),
    60_000
  )
})
