/** The pure core under whatever happens: fold, decide, recover, and an agent's conversation. */
import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import type { Entry } from "../../src/domain/Entry.ts"
import type { Message } from "../../src/domain/Message.ts"
import { totalTokens } from "../../src/domain/Usage.ts"
import { Decide, State } from "../../src/session/index.ts"
import { Arbitraries } from "../../src/testing/index.ts"
import { behaviour, drive, type Driven, happenings, limits } from "./drive.ts"

const runs = process.env["PERDURE_SOAK"] === undefined ? 300 : 20_000

const always = (name: string, check: (driven: Driven) => void) =>
  it(name, () => {
    fc.assert(
      fc.property(happenings, (all) => check(drive(all))),
      { numRuns: runs }
    )
  })

const isOutcome = (entry: Entry): entry is Extract<Entry, { _tag: "StepSucceeded" | "StepFailed" | "StepInDoubt" }> =>
  entry._tag === "StepSucceeded" || entry._tag === "StepFailed" || entry._tag === "StepInDoubt"

describe("the fold", () => {
  always("is the live state, from the start or from a snapshot of any prefix, through JSON", (driven) => {
    const { entries, state, states } = driven
    expect(State.fold(behaviour, State.empty(behaviour), entries)).toEqual(state)
    for (let i = 0; i < states.length; i += Math.ceil(states.length / 5)) {
      const snapshot = JSON.parse(JSON.stringify(states[i])) as (typeof states)[number]
      const woken = State.fold(behaviour, snapshot, entries.slice(i + 1))
      expect(JSON.parse(JSON.stringify(woken))).toEqual(JSON.parse(JSON.stringify(state)))
    }
  })

  it("of entries as they are written is the fold of entries as they were", () => {
    fc.assert(
      fc.property(Arbitraries.entries, (history) => {
        const stamped = history.map((entry, i) => ({ at: i, entry }))
        const written = JSON.parse(JSON.stringify(stamped)) as typeof stamped
        const of = (entries: typeof stamped) =>
          State.fold({ initial: 0, evolve: (n: number) => n + 1 } as never, State.empty({ initial: 0 }), entries)
        expect(JSON.stringify(of(written))).toBe(JSON.stringify(of(stamped)))
      }),
      { numRuns: runs }
    )
  })

  it("of two sessions does not depend on how they are interleaved", () => {
    fc.assert(
      fc.property(happenings, happenings, fc.array(fc.boolean()), (one, other, order) => {
        const alone = [drive(one), drive(other)] as const
        const states = [State.empty(behaviour), State.empty(behaviour)]
        const rest = alone.map(({ entries }) => [...entries])
        for (const first of [...order, ...rest.flatMap((all, i) => all.map(() => i === 0))]) {
          const i = first ? 0 : 1
          const next = rest[i]!.shift()
          if (next !== undefined) states[i] = State.evolve(behaviour, states[i]!, next.at, next.entry)
        }
        expect(states).toEqual(alone.map(({ state }) => state))
      }),
      { numRuns: runs / 3 }
    )
  })
})

describe("decide", () => {
  always("brings every session to rest, whatever happened", ({ entries, state }) => {
    expect(state.open).toEqual({})
    expect(state.turn).toBe(null)
    expect(state.queue).toEqual([])
    expect(State.isActive(state)).toBe(false)
    expect(Decide.decide(behaviour, state, 0)).toEqual([])
    const cancelled = entries.some(({ entry }) => entry._tag === "CommandAccepted" && entry.command._tag === "Cancel")
    expect(state.ended === null ? null : state.ended._tag).toBe(cancelled ? "Cancelled" : null)
    expect(state.timers).toEqual({})
  })

  always("intends no step beyond a limit (I8)", ({ entries, states }) => {
    entries.forEach(({ entry }, i) => {
      if (entry._tag !== "StepIntended") return
      const before = states[i - 1]!.turn!
      const after = states[i]!.turn!
      expect(after.steps).toBeLessThanOrEqual(limits.steps)
      expect(after.modelCalls).toBeLessThanOrEqual(limits.modelCalls)
      expect(after.toolCalls).toBeLessThanOrEqual(limits.toolCalls)
      expect(totalTokens(before.usage)).toBeLessThan(limits.tokens)
      expect(before.usage.usd).toBeLessThan(limits.usd)
    })
  })

  always("starts one turn after another, each ended once, each step within its own", ({ entries }) => {
    let turn = 0
    let isOpen = false
    for (const { entry } of entries) {
      if (entry._tag === "TurnStarted") {
        expect(isOpen).toBe(false)
        expect(entry.turn).toBe(turn + 1)
        turn = entry.turn
        isOpen = true
      } else if (entry._tag === "TurnEnded") {
        expect([isOpen, entry.turn]).toEqual([true, turn])
        isOpen = false
      } else if (entry._tag === "StepIntended") {
        expect([isOpen, entry.turn]).toEqual([true, turn])
      } else if (isOutcome(entry)) {
        expect(isOpen).toBe(true)
      }
    }
    expect(isOpen).toBe(false)
  })

  always(
    "answers every message that was accepted with one turn, in order, unless the session was cancelled",
    (driven) => {
      const sent = driven.entries.flatMap(({ entry }) =>
        entry._tag === "CommandAccepted" && entry.command._tag === "Send" ? [entry.id] : []
      )
      const answered = driven.entries.flatMap(({ entry }) => (entry._tag === "TurnStarted" ? [entry.command] : []))
      expect(answered).toEqual(driven.state.ended === null ? sent : sent.slice(0, answered.length))
    }
  )
})

describe("recover", () => {
  always("never runs a step again that may not be repeated (I5), nor one that has ended (I2)", ({ began, entries }) => {
    for (const { entry } of entries) {
      if (entry._tag !== "StepIntended") continue
      const ends = entries.filter((one) => isOutcome(one.entry) && one.entry.step === entry.step)
      expect(ends.length).toBe(1)
      const attempts = began.filter(({ step }) => step === entry.step).map(({ attempt }) => attempt)
      expect(new Set(attempts).size).toBe(attempts.length)
      if (entry.repeatable === "never") expect(attempts.length).toBeLessThanOrEqual(1)
    }
  })

  always("says of each lost attempt what became of it", ({ entries }) => {
    for (const { entry } of entries) {
      if (entry._tag === "StepInDoubt") {
        const intent = entries.find((one) => one.entry._tag === "StepIntended" && one.entry.step === entry.step)
        expect(intent?.entry._tag === "StepIntended" && intent.entry.repeatable).toBe("never")
      }
      if (entry._tag === "AttemptFailed" && entry.failure.class === "RunnerLost") {
        const intent = entries.find((one) => one.entry._tag === "StepIntended" && one.entry.step === entry.step)
        expect(intent?.entry._tag === "StepIntended" && intent.entry.repeatable).not.toBe("never")
      }
    }
  })
})

/** What no provider takes: a call without its result, a result without its call. */
const dangling = (messages: ReadonlyArray<Message>): string | null => {
  let owed: Array<string> = []
  for (const message of messages) {
    if (message.role === "tool") {
      if (owed.shift() !== message.callId) return `a result of ${message.callId} that nobody waits for`
      continue
    }
    if (owed.length > 0) return `no result of ${owed.join(", ")}`
    if (message.role === "assistant") {
      owed = message.parts.flatMap((part) =>
        part.type === "tool-call" && part.providerExecuted !== true ? [part.id] : []
      )
    }
  }
  return owed.length === 0 ? null : `no result of ${owed.join(", ")}`
}

describe("an agent's conversation", () => {
  always(
    "has exactly one result for each call, in the calls' order, whenever a model sees it",
    ({ entries, states }) => {
      entries.forEach(({ entry }, i) => {
        const isShown = (entry._tag === "StepIntended" && entry.kind === "model") || entry._tag === "TurnEnded"
        if (isShown) expect(dangling(states[i]!.behaviour.messages.flat())).toBe(null)
      })
    }
  )

  always("runs each valid call as one step, and no other", ({ entries, state }) => {
    const intended = entries.filter(({ entry }) => entry._tag === "StepIntended" && entry.kind === "tool").length
    const valid = state.behaviour.messages
      .flat()
      .flatMap((message) =>
        message.role === "assistant"
          ? message.parts.filter(
              (part) => part.type === "tool-call" && part.invalid === undefined && part.providerExecuted !== true
            )
          : []
      ).length
    expect(intended).toBeLessThanOrEqual(valid)
    const told = state.behaviour.messages
      .flat()
      .flatMap((message) =>
        message.role === "tool" && typeof message.result === "string" && message.result.startsWith("result of ")
          ? [message.result]
          : []
      )
    // Each result reaches the model once, even where a provider gives several calls one id.
    expect(new Set(told).size).toBe(told.length)
    const succeeded = entries.flatMap(({ entry }) =>
      entry._tag === "StepSucceeded" && "result" in (entry.output as object) ? [`result of ${entry.step}`] : []
    )
    expect([...told].sort()).toEqual([...succeeded].sort())
  })
})
