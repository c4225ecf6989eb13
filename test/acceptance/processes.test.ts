/**
 * A tool that spawns `setsid`, `nohup`, double-forked, TERM-ignoring children: none alive one second after interrupt,
 * after cancel, and after kill -9 of the runner (I7). By an agent's tools, with all trees at once.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Client, type Session } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"
import { Hands, handlers } from "../fixtures/hands.ts"
import { machines, mark } from "../process/suites.ts"
import { type Tree, trees, untraceable } from "../process/trees.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"
import { appeared, survivors } from "../support/Orphans.ts"
import * as Runners from "../support/Runners.ts"
import { clientOf, directory } from "../support/World.ts"

/** What a runner catches by default on this machine. */
const namespaces = machines.some(({ namespace, supported }) => namespace && supported)
const caught: ReadonlyArray<Tree> = (namespaces ? [...trees, untraceable] : trees).filter(({ ends }) => !ends)
/** Children that outlive their command end with the call: their tool says so by ending. */
const bearers = caught.reduce((sum, tree) => sum + tree.bearers, 0)

/** One call for each tree: half of them run to their end, half are started beside the tool. */
const calls = (marker: string) =>
  caught.map(({ script }, i) => ({ tool: i % 2 === 0 ? "shell" : "serve", params: { script, mark: marker } }))

/** Interrupts or cancels a turn that runs all trees, as soon as they are there. */
const ended = (how: (session: Session) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function* () {
    const home = yield* directory
    const marker = mark()
    const model = ScriptedModel.make([
      ScriptedModel.parallel(
        calls(marker).map(({ params, tool }, i) => ScriptedModel.calls(tool, params, { id: `c${i}` }))
      )
    ])
    const live = Runner.layerEmbedded({ agents: [Hands], directory: home }).pipe(Layer.provide([handlers, model]))
    yield* Effect.gen(function* () {
      const session = yield* Client.session(Hands, "s")
      yield* session.send("Go")
      yield* appeared(marker, bearers)
      yield* how(session)
      expect(yield* survivors(marker)).toEqual([])
    }).pipe(Effect.provide(live))
  })

describe("no process outlives what it was started for", () => {
  it.scopedLive("I7: one second after interrupt, none is alive", () => ended((session) => session.interrupt))

  it.scopedLive("I7: one second after cancel, none is alive", () => ended((session) => session.cancel))

  it.scopedLive(
    "I7: one second after kill -9 of the runner, none is alive",
    () =>
      Effect.gen(function* () {
        const home = yield* directory
        const marker = mark()
        const fake = yield* Fake.make
        const blocks = calls(marker).map(({ params, tool }, i) => Anthropic.tool(`c${i}`, tool, JSON.stringify(params)))
        fake.script(Fake.whole(Anthropic.message(blocks)))
        const runners = yield* Runners.make({ directory: home }, "test/fixtures/hands.main.ts")
        const runner = yield* runners.start({ MODEL_URL: fake.url })
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Hands, "s")
          yield* session.send("Go")
          yield* appeared(marker, bearers)
        }).pipe(Effect.provide(clientOf({ directory: home })))
        runner.kill("SIGKILL")
        yield* runner.ended
        expect(yield* survivors(marker)).toEqual([])
      }),
    60_000
  )
})
