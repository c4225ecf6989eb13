/** Policies of an agent's own and the models that it falls back to, in the real runtime. Cites I2, I5, I9. */
import { Tool, Toolkit } from "@effect/ai"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schedule, Schema, TestClock, TestServices } from "effect"
import { Agent } from "../../src/agent/index.ts"
import type { Recorded } from "../../src/domain/Entry.ts"
import { Models } from "../../src/model/index.ts"
import { Policy } from "../../src/resilience/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { type AgentUnfit, Pools } from "../../src/session/index.ts"
import { ScriptedModel, TestRunner } from "../../src/testing/index.ts"

const failures = (entries: ReadonlyArray<Recorded>) =>
  entries.flatMap(({ entry }) => (entry._tag === "AttemptFailed" || entry._tag === "StepFailed" ? [entry] : []))

const always = (failure: "Refused" | "Overloaded" | "Unauthorized") => {
  const one = (): Parameters<typeof ScriptedModel.reply>[0] => () =>
    ScriptedModel.fails(failure, {}, ScriptedModel.reply(one()))
  return ScriptedModel.make(ScriptedModel.reply(one()))
}

/** A pause in which what is asked is answered. */
const aMoment = TestServices.provideLive(Effect.sleep("5 millis"))

/** Waits until the journal says so. */
const until = <E>(
  journal: Effect.Effect<ReadonlyArray<Recorded>, E>,
  test: (entries: ReadonlyArray<Recorded>) => boolean
): Effect.Effect<void, E> =>
  Effect.flatMap(journal, (entries) =>
    test(entries) ? Effect.void : Effect.zipRight(Effect.yieldNow(), until(journal, test))
  )

describe("a model that does not answer", () => {
  const models = Models.layer({
    strict: always("Refused"),
    broke: always("Unauthorized"),
    kind: ScriptedModel.make(ScriptedModel.reply(() => ScriptedModel.text("with pleasure")))
  })
  const Chain = Agent.make("chain", { model: "strict", fallbacks: ["broke", "kind"] })

  it.scoped("is followed by the next of the chain, and the journal says which, and who decided", () =>
    Effect.gen(function* () {
      const world = yield* TestRunner.make({ agents: [Chain], model: models })
      const session = yield* world.session(Chain, "s")
      expect(yield* session.ask("please")).toBe("with pleasure")
      expect(failures(yield* world.journal("s"))).toMatchObject([
        { failure: { class: "Refused" }, decided: { plan: "fallback", model: "broke", policy: "modelDefault" } },
        { failure: { class: "Unauthorized" }, decided: { plan: "fallback", model: "kind" } }
      ])
    })
  )

  it.scoped("the next model is still the one that was chosen when the runner dies in between (I2)", () =>
    Effect.gen(function* () {
      const patient = Policy.make("patient", [
        Policy.rule("Refused", Policy.fallback()),
        Policy.rule(
          "Unauthorized",
          Policy.retry({ attempts: 2, delay: Policy.fixed("5 minutes"), jitter: 0 }),
          Policy.fallback()
        )
      ])
      const Slow = Agent.make("slow", { model: "strict", fallbacks: ["broke", "kind"], policy: { model: patient } })
      const world = yield* TestRunner.make({ agents: [Slow], model: models, restart: "manual" })
      const session = yield* world.session(Slow, "s")
      const accepted = yield* session.send("please")
      yield* until(world.journal("s"), (entries) => failures(entries).length === 2)
      const [, waiting] = failures(yield* world.journal("s"))
      yield* world.kill
      yield* TestClock.adjust("2 minutes")
      yield* world.restart
      const view = yield* session.state
      expect(view.open).toMatchObject([{ dueAt: (waiting as { retryAt: number }).retryAt }])
      // Due in five minutes, of which the outage took two.
      const tried = Effect.map(
        world.journal("s"),
        (entries) => failures(entries).filter(({ failure }) => failure.class === "Unauthorized").length
      )
      yield* TestClock.adjust("179 seconds")
      yield* aMoment
      expect(yield* tried).toBe(1)
      // It begins when it is due; its provider is asked for a permit then, which may take virtual time of its own.
      yield* TestClock.adjust("1 seconds")
      yield* Effect.repeat(Effect.zipRight(Effect.zipRight(aMoment, TestClock.adjust("1 seconds")), tried), {
        until: (n) => n === 2
      })
      expect(yield* session.result(accepted)).toMatchObject({ _tag: "Completed", output: "with pleasure" })
    })
  )
})

const Look = Tool.make("look", { parameters: { n: Schema.Int }, success: Schema.String }).annotate(Tool.Readonly, true)
const Pay = Tool.make("pay", { parameters: { n: Schema.Int }, success: Schema.String })
const tools = Toolkit.make(Look, Pay)

/** What a runner says of an agent when it starts. */
const startWith = (agent: Agent.Any, models: Layer.Layer<any> = Layer.empty as Layer.Layer<any>) =>
  Runner.layerRegistry([agent.behaviour]).pipe(
    Layer.provide([Pools.Pools.layer({}, []), models]),
    Layer.build,
    Effect.scoped,
    Effect.asVoid
  ) as Effect.Effect<void, AgentUnfit>

describe("a message", () => {
  const hasty = Policy.make("hasty", [Policy.rule("Overloaded", Policy.fail)])
  const Named = Agent.make("named", {
    policy: {
      model: Policy.make("steady", [Policy.rule("Overloaded", Policy.retry({ attempts: 3 }))]),
      named: { hasty }
    }
  })
  const by = (entries: ReadonlyArray<Recorded>) => failures(entries).map(({ decided }) => decided?.policy)

  it.scoped("names the policy of its turn, and of no other", () =>
    Effect.gen(function* () {
      const world = yield* TestRunner.make({ agents: [Named], model: always("Overloaded") })
      const session = yield* world.session(Named, "s")
      for (const policy of [undefined, "hasty", undefined]) {
        yield* session.result(yield* session.send("please", { policy }))
      }
      const steady = ["steady", "steady", "steady"]
      expect(by(yield* world.journal("s"))).toEqual([...steady, "hasty", ...steady])
    })
  )

  it.scoped("that waits in the queue keeps its policy, also in the snapshot of another runner", () =>
    Effect.gen(function* () {
      const world = yield* TestRunner.make({
        agents: [Named],
        model: always("Overloaded"),
        sessions: { snapshotEntries: 1 }
      })
      const session = yield* world.session(Named, "s")
      yield* session.send("please")
      const second = yield* session.send("please", { policy: "hasty" })
      yield* world.kill
      yield* session.result(second)
      expect(by(yield* world.journal("s")).at(-1)).toBe("hasty")
    })
  )

  it.scoped("of an agent that asks a human is answered when one has decided, and not before", () =>
    Effect.gen(function* () {
      const Asking = Agent.make("asking", {
        policy: { model: Policy.make("asks", [Policy.rule("Refused", Policy.ask("Try once more?"))]) }
      })
      const world = yield* TestRunner.make({
        agents: [Asking],
        model: ScriptedModel.make([ScriptedModel.fails("Refused", {}, ScriptedModel.text("well, yes"))])
      })
      const session = yield* world.session(Asking, "s")
      const accepted = yield* session.send("please")
      yield* until(world.journal("s"), (entries) => entries.some(({ entry }) => entry._tag === "Paused"))
      // Also when its runner is another one.
      yield* world.kill
      const { open, pauses, status } = yield* session.state
      expect(status).toBe("paused")
      expect(open).toMatchObject([
        { held: true, attempt: 2, why: { decided: { plan: "ask", question: "Try once more?" } } }
      ])
      yield* session.decide(pauses[0]!.pause, "proceed")
      expect(yield* session.result(accepted)).toMatchObject({ _tag: "Completed", output: "well, yes" })
    })
  )

  it.scoped("that names a policy which the agent does not have is refused, and nothing is journaled (I13)", () =>
    Effect.gen(function* () {
      const world = yield* TestRunner.make({ agents: [Named], model: always("Overloaded") })
      const session = yield* world.session(Named, "s")
      const before = yield* world.journal("s")
      const error = yield* Effect.flip(session.send("please", { policy: "lazy" }))
      expect(error.message).toBe('message: the agent has no policy named "lazy": it has hasty')
      expect(yield* world.journal("s")).toEqual(before)
    })
  )
})

describe("an agent is checked when its runner starts", () => {
  const { retry, rule } = Policy
  const named = (name: string) => retry({ attempts: 3, delay: Policy.named(name) })
  const model = (...rules: ReadonlyArray<Policy.Rule>) => ({ policy: { model: Policy.make("mine", rules) } })
  const one = {
    schedules: {
      odd: Schedule.recurs(0),
      asks: Schedule.recurWhileEffect(() => Effect.sleep("1 second").pipe(Effect.as(true)))
    }
  }
  it.effect.each([
    ["a model that nobody named", { fallbacks: ["gpt"] }, ['there is no model "gpt"', "Models.layer"]],
    ["a chain with a model twice", { fallbacks: ["a", "a"] }, ['"a" is twice in its chain']],
    [
      "a fallback outside of the chain",
      model(rule("Refused", Policy.fallback({ model: "gpt" }))),
      ['falls back to the model "gpt", which is not in the agent\'s chain']
    ],
    [
      "a schedule that is not given",
      model(rule("RateLimited", named("payday"))),
      ['by a schedule "payday" that is not']
    ],
    [
      "a schedule that ends at once",
      { policy: { ...model(rule("RateLimited", named("odd"))).policy, ...one } },
      ["cannot be computed"]
    ],
    [
      "a schedule that sleeps",
      { policy: { ...model(rule("RateLimited", named("asks"))).policy, ...one } },
      ["cannot be computed"]
    ],
    ["a loop without a wait", model(rule("Overloaded", retry({ attempts: 500 }))), ["500 times without any wait"]],
    ["a retry that is none", model(rule("Overloaded", retry({ attempts: 1 }))), ["attempts: 1"]],
    [
      "a rule that never decides",
      model(rule(["Refused", "Defect"], Policy.fail), rule({ name: "b", on: "Defect" }, Policy.ask())),
      ['rule "b" never decides']
    ],
    [
      "a plan that is never looked at",
      model(rule("Refused", Policy.fail, Policy.fallback())),
      ["has a plan after fail"]
    ],
    ["a rule for what was stopped", model(rule("Stopped", retry({ attempts: 2 }))), ["for what was stopped"]],
    [
      "a retry of a tool that may not be repeated",
      { toolkit: tools, policy: { tools: { pay: Policy.make("p", [rule("ToolFailed", retry({ attempts: 3 }))]) } } },
      ["retries a tool that may not be repeated", "Tool.Idempotent"]
    ],
    [
      "a tool that falls back",
      { toolkit: tools, policy: { otherTools: Policy.make("p", [rule("ToolFailed", Policy.fallback())]) } },
      ["falls back to a model for a tool"]
    ],
    [
      "a policy of a tool that there is not",
      { toolkit: tools, policy: { tools: { lok: Policy.toolDefault } as {} } },
      ['the tool "lok", which the agent does not have (it has look, pay)']
    ]
  ] as const)("%s is told, with what to do", ([, options, told]) =>
    Effect.gen(function* () {
      const agent = Agent.make("a1", options as {})
      const models = Models.layer({ a: ScriptedModel.make([]) })
      const error = yield* Effect.flip(startWith(agent, models))
      expect(error._tag).toBe("AgentUnfit")
      for (const text of told) expect(error.message).toContain(text)
    })
  )

  it.effect("the defaults, and a policy of one's own that is sound, are taken", () =>
    Effect.gen(function* () {
      yield* startWith(Agent.make("plain"))
      yield* startWith(
        Agent.make("own", {
          toolkit: tools,
          policy: {
            model: Policy.make("mine", [rule("RateLimited", named("slowly"))], { otherwise: Policy.modelDefault }),
            tools: {
              look: Policy.make("eager", [rule("ToolFailed", retry({ attempts: 3 }))]),
              pay: Policy.make("careful", [rule({ on: "Unreachable", reached: "nothing" }, retry({ attempts: 3 }))])
            },
            schedules: { slowly: Schedule.spaced("1 minute").pipe(Schedule.jittered) }
          }
        })
      )
    })
  )
})

describe("a policy that throws", () => {
  const said: Array<string> = []
  const listening = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ message }) => void said.push(String(message)))
  )
  const agent = Agent.make("careless")
  const Careless: typeof agent = {
    ...agent,
    behaviour: {
      ...agent.behaviour,
      policy: () => {
        throw new Error("no rule for Tuesdays")
      }
    }
  }

  it.scoped("fails the step, and its words are in the journal and in the log", () =>
    Effect.gen(function* () {
      const world = yield* TestRunner.make({ agents: [Careless], model: always("Overloaded") })
      const session = yield* world.session(Careless, "s")
      expect(yield* session.result(yield* session.send("please"))).toMatchObject({ _tag: "Failed" })
      expect(failures(yield* world.journal("s"))).toMatchObject([
        { _tag: "StepFailed", decided: { plan: "fail", policy: "broken", threw: "no rule for Tuesdays" } }
      ])
      yield* until(
        Effect.sync(() => [] as ReadonlyArray<Recorded>),
        () => said.some((line) => line.includes("Tuesdays"))
      )
      expect(said.filter((line) => line.includes("Tuesdays"))).toEqual([
        expect.stringMatching(/^the policy of session \S+\/s threw at step .+: no rule for Tuesdays$/)
      ])
    }).pipe(Effect.provide(listening))
  )
})
