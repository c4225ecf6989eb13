/** What a session's runner says to the one that runs its errand, when that one answers late, wrongly or not at all. */
import { describe, expect, it } from "@effect/vitest"
import { RunnerAddress, Runner, RunnerStorage } from "@effect/cluster"
import { Effect, Fiber, Layer, TestClock } from "effect"
import type { Epoch, StepId } from "../../src/domain/Id.ts"
import { SessionKey } from "../../src/domain/Id.ts"
import * as PeersLive from "../../src/runner/Peers.ts"
import { type OpenStep, Peers, type StepContext } from "../../src/session/index.ts"
import { away, type Surroundings } from "../../src/session/internal/away.ts"
import { ErrandLost } from "../../src/session/internal/errandProtocol.ts"
import type { Lease } from "../../src/session/internal/gate.ts"

const step: OpenStep = {
  step: "2" as StepId,
  turn: 1,
  kind: "tool",
  name: "paint",
  input: null,
  repeatable: "never",
  attempt: 1,
  dueAt: 0,
  nextInput: "original",
  partial: undefined
}

const context = { emit: () => Effect.void, save: () => Effect.void } as unknown as StepContext

interface Said {
  readonly ticket: string
}

type Answers = Record<"Reserve" | "Keep" | "Begin" | "Follow" | "Drop", (said: Said) => Effect.Effect<unknown, unknown>>

/** A gate whose other side answers as told, and what it was asked. */
const setting = (answers: Partial<Answers>) =>
  Effect.gen(function* () {
    const runtime = yield* Effect.runtime()
    const said: Array<string> = []
    const all: Answers = {
      Reserve: () => Effect.succeed("b:1#0.1"),
      Keep: () => Effect.void,
      Begin: () => Effect.void,
      Follow: () => Effect.never,
      Drop: () => Effect.succeed("stopped"),
      ...answers
    }
    const remote = Object.fromEntries(
      Object.entries(all).map(([name, answer]) => [
        name,
        (payload: Said) =>
          Effect.suspend(() => {
            said.push(`${name} ${payload.ticket}`)
            return answer(payload)
          })
      ])
    )
    let numbers = 0
    const clock = yield* Effect.clock
    const gate = away(
      {
        // Only what `away` uses of the cluster's client.
        client: (() => remote) as unknown as Surroundings["client"],
        fork: (effect) => Effect.runFork(Effect.provide(effect, runtime.context).pipe(Effect.withClock(clock))),
        self: () => "a:1",
        serves: () => true,
        isThere: () => true,
        number: () => ++numbers,
        now: () => 0,
        elapsed: () => 0,
        waited: () => {}
      },
      { key: SessionKey.parse("default/s"), epoch: 1 as Epoch, agent: "painter", pool: "heavy", tag: "gpu" }
    )
    const lease = yield* Effect.async<Lease>((resume) => void gate.wait((lease) => resume(Effect.succeed(lease))))
    return { said, run: lease.elsewhere!(step, context) }
  })

/** As a session runs it: what it came to is kept where nothing interrupts. */
const kept = <A>(run: Effect.Effect<A>) => {
  let outcome: A | null = null
  const keep = (exit: A) => {
    outcome = exit
  }
  return { keeping: Effect.uninterruptible(Effect.map(run, keep)), outcome: () => outcome }
}

describe("an errand, from its session's side", () => {
  it.effect("is lost only when it is over on the other runner (I7)", () =>
    Effect.gen(function* () {
      const over = yield* Effect.makeLatch(false)
      const { run, said } = yield* setting({
        Follow: () => Effect.dieMessage("the connection is gone"),
        Drop: () => Effect.as(over.await, "stopped")
      })
      const running = yield* Effect.fork(run)
      while (!said.includes("Drop 1.1")) yield* Effect.yieldNow()
      expect(yield* Fiber.poll(running)).toMatchObject({ _tag: "None" })
      yield* over.open
      expect(yield* Fiber.join(running)).toMatchObject({ failure: { class: "RunnerLost" } })
    })
  )

  it.effect("interrupted, is told to end until that is answered, and no longer than its host waits for us (I7)", () =>
    Effect.gen(function* () {
      let answered = 0
      const { run, said } = yield* setting({
        Drop: () => (++answered < 3 ? Effect.dieMessage("no connection") : Effect.succeed("stopped"))
      })
      const running = yield* Effect.fork(run)
      while (!said.includes("Follow 1.1")) yield* Effect.yieldNow()
      const interrupting = yield* Effect.fork(Fiber.interrupt(running))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(interrupting)
      expect(said.filter((one) => one === "Drop 1.1")).toHaveLength(3)

      const deaf = yield* setting({ Drop: () => Effect.never })
      const second = yield* Effect.fork(deaf.run)
      while (!deaf.said.includes("Follow 1.1")) yield* Effect.yieldNow()
      const ending = yield* Effect.fork(Fiber.interrupt(second))
      yield* TestClock.adjust("5500 millis")
      expect(yield* Fiber.poll(ending)).toMatchObject({ _tag: "None" })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(ending)
    })
  )

  it.effect(
    "interrupted, is lost where nobody can say how it ended, and what it came to where that is known (I5)",
    () =>
      Effect.gen(function* () {
        const painted = { _tag: "Succeeded", output: { output: "painted" } }
        const endOf = (end: unknown) =>
          Effect.gen(function* () {
            const { run, said } = yield* setting({ Drop: () => Effect.succeed(end) })
            const { keeping, outcome } = kept(run)
            const running = yield* Effect.fork(keeping)
            while (!said.includes("Follow 1.1")) yield* Effect.yieldNow()
            yield* Fiber.interrupt(running)
            return outcome()
          })
        expect(yield* endOf("unknown")).toMatchObject({ _tag: "Failed", failure: { class: "RunnerLost" } })
        expect(yield* endOf(painted)).toEqual(painted)
        expect(yield* endOf("stopped")).toBe(null)
        expect(yield* endOf("neverBegan")).toBe(null)
      })
  )

  it.effect("that may still be on its way when its host is lost is in doubt when it cannot begin any more (I5)", () =>
    Effect.gen(function* () {
      const { run, said } = yield* setting({ Begin: () => Effect.never, Drop: () => Effect.succeed("unknown") })
      const { keeping, outcome } = kept(run)
      const running = yield* Effect.fork(keeping)
      while (!said.includes("Begin 1.1")) yield* Effect.yieldNow()
      const interrupting = yield* Effect.fork(Fiber.interrupt(running))
      yield* TestClock.adjust("5 seconds")
      expect(outcome()).toBe(null)
      yield* TestClock.adjust("200 millis")
      yield* Fiber.join(interrupting)
      expect(outcome()).toMatchObject({ failure: { class: "RunnerLost" } })
    })
  )

  it.effect("waits for another slot where it certainly has not begun, and is in no doubt (I5)", () =>
    Effect.gen(function* () {
      const refused = new ErrandLost({ reason: "its runner leaves", neverBegan: true })
      const outcome = { _tag: "Succeeded", output: { output: "painted" } }
      const { run, said } = yield* setting({
        Begin: ({ ticket }) => (ticket === "1.1" ? Effect.fail(refused) : Effect.void),
        Follow: () => Effect.succeed({ pieces: [], save: null, outcome })
      })
      expect(yield* run).toEqual(outcome)
      expect(said).toEqual(["Reserve 1.1", "Begin 1.1", "Drop 1.1", "Reserve 1.2", "Begin 1.2", "Follow 1.2"])
    })
  )

  it.effect("does not begin in a slot that was lost while it was held (I5)", () =>
    Effect.gen(function* () {
      const outcome = { _tag: "Succeeded", output: { output: "painted" } }
      const { run, said } = yield* setting({
        Keep: () => Effect.fail(new ErrandLost({ reason: "its host is gone", neverBegan: false })),
        Follow: () => Effect.succeed({ pieces: [], save: null, outcome })
      })
      yield* TestClock.adjust("2 seconds")
      // Whatever follows from the refusal has followed.
      yield* Effect.promise(() => new Promise<void>((resume) => setImmediate(resume)))
      expect(yield* run).toEqual(outcome)
      expect(said).toEqual(["Reserve 1.1", "Keep 1.1", "Reserve 1.2", "Begin 1.2", "Follow 1.2"])
    })
  )
})

describe("a runner that leaves", () => {
  it.effect("is there as long as it is on the list, and takes nothing new", () =>
    Effect.gen(function* () {
      const address = RunnerAddress.make("a", 1)
      const runner = Runner.make({ address, groups: ["default", "on.gpu"], weight: 1 })
      let runners: Array<[Runner.Runner, boolean]> = [[runner, true]]
      const storage = RunnerStorage.RunnerStorage.of({
        getRunners: Effect.sync(() => runners)
      } as unknown as RunnerStorage.RunnerStorage["Type"])
      yield* Effect.gen(function* () {
        const peers = yield* Peers
        const { getRunners } = yield* RunnerStorage.RunnerStorage
        yield* getRunners
        expect([peers.isThere("a:1"), peers.serves("gpu")]).toEqual([true, true])
        runners = [[runner, false]]
        yield* getRunners
        expect([peers.isThere("a:1"), peers.serves("gpu")]).toEqual([true, false])
        runners = []
        yield* getRunners
        expect([peers.isThere("a:1"), peers.serves("gpu")]).toEqual([false, false])
      }).pipe(Effect.provide(PeersLive.layer.pipe(Layer.provide(Layer.succeed(RunnerStorage.RunnerStorage, storage)))))
    })
  )
})
