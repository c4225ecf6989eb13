/** I13: a session that cannot go on is seen as such, and harms no other. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Client } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"

const Sound = Agent.make("sound")
const sick = Agent.make("sick")
let isSick = true
const Sick: typeof sick = {
  ...sick,
  behaviour: {
    ...sick.behaviour,
    decide: (...args) => {
      if (isSick) throw new Error("it has no idea")
      return sick.behaviour.decide(...args)
    }
  }
}

it.scopedLive(
  "a session whose behaviour throws is listed as parked with the reason, and goes on when it is mended",
  () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "perdure-parked-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      )
      const live = Runner.layerEmbedded({ agents: [Sound, Sick], directory }).pipe(
        Layer.provide(ScriptedModel.make([ScriptedModel.reply(() => ScriptedModel.text("well"))]))
      )
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Sick, "s")
        yield* Effect.ignore(session.send("how are you?", { id: "m1" }))
        const [parked] = yield* Client.sessions({ status: "parked" }).pipe(
          Effect.filterOrFail((found) => found.length > 0),
          Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo("10 seconds")))
        )
        expect(parked).toMatchObject({
          session: "s",
          attributes: { parked: expect.stringContaining("it has no idea") }
        })
        expect(yield* (yield* Client.session(Sound, "other")).ask("and you?")).toBe("well")

        isSick = false
        expect(yield* session.result(yield* session.send("how are you?", { id: "m1" }))).toMatchObject({
          _tag: "Completed"
        })
        expect(yield* Client.sessions({ status: "parked" })).toEqual([])
      }).pipe(Effect.provide(live))
    })
)
