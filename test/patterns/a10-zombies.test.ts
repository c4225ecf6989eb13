/** A10. Whatever ends a tool, its process tree is gone within a second, and the port that it held is free. Cites I7. */
import { connect, createServer } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Client, type Session } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"
import { Hands, handlers, toolkit } from "../fixtures/hands.ts"
import { mark } from "../process/suites.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"
import { alive, appeared, survivors } from "../support/Orphans.ts"
import * as Runners from "../support/Runners.ts"
import { answered, clientOf, directory, entriesOf, isTurnEnd, tagged } from "../support/World.ts"

const program = "test/fixtures/hands.main.ts"

const freePort = Effect.async<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as { port: number }
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** `"bound"`, or why the port cannot be had. */
const bind = (port: number) =>
  Effect.async<string>((resume) => {
    const server = createServer()
    server.once("error", (error) => resume(Effect.succeed(error.message)))
    server.listen(port, "127.0.0.1", () => server.close(() => resume(Effect.succeed("bound"))))
  })

/** A server that holds the port, in a session of its own, deaf to SIGTERM; its parent waits for it. */
const holding = (port: number) => {
  const server = `process.on('SIGTERM', () => {}); require('net').createServer().listen(${port}, '127.0.0.1')`
  return `trap '' TERM HUP; setsid nohup '${process.execPath}' -e "${server}" >/dev/null 2>&1 & sleep 1000 & wait`
}

/** Waits until somebody listens. Not by trying to bind it: whoever is about to would find it taken. */
const held = (port: number) =>
  Effect.async<boolean>((resume) => {
    const socket = connect(port, "127.0.0.1")
    const found = (isHeld: boolean) => {
      socket.destroy()
      resume(Effect.succeed(isHeld))
    }
    socket.once("connect", () => found(true)).once("error", () => found(false))
  }).pipe(Effect.zipLeft(Effect.sleep("10 millis")), Effect.repeat({ until: (isHeld) => isHeld }))

const model = (tool: string, script: string, marker: string) =>
  ScriptedModel.make(
    ScriptedModel.reply((prompt) =>
      prompt.content.some(({ role }) => role === "tool")
        ? ScriptedModel.text("I know")
        : ScriptedModel.calls(tool, { script, mark: marker }, { id: "c1" })
    )
  )

// Time enough for the tool's processes to be there, on a slow machine too.
const Impatient = Agent.make("impatient", { toolkit, budget: { wall: "4 seconds" } })
const Timed = Agent.make("timed", { toolkit, tools: { shell: { timeout: "4 seconds" } } })

/** The end of the turn, as the feed says it. */
const turnEnd = (session: Session) => session.feed().pipe(Stream.filter(isTurnEnd), Stream.runHead)

/** Runs a tool that holds a port, does something to it, and looks for what is left. */
const scenario = (
  tool: "shell" | "serve",
  agent: typeof Hands | typeof Impatient | typeof Timed,
  end: (session: Session, marker: string) => Effect.Effect<unknown, unknown>,
  after: (session: Session) => Effect.Effect<unknown, unknown> = () => Effect.void
) =>
  Effect.gen(function* () {
    const home = yield* directory
    const port = yield* freePort
    const marker = mark()
    const live = Runner.layerEmbedded({ agents: [Hands, Impatient, Timed], directory: home }).pipe(
      Layer.provide([handlers, model(tool, holding(port), marker)])
    )
    return yield* Effect.gen(function* () {
      const session = yield* Client.session(agent, "s")
      yield* session.send("Go", { id: "m1" })
      yield* held(port)
      yield* appeared(marker, 3)
      yield* end(session, marker)
      expect(yield* survivors(marker)).toEqual([])
      expect(yield* bind(port)).toBe("bound")
      yield* turnEnd(session)
      yield* after(session)
      return yield* entriesOf("s")
    }).pipe(Effect.provide(live))
  })

describe("A10: zombies", () => {
  it.scopedLive(
    "I7: interrupted: the tree is gone within a second of the acknowledgement, and the session goes on",
    () =>
      Effect.gen(function* () {
        const entries = yield* scenario(
          "shell",
          Hands,
          (session) => session.interrupt,
          (session) => Effect.map(session.ask("Well?"), (answer) => expect(answer).toBe("I know"))
        )
        expect(tagged(entries, "TurnEnded")[0]!.outcome._tag).toBe("Interrupted")
        expect(tagged(entries, "StepFailed")[0]!.failure.class).toBe("Stopped")
      })
  )

  it.scopedLive("I7: interrupted, a process that its tool had started beside itself is gone too", () =>
    Effect.gen(function* () {
      const entries = yield* scenario("serve", Hands, (session) => session.interrupt)
      expect(tagged(entries, "TurnEnded")[0]!.outcome._tag).toBe("Interrupted")
    })
  )

  it.scopedLive("I7: cancelled: the session is not over before its processes are", () =>
    Effect.gen(function* () {
      const entries = yield* scenario("shell", Hands, (session, marker) =>
        session.cancel.pipe(
          // The feed ends with the session.
          Effect.zipRight(Stream.runDrain(session.feed())),
          Effect.zipRight(alive(marker)),
          Effect.map((left) => expect(left).toEqual([]))
        )
      )
      expect(tagged(entries, "SessionEnded")[0]!.outcome._tag).toBe("Cancelled")
    })
  )

  it.scopedLive("I7, I8: the turn's own age ends it, tool and tree", () =>
    Effect.gen(function* () {
      const entries = yield* scenario("shell", Impatient, turnEnd)
      expect(tagged(entries, "TurnEnded")[0]!.outcome).toMatchObject({ _tag: "LimitReached", limit: "wall" })
    })
  )

  it.scopedLive("I7: a tool's time limit ends its tree, and the model is told", () =>
    Effect.gen(function* () {
      const entries = yield* scenario("shell", Timed, turnEnd)
      expect(tagged(entries, "StepFailed")[0]!.failure.class).toBe("TimedOut")
      expect(tagged(entries, "TurnEnded")[0]!.outcome).toEqual({ _tag: "Completed", output: "I know" })
    })
  )

  it.scopedLive(
    "I7, I5: the runner killed with -9: the tree is gone within a second, and the next life reports the call in doubt",
    () =>
      Effect.gen(function* () {
        const home = yield* directory
        const port = yield* freePort
        const marker = mark()
        const fake = yield* Fake.make
        fake.script((request) =>
          answered(request) === 0
            ? Fake.whole(
                Anthropic.message([
                  Anthropic.tool("c1", "shell", JSON.stringify({ script: holding(port), mark: marker }))
                ])
              )
            : Fake.whole(Anthropic.message([Anthropic.text("I know")]))
        )
        const runners = yield* Runners.make({ directory: home }, program)
        const first = yield* runners.start({ MODEL_URL: fake.url })
        const accepted = yield* Effect.gen(function* () {
          const session = yield* Client.session(Hands, "s")
          const accepted = yield* session.send("Go", { id: "m1" })
          yield* held(port)
          yield* appeared(marker, 3)
          return accepted
        }).pipe(Effect.provide(clientOf({ directory: home })))
        first.kill("SIGKILL")
        yield* first.ended
        expect(yield* survivors(marker)).toEqual([])
        expect(yield* bind(port)).toBe("bound")

        yield* runners.start({ MODEL_URL: fake.url })
        yield* Effect.gen(function* () {
          const session = yield* Client.existing("s")
          expect(yield* session.result(accepted)).toEqual({ _tag: "Completed", output: "I know" })
          expect(tagged(yield* entriesOf("s"), "StepInDoubt")).toHaveLength(1)
          // Not run again: nobody holds the port.
          expect(yield* bind(port)).toBe("bound")
        }).pipe(Effect.provide(clientOf({ directory: home })))
      }),
    60_000
  )
})
