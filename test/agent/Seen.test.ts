/** What is seen of an attempt that failed while its session waits: in its state, its feed and its turn's span. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option, Stream, TestClock, TestServices, Tracer } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Policy } from "../../src/resilience/index.ts"
import { ScriptedModel, TestRunner } from "../../src/testing/index.ts"

interface Event {
  readonly name: string
  readonly attributes: Readonly<Record<string, unknown>>
}

/** A tracer that keeps the events on its spans. */
const recording = () => {
  const events: Array<Event> = []
  const tracer = Tracer.make({
    context: (run) => run(),
    span: (name, parent, context, links, startTime, kind) => ({
      _tag: "Span",
      name,
      spanId: "s",
      traceId: "t",
      parent: parent as Option.Option<Tracer.AnySpan>,
      context,
      status: { _tag: "Started", startTime },
      attributes: new Map(),
      links,
      sampled: true,
      kind,
      end: () => {},
      attribute: () => {},
      event: (name, _at, attributes = {}) => void events.push({ name, attributes }),
      addLinks: () => {}
    })
  })
  return { events, layer: Layer.setTracer(tracer) }
}

describe("a session that waits for another attempt", () => {
  const { events, layer } = recording()
  it.scoped("says why, until when, what it will do, and who decided so", () =>
    Effect.gen(function* () {
      const patient = Policy.make("patient", [
        Policy.rule({ name: "limits", on: "RateLimited" }, Policy.retry({ attempts: 3, retryAfter: "instead" }))
      ])
      const Waiter = Agent.make("waiter", { policy: { model: patient } })
      const world = yield* TestRunner.make({
        agents: [Waiter],
        model: ScriptedModel.make([
          ScriptedModel.fails("RateLimited", { retryAfter: "20 seconds" }, ScriptedModel.text("at last"))
        ])
      })
      const session = yield* world.session(Waiter, "s")
      const accepted = yield* session.send("please", { id: "m" })
      const failed = yield* session.feed().pipe(
        Stream.filterMap((event) =>
          event._tag === "Entry" && event.recorded.entry._tag === "AttemptFailed"
            ? Option.some(event.recorded.entry)
            : Option.none()
        ),
        Stream.runHead,
        Effect.map(Option.getOrThrow)
      )
      const decided = {
        plan: "retry",
        policy: "patient",
        rule: "limits",
        inputHash: expect.stringMatching(/^[0-9a-f]{64}$/)
      }
      expect(failed).toMatchObject({ failure: { class: "RateLimited", retryAfterMs: 20_000 }, decided })
      const [open] = (yield* session.state).open
      expect(open).toMatchObject({
        attempt: 2,
        dueAt: failed.retryAt,
        nextInput: "original",
        why: { failure: { class: "RateLimited" }, decided }
      })
      expect(events.filter(({ name }) => name === "perdure.attempt.failed")).toEqual([
        {
          name: "perdure.attempt.failed",
          attributes: {
            "perdure.step": "1",
            "perdure.attempt": 1,
            "perdure.failure.class": "RateLimited",
            "perdure.policy.plan": "retry",
            "perdure.policy.name": "patient",
            "perdure.policy.rule": "limits",
            "perdure.retry.ms": failed.retryAt,
            "perdure.retry.input": "original"
          }
        }
      ])
      // A while longer than the policy says: its provider is asked again with care.
      for (let i = 0; i < 8; i++) {
        yield* TestClock.adjust("15 seconds")
        yield* TestServices.provideLive(Effect.sleep("5 millis"))
      }
      expect(yield* session.result(accepted)).toMatchObject({ _tag: "Completed", output: "at last" })
    }).pipe(Effect.provide(layer))
  )
})
