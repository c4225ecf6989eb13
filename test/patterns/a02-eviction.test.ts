/**
 * A2. A machine is taken away in the middle of work that takes minutes, with notice (SIGTERM) or without (kill -9), and the
 * next one starts with nothing but the database. What was done is not done again; only the step in flight is cut off.
 * Cites I2, I5, I7. (The files of a workspace come with it, later.)
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { Client, type Session } from "../../src/client/index.ts"
import { Painter } from "../fixtures/studio.ts"
import { mark } from "../process/suites.ts"
import { appeared, survivors } from "../support/Orphans.ts"
import * as Postgres from "../support/Postgres.ts"
import * as Runners from "../support/Runners.ts"
import { clientOf, entriesOf, problemsOf, tagged } from "../support/World.ts"

/** Each of them has all that the tools need, and room for two. */
const pod = { PERDURE_TAGS: "gpu", PERDURE_POOLS: "heavy=2" }

const waits = (session: Session) =>
  Effect.repeat(session.state, {
    until: ({ waiting }) => waiting.length === 1,
    schedule: Schedule.spaced("5 millis")
  }).pipe(Effect.timeout("20 seconds"))

const evicted = (signal: "SIGTERM" | "SIGKILL") =>
  Effect.gen(function* () {
    const database = yield* Postgres.database
    const runners = yield* Runners.make(database, "test/fixtures/studio.main.ts")
    const old = yield* runners.start(pod)
    return yield* Effect.gen(function* () {
      const marker = mark()
      const resting = yield* Client.session(Painter, "resting")
      yield* resting.ask(`sketch 0 ${mark()}`)
      const sketching = yield* Client.session(Painter, "sketching")
      const painting = yield* Client.session(Painter, "painting")
      const waiting = yield* Client.session(Painter, "waiting")
      const sketch = yield* sketching.send(`sketch 600 ${marker}`)
      const paint = yield* painting.send(`paint 600 ${marker}`)
      yield* appeared(marker, 2)
      const later = yield* waiting.send(`paint 0.1 ${mark()}`)
      yield* waits(waiting)
      const before = runners.witness().length

      const from = Date.now()
      old.kill(signal)
      const code = yield* old.ended.pipe(Effect.timeout("20 seconds"))
      const took = Date.now() - from
      expect(code).toBe(signal === "SIGTERM" ? 0 : "SIGKILL")
      expect(yield* survivors(marker)).toEqual([])
      const next = yield* runners.start(pod)

      // What may be repeated runs again, what may not is in doubt and the model is told, what had not begun runs once.
      expect(yield* sketching.result(sketch)).toMatchObject({
        _tag: "Completed",
        output: expect.stringContaining(`sketch on ${next.pid}, attempt 2`)
      })
      expect(yield* painting.result(paint)).toMatchObject({
        _tag: "Completed",
        output: expect.stringContaining("outcome of this call is unknown")
      })
      expect(yield* waiting.result(later)).toMatchObject({
        _tag: "Completed",
        output: expect.stringContaining(`paint on ${next.pid}, attempt 1`)
      })
      expect(yield* resting.ask(`sketch 0 ${mark()}`)).toContain(`sketch on ${next.pid}`)

      const after = runners.witness().slice(before)
      expect(after.map(({ session, tool }) => `${session} ${tool}`).sort()).toEqual([
        "resting sketch",
        "sketching sketch",
        "waiting paint"
      ])
      for (const id of ["sketching", "painting", "waiting"]) {
        // The model had decided before: it is asked for what comes next, and not again.
        const entries = yield* entriesOf(id)
        const models = tagged(entries, "StepIntended").filter(({ kind }) => kind === "model")
        expect(models).toHaveLength(2)
        expect(tagged(entries, "StepInDoubt")).toHaveLength(id === "painting" ? 1 : 0)
        expect(yield* problemsOf(id)).toEqual([])
      }
      return took
    }).pipe(Effect.provide(clientOf(database)))
  })

describe("A2: eviction", () => {
  it.scopedLive(
    "SIGTERM in the middle of tools of minutes: the process has left long before it is killed, and another goes on",
    () => Effect.map(evicted("SIGTERM"), (took) => console.log(`left ${took} ms after SIGTERM`)),
    90_000
  )

  it.scopedLive("kill -9: the same, and nothing that it had started lives on", () => evicted("SIGKILL"), 90_000)
})
