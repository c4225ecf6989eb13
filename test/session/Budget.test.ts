/** Budget arithmetic: however shares are given and settled, the family stays within what there was (I8). */
import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import type { AgentName, CommandId, StepId } from "../../src/domain/Id.ts"
import type { Entry } from "../../src/domain/Entry.ts"
import { zero } from "../../src/domain/Usage.ts"
import * as Budget from "../../src/session/Budget.ts"
import { Decide, type SessionState, State } from "../../src/session/index.ts"
import type { Behaviour } from "../../src/session/index.ts"
import { afford } from "../../src/session/internal/afford.ts"

const numRuns = 500
const limits = { steps: 1_000, modelCalls: 100, toolCalls: 100, tokens: 10_000, usd: 1, wallMs: 60_000 }
const at = 1_700_000_000_000

/** A session that wants so many children at once, again and again. */
const wanting = (children: number): Behaviour<null> => ({
  agent: "boss" as AgentName,
  version: "1",
  stateVersion: 1,
  limits,
  initial: null,
  evolve: () => null,
  decide: (_, session) =>
    Object.keys(session.open).length > 0
      ? []
      : Array.from({ length: children }, () => ({
          _tag: "Step" as const,
          kind: "tool" as const,
          name: "ask",
          input: null,
          repeatable: "idempotent" as const,
          share: {}
        })),
  perform: () => expect.unreachable() as never,
  policy: () => ({ policy: "none", rule: "none", _tag: "Fail" })
})

const begin = (behaviour: Behaviour<null>): SessionState<null> =>
  State.fold(
    behaviour,
    State.empty(behaviour),
    (
      [
        { _tag: "SessionCreated", agent: behaviour.agent, agentVersion: "1", attributes: {} },
        {
          _tag: "CommandAccepted",
          id: "c" as CommandId,
          command: { _tag: "Send", parts: [], whenBusy: "enqueue" }
        },
        { _tag: "TurnStarted", turn: 1, command: "c" as CommandId }
      ] satisfies ReadonlyArray<Entry>
    ).map((entry) => ({ at, entry }))
  )

describe("children's shares", () => {
  it("never add up to more than there was: settled in any order, known or unknown, the family stays within its budget", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.array(
          fc.record({ part: fc.double({ min: 0, max: 1, noNaN: true }), known: fc.boolean(), which: fc.nat() }),
          {
            minLength: 1,
            maxLength: 60
          }
        ),
        (children, ends) => {
          const behaviour = wanting(children)
          let state = begin(behaviour)
          let spent = 0
          const run = (entries: ReadonlyArray<Entry>) => {
            for (const entry of entries) state = State.evolve(behaviour, state, at, entry)
          }
          for (const { known, part, which } of ends) {
            for (let i = 0; i < 3; i++) run(Decide.decide(behaviour, state, at))
            const open = Object.values(state.open)
            const reserved = open.reduce((sum, step) => sum + (step.reserved?.usd ?? 0), 0)
            expect(spent + reserved).toBeLessThanOrEqual(limits.usd + 1e-9)
            if (open.length === 0) break
            const step = open[which % open.length]!
            const usd = step.reserved!.usd! * part
            const calls = Math.floor(step.reserved!.modelCalls! * part)
            spent += known ? usd : step.reserved!.usd!
            run([
              known
                ? {
                    _tag: "StepSucceeded",
                    step: step.step,
                    attempt: 1,
                    startedAt: at,
                    output: null,
                    usage: { ...zero, usd },
                    drawn: { steps: calls, modelCalls: calls, toolCalls: 0 }
                  }
                : { _tag: "StepInDoubt", step: step.step, attempt: 1 }
            ])
            expect(state.usage.usd).toBeCloseTo(spent, 9)
            expect(state.used.modelCalls).toBeLessThanOrEqual(limits.modelCalls)
          }
        }
      ),
      { numRuns }
    )
  })

  it("are equal for those that begin together, and as much stays with the parent", () => {
    const behaviour = wanting(3)
    const state = begin(behaviour)
    // The first decision sets the turn's timer.
    const timed = State.fold(
      behaviour,
      state,
      Decide.decide(behaviour, state, at).map((entry) => ({ at, entry }))
    )
    const shares = Decide.decide(behaviour, timed, at).flatMap((entry) =>
      entry._tag === "StepIntended" ? [entry.reserved!] : []
    )
    expect(shares.map(({ usd }) => usd)).toEqual([0.25, 0.25, 0.25])
    expect(shares.map(({ modelCalls }) => modelCalls)).toEqual([25, 25, 25])
    expect(shares.every(({ wallMs }) => wallMs === 60_000)).toBe(true)
  })

  it("of nothing are not given: the turn ends", () => {
    const behaviour: Behaviour<null> = { ...wanting(2), limits: { ...limits, modelCalls: 1 } }
    let state = begin(behaviour)
    for (let i = 0; i < 5 && state.turn !== null; i++) {
      for (const entry of Decide.decide(behaviour, state, at)) state = State.evolve(behaviour, state, at, entry)
    }
    expect(state.turn).toBeNull()
    expect(state.steps).toBe(0)
  })
})

describe("a budget of $0.10", () => {
  const tenCents = { ...limits, usd: 0.1 }

  it("I8: never exceeds its last call, failed attempts included: nothing begins after the one that crosses it", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ usd: fc.double({ min: 0.001, max: 0.08, noNaN: true }), fails: fc.boolean() }), {
          minLength: 1,
          maxLength: 200
        }),
        (calls) => {
          const behaviour: Behaviour<null> = {
            ...wanting(0),
            limits: tenCents,
            decide: (_, session) =>
              Object.keys(session.open).length > 0
                ? []
                : [{ _tag: "Step", kind: "model", name: "m", input: null, repeatable: "readonly" }]
          }
          let state = begin(behaviour)
          let last = 0
          for (const { fails, usd } of calls) {
            for (let i = 0; i < 3 && state.turn !== null; i++) {
              for (const entry of Decide.decide(behaviour, state, at)) state = State.evolve(behaviour, state, at, entry)
            }
            const step = Object.values(state.open)[0]
            if (step === undefined) break
            // It was allowed to begin: until then there was something left.
            expect(state.usage.usd!).toBeLessThan(0.1)
            last = usd
            const { attempt } = step
            const failure = { class: "Interrupted", message: "cut" } as const
            const ended = { step: step.step as StepId, attempt, startedAt: at, usage: { ...zero, usd } }
            const entry: Entry = fails
              ? { _tag: "AttemptFailed", ...ended, failure, retryAt: at, nextInput: "original" }
              : { _tag: "StepSucceeded", ...ended, output: null }
            state = State.evolve(behaviour, state, at, afford(behaviour, state, at, entry))
          }
          expect(state.usage.usd!).toBeLessThanOrEqual(0.1 + last)
        }
      ),
      { numRuns }
    )
  })
})

describe("amounts", () => {
  it("that are no limit are left out: JSON cannot say them", () => {
    expect(Budget.asAmounts(Budget.unlimited)).toEqual({})
    expect(Budget.asLimits({ usd: 1 })).toEqual({ ...Budget.unlimited, usd: 1 })
  })
})
