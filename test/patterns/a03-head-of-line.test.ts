/**
 * A3. Heavy tools hold up their like and nobody else: on a runner whose heavy pool is full of calls that never end by
 * themselves, a resting session's message is answered at once. Ordered, not timed: the calls are still there when the answer
 * is. (JavaScript that computes for minutes holds up its whole process, whatever pool it is in: heavy tools run processes.)
 */
import { describe, expect, it } from "@effect/vitest"
import { Tool, Toolkit } from "@effect/ai"
import { Clock, Deferred, Effect, Layer, Schedule, Schema } from "effect"
import { Agent, ToolContext } from "../../src/agent/index.ts"
import { Client, type Session } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import type { Pools } from "../../src/session/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"
import { directory, entriesOf, tagged } from "../support/World.ts"

const Render = Tool.make("render", { parameters: { frame: Schema.Int }, success: Schema.String })
const Build = Tool.make("build", { success: Schema.String, dependencies: [ToolContext] })
const Glance = Tool.make("glance", { success: Schema.String })
const toolkit = Toolkit.make(Render, Build, Glance)
const Artist = Agent.make("artist", { toolkit, pools: { render: "heavy", build: "heavy" } })

/** `render 3`: three calls at once; `build`, `glance`: one; then says that it is done. Anything else is answered. */
const model = ScriptedModel.make(
  ScriptedModel.reply((prompt) => {
    const last = prompt.content.at(-1)!
    if (last.role === "tool") return ScriptedModel.text("done")
    const said = JSON.stringify(last.content)
    const count = Number(/render (\d+)/.exec(said)?.[1] ?? 0)
    if (count > 0) {
      return ScriptedModel.parallel(
        Array.from({ length: count }, (_, frame) => ScriptedModel.calls("render", { frame }, { id: `r${frame}` }))
      )
    }
    if (said.includes("build")) return ScriptedModel.calls("build", {}, { id: "b" })
    if (said.includes("glance")) return ScriptedModel.calls("glance", {}, { id: "g" })
    return ScriptedModel.text("here I am")
  }),
  { direct: true }
)

/** Renderings that end when the test says so, in the order in which they began. */
const studio = () => {
  const began: Array<{ readonly session: string; readonly end: Deferred.Deferred<string> }> = []
  const handlers = toolkit.toLayer(
    Effect.succeed({
      render: () =>
        Effect.gen(function* () {
          const { namespace, session } = yield* ToolContext
          const end = yield* Deferred.make<string>()
          began.push({ session: `${namespace}/${session}`, end })
          return yield* Deferred.await(end)
        }) as Effect.Effect<string>,
      build: () =>
        Effect.flatMap(ToolContext, ({ run }) => run({ command: "sleep", args: ["600"] })).pipe(
          Effect.as("built"),
          Effect.orDie
        ),
      glance: () => Effect.succeed("seen")
    })
  )
  return { began, handlers }
}

const soon = Schedule.spaced("3 millis").pipe(Schedule.upTo("20 seconds"))
const until = <A>(what: string, read: Effect.Effect<A, unknown>, test: (a: A) => boolean): Effect.Effect<A> =>
  read.pipe(
    Effect.filterOrFail(test, () => "not yet"),
    Effect.retry(soon),
    Effect.orElse(() => Effect.dieMessage(`it did not come to pass: ${what}`))
  )

const waitsFor = (session: Session, pool: string, count: number) =>
  until(`${session.id} waits for ${pool}`, session.state, ({ open, waiting }) => {
    return open.length === 0 && waiting.filter((one) => one.pool === pool).length === count
  })

const onARunner = <A, E>(
  pools: Pools.Sizes,
  use: (began: ReturnType<typeof studio>["began"]) => Effect.Effect<A, E, Runner.Provided>
) =>
  Effect.gen(function* () {
    const home = yield* directory
    const { began, handlers } = studio()
    const live = Runner.layerEmbedded({ agents: [Artist], directory: home, pools }).pipe(
      Layer.provide([handlers, model])
    )
    return yield* use(began).pipe(Effect.provide(live))
  })

describe("A3: no head-of-line blocking", () => {
  it.scopedLive(
    "a resting session is answered, and runs its tool, while others fill the heavy pool and wait for it",
    () =>
      onARunner({ heavy: 2 }, (began) =>
        Effect.gen(function* () {
          const resting = yield* Client.session(Artist, "resting")
          expect(yield* resting.ask("hello")).toBe("here I am")
          const busy = yield* Effect.forEach(Array.from({ length: 20 }), (_, i) => Client.session(Artist, `busy-${i}`))
          yield* Effect.forEach(busy, (session) => session.send("render 5", { id: "m" }), { concurrency: "unbounded" })
          yield* until(
            "two render",
            Effect.sync(() => began.length),
            (n) => n === 2
          )
          yield* waitsFor(busy[19]!, "heavy", 5)

          const from = yield* Clock.currentTimeMillis
          expect(yield* resting.ask("still there?")).toBe("here I am")
          const answered = yield* Clock.currentTimeMillis
          expect(yield* resting.ask("glance")).toBe("done")
          const seen = yield* Clock.currentTimeMillis
          console.log(`beside 100 heavy calls: answered in ${answered - from} ms, with a tool in ${seen - answered} ms`)
          // Nothing has ended meanwhile, and no more than two have begun.
          expect(began).toHaveLength(2)
          expect(tagged(yield* entriesOf("busy-19"), "StepIntended").map(({ kind }) => kind)).toEqual(["model"])
          yield* Effect.forEach(busy, (session) => session.cancel, { concurrency: "unbounded" })
          expect(yield* resting.ask("render 1").pipe(Effect.raceFirst(renders(began, 3)))).toBe("done")
        })
      )
  )

  it.scopedLive("the same where the heavy tools are OS processes", () =>
    onARunner({ heavy: 2 }, () =>
      Effect.gen(function* () {
        const busy = yield* Effect.forEach(["b1", "b2", "b3"], (id) => Client.session(Artist, id))
        yield* Effect.forEach(busy, (session) => session.send("build", { id: "m" }))
        yield* until(
          "one waits",
          Effect.map(Effect.all(busy.map(({ state }) => state)), (all) => all.flatMap(({ waiting }) => waiting)),
          (waiting) => waiting.length === 1
        )
        const resting = yield* Client.session(Artist, "resting")
        expect(yield* resting.ask("glance")).toBe("done")
        // Whoever is interrupted leaves its slot, or its place in the queue, to the next.
        for (const session of busy) {
          yield* session.interrupt
          yield* until(`${session.id} rests`, session.state, ({ status }) => status === "resting")
        }
      })
    )
  )

  it.scopedLive(
    "slots go to namespaces in turn, to their sessions in turn, and within a session to the first call",
    () =>
      onARunner({ heavy: 1 }, (began) =>
        Effect.gen(function* () {
          const names = ["big/many", "big/one", "small/one", "small/two"]
          const sessions: Array<Session> = []
          for (const name of names) {
            const [namespace, id] = name.split("/") as [string, string]
            const session = yield* Client.session(Artist, id, { namespace })
            yield* session.send(id === "many" ? "render 4" : "render 1", { id: "m" })
            yield* name === names[0]
              ? until(
                  "it renders",
                  Effect.sync(() => began.length),
                  (n) => n === 1
                )
              : waitsFor(session, "heavy", 1)
            sessions.push(session)
          }
          for (let n = 1; n <= 7; n++) {
            yield* until(
              `${n} have begun`,
              Effect.sync(() => began.length),
              (length) => length === n
            )
            yield* Deferred.succeed(began[n - 1]!.end, "rendered")
          }
          // The first had begun when nobody else was there. From then on: the other namespace, and in each the other session.
          expect(began.map(({ session }) => session)).toEqual([
            "big/many",
            "small/one",
            "big/one",
            "small/two",
            "big/many",
            "big/many",
            "big/many"
          ])
          yield* Effect.forEach(sessions, (session) =>
            until(`${session.id} rests`, session.state, ({ status }) => status === "resting")
          )
        })
      )
  )

  it.scopedLive("what waits says so, is not in the journal, and is taken out at once by an interrupt", () =>
    onARunner({ heavy: 1 }, (began) =>
      Effect.gen(function* () {
        const first = yield* Client.session(Artist, "first")
        yield* first.send("render 1", { id: "m" })
        yield* until(
          "it renders",
          Effect.sync(() => began.length),
          (n) => n === 1
        )
        const second = yield* Client.session(Artist, "second")
        const accepted = yield* second.send("render 2", { id: "m" })
        const { waiting } = yield* waitsFor(second, "heavy", 2)
        expect(waiting[0]).toMatchObject({ pool: "heavy", kind: "tool", name: "render", step: null, attempt: 1 })
        yield* second.interrupt
        expect((yield* second.result(accepted))._tag).toBe("Interrupted")
        expect((yield* second.state).waiting).toEqual([])
        // It was not stopped, nor is it in doubt: it had not begun (I5).
        const entries = yield* entriesOf("second")
        expect(tagged(entries, "StepIntended")).toHaveLength(1)
        expect(tagged(entries, "StepFailed")).toHaveLength(0)
        // The model is told of both calls, and goes on.
        expect(yield* second.ask("hello")).toBe("here I am")
        yield* Deferred.succeed(began[0]!.end, "rendered")
        yield* until("the first rests", first.state, ({ status }) => status === "resting")
        expect(began).toHaveLength(1)
      })
    )
  )

  it.scopedLive("a runner without a pool that an agent asks for does not start, and says what to set", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(onARunner({}, () => Client.session(Artist, "s")))
      expect(error).toMatchObject({ _tag: "PoolUnknown", pool: "heavy", agent: "artist" })
    })
  )
})

/** Ends all that has begun when so many have. */
const renders = (began: ReturnType<typeof studio>["began"], count: number) =>
  until(
    "it renders",
    Effect.sync(() => began.length),
    (n) => n === count
  ).pipe(
    Effect.zipRight(Effect.forEach(began, ({ end }) => Deferred.succeed(end, "rendered"))),
    Effect.zipRight(Effect.never)
  )
