/** Pauses, pure: whatever is said when, nothing begins in one, each is decided once, and the turn comes to its end (I8, I9). */
import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import type { Command, Entry } from "../../src/domain/Entry.ts"
import type { AgentName, CommandId, TimerId } from "../../src/domain/Id.ts"
import { zero } from "../../src/domain/Usage.ts"
import { type Behaviour, Decide, type SessionState, State } from "../../src/session/index.ts"
import { Draft } from "../../src/session/internal/draft.ts"

const limits = { steps: 50, modelCalls: 4, toolCalls: 9, tokens: 100, usd: 1, wallMs: 10_000 }

/** Asks its model for ever. */
const behaviour: Behaviour<null> = {
  agent: "asker" as AgentName,
  version: "1",
  stateVersion: 1,
  limits,
  bounds: { asking: { deadlineMs: 60_000, atDeadline: "end" } },
  initial: null,
  evolve: () => null,
  decide: (_, session) =>
    Object.keys(session.open).length > 0
      ? []
      : [{ _tag: "Step", kind: "model", name: "m", input: null, repeatable: "readonly" }],
  perform: () => expect.unreachable() as never,
  policy: () => ({ policy: "none", rule: "none", _tag: "Fail" })
}

type Happening =
  | { readonly _tag: "Answer"; readonly tokens: number; readonly usd: number }
  | { readonly _tag: "Say"; readonly command: Command }
  | { readonly _tag: "Wait"; readonly ms: number }

const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ _tag: fc.constant("Answer" as const), tokens: fc.nat(60), usd: fc.constant(0.2) })
  },
  {
    weight: 2,
    arbitrary: fc.record({
      _tag: fc.constant("Say" as const),
      command: fc.oneof(
        fc.constant<Command>({ _tag: "Raise", by: { modelCalls: 1 } }),
        fc.constant<Command>({ _tag: "Raise", by: { tokens: 50, usd: 0.3, wallMs: 5_000 } }),
        fc
          .tuple(fc.constantFrom("p1", "p2", "p3"), fc.constantFrom("proceed" as const, "end" as const))
          .map(([pause, decision]): Command => ({ _tag: "Decide", pause, decision })),
        fc.constant<Command>({ _tag: "Interrupt" }),
        fc.constant<Command>({ _tag: "Send", parts: [], whenBusy: "enqueue" })
      )
    })
  },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Wait" as const), ms: fc.constantFrom(10, 6_000, 60_000) }) }
)

const run = (happenings: ReadonlyArray<Happening>) => {
  let state: SessionState<null> = State.empty(behaviour)
  let now = 1_700_000_000_000
  let commands = 0
  const entries: Array<Entry> = []
  const commit = (fill: (draft: Draft) => void) => {
    const draft = new Draft(behaviour, now, state)
    fill(draft)
    draft.conclude(() => true)
    // Through JSON, as a snapshot is.
    for (const entry of draft.entries) {
      state = JSON.parse(JSON.stringify(State.evolve(behaviour, state, now, entry))) as SessionState<null>
      entries.push(entry)
    }
  }
  const stopOpen = () => {
    for (const { attempt, step } of Object.values(state.open)) {
      const failure = { class: "Stopped", message: "stopped" } as const
      commit((draft) => draft.push({ _tag: "StepFailed", step, attempt, startedAt: now, failure }))
    }
  }
  const wait = (ms: number) => {
    now += ms
    for (const [timer, due] of Object.entries(state.timers)) {
      if (due <= now) commit((draft) => draft.push({ _tag: "TimerFired", timer: timer as TimerId }))
    }
    if (state.turn?.stopping != null) stopOpen()
  }
  const say = (command: Command) => {
    if (Decide.refuse(state, command, 10) !== null) return
    commit((draft) => draft.push({ _tag: "CommandAccepted", id: `c${++commands}` as CommandId, command }))
    if (state.turn?.stopping != null) stopOpen()
  }
  commit((draft) => draft.push({ _tag: "SessionCreated", agent: behaviour.agent, agentVersion: "1", attributes: {} }))
  say({ _tag: "Send", parts: [], whenBusy: "enqueue" })
  for (const one of happenings) {
    now++
    if (one._tag === "Wait") wait(one.ms)
    if (one._tag === "Say") say(one.command)
    const [open] = Object.values(state.open)
    if (one._tag !== "Answer" || open === undefined) continue
    const { attempt, step } = open
    const usage = { ...zero, inputTokens: one.tokens, usd: one.usd }
    commit((draft) => draft.push({ _tag: "StepSucceeded", step, attempt, startedAt: now, output: null, usage }))
  }
  return { entries, state: () => state, wait }
}

describe("pauses", () => {
  it("nothing begins in one, each is decided once, and its time does not count", () => {
    let paused = 0
    let resumed = 0
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 60 }), (happenings) => {
        const { entries } = run(happenings)
        const open = new Set<string>()
        for (const entry of entries) {
          switch (entry._tag) {
            case "Paused":
              paused++
              open.add(entry.pause)
              break
            case "Resumed":
              resumed++
              expect(open.delete(entry.pause)).toBe(true)
              break
            case "StepIntended":
              expect([...open]).toEqual([])
              break
            case "TurnEnded":
              if (entry.outcome._tag === "LimitReached" && entry.outcome.limit === "wall") {
                // Sixty seconds of a pause are not ten of work.
                expect(entry.outcome.used).toBeLessThan(60_000 + limits.wallMs * 10)
              }
              open.clear()
              break
          }
        }
      }),
      { numRuns: 500 }
    )
    expect(paused).toBeGreaterThan(50)
    expect(resumed).toBeGreaterThan(20)
  })

  it("left alone, every session comes to rest: its deadlines decide", () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 40 }), (happenings) => {
        const { state, wait } = run(happenings)
        for (let i = 0; i < 60 && state().turn !== null; i++) wait(60_001)
        expect(state().turn).toBeNull()
        expect(state().timers).toEqual({})
        expect(State.statusOf(state())).toBe("resting")
      }),
      { numRuns: 300 }
    )
  })
})
