/** The way into an embedded runner from other processes, wherever its directory is, and whatever their surroundings are. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Client } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"

const Polite = Agent.make("polite")

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "perdure-door-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const embedded = (directory: string) =>
  Runner.layerEmbedded({ agents: [Polite], directory }).pipe(
    Layer.provide(ScriptedModel.make([ScriptedModel.reply(() => ScriptedModel.text("well"))]))
  )

/** With another directory for temporary files, as a service with its own and a terminal have. */
const withTemporary = (path: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = process.env["TMPDIR"]
      process.env["TMPDIR"] = path
      return before
    }),
    (before) =>
      Effect.sync(() => {
        if (before === undefined) delete process.env["TMPDIR"]
        else process.env["TMPDIR"] = before
      })
  )

it.scopedLive(
  "a directory whose path is too long for a socket is reached with another TMPDIR, and nothing is left there",
  () =>
    Effect.gen(function* () {
      const home = yield* temporary
      const directory = join(home, "long".repeat(25), "store")
      const [one, two] = [join(home, "one"), join(home, "two")]
      for (const path of [directory, one, two]) mkdirSync(path, { recursive: true })
      yield* withTemporary(one)
      yield* Effect.gen(function* () {
        yield* withTemporary(two)
        const answer = Effect.flatMap(Client.session(Polite, "s"), (session) => session.ask("how are you?"))
        expect(yield* answer.pipe(Effect.provide(Runner.layerLocal({ directory })))).toBe("well")
        expect(statSync(join(directory, "runner.sock")).mode & 0o777).toBe(0o600)
      }).pipe(Effect.scoped, Effect.provide(embedded(directory)))
      expect([readdirSync(one), readdirSync(two)]).toEqual([[], []])
      expect(readdirSync(directory)).not.toContain("runner.sock")
    })
)

it.scopedLive("where the socket cannot be made, the runner serves its own process, and says why", () =>
  Effect.gen(function* () {
    const directory = yield* temporary
    mkdirSync(join(directory, "runner.sock"))
    const said: Array<string> = []
    const listening = Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ message }) => void said.push(String(message)))
    )
    yield* Effect.gen(function* () {
      expect(yield* (yield* Client.session(Polite, "s")).ask("how are you?")).toBe("well")
    }).pipe(Effect.provide(Layer.provide(embedded(directory), listening)))
    expect(said.join()).toMatch(
      /no other process can reach this runner: .*runner\.sock cannot be removed: ERR_FS_EISDIR/
    )
  })
)
