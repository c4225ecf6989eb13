/**
 * Bad input, and a world that does not do its part: each is a clear, typed error with a remedy, and the runner lives and
 * goes on (I13). Broken modules and broken JSON are the command line's: `test/cli`.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Tool, Toolkit } from "@effect/ai"
import { PgClient } from "@effect/sql-pg"
import { ConfigProvider, Effect, Exit, Layer, Redacted, Schema, Stream } from "effect"
import Database from "libsql"
import { Agent } from "../../src/agent/index.ts"
import { Client, type Session } from "../../src/client/index.ts"
import { JournalSettings } from "../../src/journal/index.ts"
import { Door, Runner } from "../../src/runner/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"
import { Hands, handlers } from "../fixtures/hands.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"
import * as Postgres from "../support/Postgres.ts"
import * as Runners from "../support/Runners.ts"
import { answered, clientOf, directory, entriesOf, problemsOf, tagged, until } from "../support/World.ts"

const says = (text: string) => ScriptedModel.make(ScriptedModel.reply(() => ScriptedModel.text(text)))

const embedded = (home: string, model = says("well")) =>
  Runner.layerEmbedded({ agents: [Hands], directory: home }).pipe(Layer.provide([handlers, model]))

const explosives = Toolkit.make(Tool.make("boom", { success: Schema.String }))
const Other = Agent.make("other")
const Fuse = Agent.make("fuse", { toolkit: explosives })

/** The error of what must fail, and its text, which must say what to do. */
const refusal = <E extends { readonly _tag: string; readonly message: string }, R>(
  effect: Effect.Effect<unknown, E, R>
) => Effect.map(Effect.flip(effect), (error) => ({ tag: error._tag, text: error.message }))

const goesOn = (session: Session) => Effect.map(session.ask("And now?"), (answer) => expect(answer).toBe("well"))

const hands = { name: "hands", version: "1" }

describe("requests", () => {
  it.scopedLive(
    "an agent that the runner does not know, a name that is none, an id that is none, an empty message",
    () =>
      Effect.gen(function* () {
        const home = yield* directory
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Hands, "s")
          const unknown = yield* refusal(Client.session({ name: "nobody", version: "1" }, "t"))
          expect(unknown).toEqual({ tag: "AgentUnknown", text: 'no agent "nobody" here: the runner knows hands' })
          expect(yield* Client.sessions()).toHaveLength(1)

          for (const id of ["", "a b", "x".repeat(2_000), "a\u0000b", "\ud800"]) {
            expect((yield* refusal(Client.session(Hands, id))).tag).toBe("InvalidInput")
          }
          expect((yield* refusal(Client.session({ name: "a\nb", version: "1" }, "t"))).tag).toBe("InvalidInput")
          expect(yield* refusal(session.send(""))).toEqual({ tag: "InvalidInput", text: "message: it is empty" })
          expect((yield* refusal(session.send([]))).tag).toBe("InvalidInput")
          expect((yield* refusal(session.send([{ type: "text" } as never]))).tag).toBe("InvalidInput")
          expect((yield* refusal(session.send("x", { id: "" }))).tag).toBe("InvalidInput")
          const cursor = yield* refusal(Stream.runDrain(session.feed({ after: "from the start" })))
          expect(cursor.tag).toBe("InvalidCursor")
          expect(cursor.text).toContain("or none to read from the start")
          const missing = yield* refusal(Effect.flatMap(Client.existing("nowhere"), (session) => session.send("x")))
          expect(missing.tag).toBe("SessionNotFound")
          expect(missing.text).toContain("create it")

          expect(yield* entriesOf("s")).toHaveLength(1)
          yield* goesOn(session)
        }).pipe(Effect.provide(embedded(home)))
      })
  )

  it.scopedLive("I1: an id of a command that was used for another, and a session of another agent", () =>
    Effect.gen(function* () {
      const home = yield* directory
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Hands, "s")
        yield* session.ask("one", { id: "m1" })
        const conflict = yield* refusal(session.send("two", { id: "m1" }))
        expect(conflict.tag).toBe("CommandConflict")
        expect(conflict.text).toContain("give each command an id of its own")
        const mismatch = yield* refusal(Client.session(Other, "s"))
        expect(mismatch.tag).toBe("AgentMismatch")
        expect(mismatch.text).toContain("use another session id")
        yield* goesOn(session)
      }).pipe(
        Effect.provide(
          Layer.provide(Runner.layerEmbedded({ agents: [Hands, Other], directory: home }), [handlers, says("well")])
        )
      )
    })
  )

  it.scopedLive(
    "a message that is too large, from another process: refused with its size, however large; the runner lives",
    () =>
      Effect.gen(function* () {
        const home = yield* directory
        const fake = yield* Fake.make
        fake.script(Fake.whole(Anthropic.message([Anthropic.text("well")])))
        const runners = yield* Runners.make({ directory: home }, "test/fixtures/hands.main.ts")
        yield* runners.start({ MODEL_URL: fake.url })
        yield* Effect.gen(function* () {
          const session = yield* Client.session(hands, "s")
          for (const megabytes of [9, 40]) {
            const { tag, text } = yield* refusal(session.send("x".repeat(megabytes * 1024 * 1024)))
            expect(tag).toBe("MessageTooLarge")
            expect(text).toContain("send it in parts")
          }
          const long = Client.session(hands, "t", { attributes: { long: "x".repeat(20 * 1024 * 1024) } })
          expect((yield* refusal(long)).tag).toBe("InvalidInput")
          expect(yield* entriesOf("s")).toHaveLength(1)
          yield* goesOn(session)
        }).pipe(Effect.provide(clientOf({ directory: home })))
      }),
    60_000
  )

  it.scopedLive(
    "NUL, lone surrogates and what looks like a claim come back as they were, through message, model, tool and feed",
    () =>
      Effect.gen(function* () {
        const home = yield* directory
        const fake = yield* Fake.make
        const odd = "\u0000a\u0000b \ud800 \udc00\ud83d \u2028 👩‍👩‍👧 \u0000perdure:claim:{}"
        const claim = '\u0000perdure:claim:{"hash":"0"}'
        fake.script((request) =>
          answered(request) === 0
            ? Fake.whole(
                Anthropic.message([
                  Anthropic.text(odd),
                  Anthropic.tool(
                    "c1",
                    "shell",
                    JSON.stringify({ script: `printf 'x\\000y'; # ${odd.replaceAll("\0", "")}`, mark: "odd" })
                  )
                ])
              )
            : Fake.whole(Anthropic.message([Anthropic.text(claim)]))
        )
        const runners = yield* Runners.make({ directory: home }, "test/fixtures/hands.main.ts")
        yield* runners.start({ MODEL_URL: fake.url })
        yield* Effect.gen(function* () {
          const session = yield* (yield* Client.Client).session(hands, "s", { attributes: { odd } })
          expect(yield* session.ask(odd, { id: "m1" })).toBe(claim)
          // The model got it as it was sent, and its own words back.
          const [asked, again] = fake.requests
          expect(JSON.stringify(asked!.body.messages)).toContain(JSON.stringify(odd).slice(1, -1))
          expect(JSON.stringify(again!.body.messages.slice(1))).toContain(JSON.stringify(odd).slice(1, -1))
          expect(JSON.stringify(again!.body.messages.at(-1))).toContain(
            JSON.stringify(JSON.stringify("x\0y")).slice(1, -1)
          )
          // Readers, too.
          let text = ""
          yield* session.feed().pipe(
            Stream.takeUntil((e) => e._tag === "Entry" && e.recorded.entry._tag === "TurnEnded"),
            Stream.runForEach((e) =>
              Effect.sync(() => {
                if (e._tag === "Delta" && e.channel === "text") text += e.text
              })
            )
          )
          expect(text).toBe(odd + claim)
          const [created, sent] = yield* entriesOf("s")
          expect(created).toMatchObject({ attributes: { odd } })
          expect(sent).toMatchObject({ command: { parts: [{ type: "text", text: odd }] } })
          const [info] = yield* Client.sessions({ attributes: { odd } })
          expect(info).toMatchObject({ session: "s" })
          expect(yield* problemsOf("s")).toEqual([])
        }).pipe(Effect.provide(clientOf({ directory: home })))
      })
  )

  it.scopedLive("bytes that are no request, at the door of the runner: it lives, and answers others", () =>
    Effect.gen(function* () {
      const home = yield* directory
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Hands, "s")
        const knock = (bytes: Uint8Array | string) =>
          Effect.async<void>((resume) => {
            const socket = net.createConnection({ path: Door.socketOf(home) }, () => socket.end(bytes))
            socket.once("error", () => resume(Effect.void))
            socket.once("close", () => resume(Effect.void))
          }).pipe(Effect.timeoutOption("300 millis"))
        yield* knock("GET / HTTP/1.1\r\n\r\n")
        yield* knock(new Uint8Array(4_096).fill(0xc1))
        yield* knock(Buffer.from("deadbeef".repeat(1_000), "hex"))
        // A request of the right form for nothing that there is.
        yield* knock(
          Buffer.from([0x83, 0xa4, 0x5f, 0x74, 0x61, 0x67, 0xa7, ...Buffer.from("Request"), 0xa2, 0x69, 0x64, 0x01])
        )
        yield* goesOn(session)
        const outside = Effect.flatMap(Client.existing("s"), goesOn)
        yield* outside.pipe(Effect.provide(clientOf({ directory: home })))
      }).pipe(Effect.provide(embedded(home)))
    })
  )
})

describe("stores", () => {
  it.scopedLive("a store of a newer version is left alone: embedded, its reader, and Postgres", () =>
    Effect.gen(function* () {
      const home = yield* directory
      yield* Effect.flatMap(Client.session(Hands, "s"), goesOn).pipe(Effect.provide(embedded(home)))
      const db = new Database(join(home, "perdure.db"))
      db.prepare("INSERT INTO perdure_migrations (version, name) VALUES (99, 'later')").run()
      db.close()
      const open = <E extends { readonly _tag: string; readonly message: string }>(layer: Layer.Layer<any, E>) =>
        refusal(Effect.scoped(Layer.build(layer)))
      for (const layer of [embedded(home), Runner.layerReader({ directory: home })]) {
        const { tag, text } = yield* open(layer as Layer.Layer<unknown, any>)
        expect(tag).toBe("StoreUnusable")
        expect(text).toContain("version 99")
        expect(text).toContain("Upgrade perdure")
      }

      const database = yield* Postgres.database
      const runner = cluster(database)
      yield* Effect.flatMap(Client.session(Hands, "s"), goesOn).pipe(Effect.provide(runner))
      yield* Effect.flatMap(
        PgClient.PgClient,
        (sql) => sql`INSERT INTO perdure_migrations (version, name) VALUES (99, 'later')`
      ).pipe(Effect.provide(PgClient.layer({ url: database })))
      const { tag, text } = yield* open(runner as Layer.Layer<unknown, any>)
      expect(tag).toBe("StoreUnusable")
      expect(text).toContain("Upgrade perdure")
    })
  )

  it.scopedLive("no Postgres: an error that says so and what to do, without the password", () =>
    Effect.gen(function* () {
      const port = yield* closedPort
      const url = Redacted.make(`postgres://perdure:canary-password@127.0.0.1:${port}/perdure`)
      const { tag, text } = yield* refusal(Effect.scoped(Layer.build(cluster(url) as Layer.Layer<unknown, any>)))
      expect(tag).toBe("StoreUnavailable")
      expect(text).toContain("start Postgres, or check the host and port")
      expect(text).not.toContain("canary-password")
      const nothing = yield* refusal(
        Effect.scoped(Layer.build(cluster(Redacted.make("mysql://x")) as Layer.Layer<unknown, any>))
      )
      expect(nothing).toMatchObject({ tag: "StoreUnusable" })
    })
  )

  it.scopedLive(
    "Postgres crashes under a runner and comes back: the runner lives, and its session goes on, each call once",
    () =>
      Effect.gen(function* () {
        const server = yield* Effect.acquireRelease(Effect.promise(Postgres.start), ({ stop }) => Effect.promise(stop))
        const database = Redacted.make(server.url)
        const runners = yield* Runners.make(database)
        const runner = yield* runners.start()
        yield* Effect.gen(function* () {
          const session = yield* Client.session({ name: "ticker", version: "1" }, "s")
          const accepted = yield* session.send("60 10 tick")
          yield* until("it works", () => runners.witness().length >= 20)
          yield* Effect.promise(() => server.restart("immediate"))
          expect(yield* session.result(accepted)).toMatchObject({ _tag: "Completed" })
          expect(yield* problemsOf("s")).toEqual([])
          const keys = runners.witness().map(({ key }) => key)
          expect(new Set(keys).size).toBe(keys.length)
          expect(new Set(runners.witness().map(({ pid }) => pid))).toEqual(new Set([runner.pid]))
        }).pipe(Effect.provide(clientOf(database)))
      }),
    90_000
  )

  it.scopedLive("I13: a session whose journal cannot be read parks itself, with the reason; all others go on", () =>
    Effect.gen(function* () {
      const home = yield* directory
      const live = embedded(home)
      yield* Effect.gen(function* () {
        for (const id of ["poisoned", "healthy"]) yield* goesOn(yield* Client.session(Hands, id))
      }).pipe(Effect.provide(live))
      const db = new Database(join(home, "perdure.db"))
      db.prepare("UPDATE perdure_journal SET payload = ? WHERE session = 'poisoned' AND seq = 3").run([
        Buffer.from("?")
      ])
      db.close()
      yield* Effect.gen(function* () {
        const poisoned = yield* Client.existing("poisoned")
        const { tag, text } = yield* refusal(poisoned.send("x"))
        expect(tag).toBe("SessionParked")
        expect(text).toContain("poisoned")
        const [parked] = yield* Client.sessions({ status: "parked" })
        expect(parked).toMatchObject({ session: "poisoned" })
        expect(parked!.attributes["parked"]).toBeDefined()
        yield* goesOn(yield* Client.existing("healthy"))
      }).pipe(Effect.provide(live))
    })
  )
})

describe("tools", () => {
  it.scopedLive(
    "I13: a tool that throws what nobody declared: its model is told, its session and its runner go on",
    () =>
      Effect.gen(function* () {
        const home = yield* directory
        const model = ScriptedModel.make(
          ScriptedModel.reply(({ content }) =>
            content.length === 1 ? ScriptedModel.calls("boom", {}, { id: "c1" }) : ScriptedModel.text("well")
          )
        )
        const boom = explosives.toLayer({
          boom: () => {
            throw new TypeError("nobody declared this")
          }
        })
        const live = Runner.layerEmbedded({ agents: [Fuse], directory: home }).pipe(Layer.provide([boom, model]))
        yield* Effect.gen(function* () {
          const session = yield* Client.session(Fuse, "s")
          yield* goesOn(session)
          const [failed] = tagged(yield* entriesOf("s"), "StepFailed")
          expect(failed?.failure.class).toBe("Defect")
          yield* goesOn(session)
        }).pipe(Effect.provide(live))
      })
  )
})

const closedPort = Effect.async<number>((resume) => {
  const server = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

const cluster = (url: Redacted.Redacted) =>
  Runner.layerCluster({ agents: [Hands] }).pipe(
    Layer.provide([handlers, says("well")]),
    Layer.provide(
      Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["PERDURE_DATABASE_URL", Redacted.value(url)]])))
    )
  )

/** A file system of so many megabytes, or why there is none. */
const small = (megabytes: number): { readonly path: string; readonly free: () => void } | string => {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "mounting a small disk needs root on Linux"
  const path = mkdtempSync(join(tmpdir(), "perdure-small-"))
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "perdure-test", path], { stdio: "pipe" })
  } catch (cause) {
    rmSync(path, { recursive: true })
    return `this machine lets nobody mount a small disk: ${String(cause).split("\n")[0]}`
  }
  return {
    path,
    free: () => {
      execFileSync("umount", ["-l", path])
      rmSync(path, { recursive: true, force: true })
    }
  }
}

const fill = (path: string, file: string) => {
  const { bavail, bsize } = statfsSync(path)
  writeFileSync(join(path, file), Buffer.alloc(bavail * bsize))
}

describe("a full disk", () => {
  it.scopedLive("a command is refused with what to do, the runner lives, and goes on when there is room", (context) =>
    Effect.gen(function* () {
      const disk = yield* Effect.acquireRelease(
        Effect.sync(() => small(8)),
        (disk) => Effect.sync(() => typeof disk === "string" || disk.free())
      )
      if (typeof disk === "string") return context.skip(disk)
      const home = join(disk.path, "store")
      const filler = join(disk.path, "filler")
      const runner = embedded(home).pipe(Layer.provide(JournalSettings.layer({ retryMs: 300 })))
      yield* Effect.gen(function* () {
        const session = yield* Client.session(Hands, "s")
        yield* goesOn(session)
        fill(disk.path, "filler")
        const { tag, text } = yield* refusal(session.send("x".repeat(50_000), { id: "m1" }))
        expect(tag).toBe("StoreUnavailable")
        expect(text).toContain("the disk is full: free some space")
        rmSync(filler)
        const accepted = yield* session.send("x".repeat(50_000), { id: "m1" })
        expect(yield* session.result(accepted)).toEqual({ _tag: "Completed", output: "well" })
        yield* goesOn(session)
        expect(yield* problemsOf("s")).toEqual([])
        expect(tagged(yield* entriesOf("s"), "CommandAccepted").filter(({ id }) => id === "m1")).toHaveLength(1)
      }).pipe(Effect.provide(runner))
      fill(disk.path, "filler")
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(embedded(join(disk.path, "another")))))
      expect(Exit.isFailure(exit) && String(exit.cause)).toMatch(/disk is full|free space/)
    })
  )
})
