/** What a runner that takes over makes of open steps, when its clock is not that of the one before (I2, I6). */
import { describe, expect, it } from "vitest"
import type { Entry, Repeatable } from "../../src/domain/Entry.ts"
import { Decide, State } from "../../src/session/index.ts"
import { behaviour } from "./drive.ts"

/** The writer's clock. */
const writer = 1_000_000

const folded = (retryAt: number, repeatable: Repeatable = "readonly") => {
  const entries = [
    { _tag: "SessionCreated", agent: "driven", agentVersion: "1", attributes: {} },
    { _tag: "CommandAccepted", id: "c", command: { _tag: "Send", parts: [], whenBusy: "enqueue" } },
    { _tag: "TurnStarted", turn: 1, command: "c" },
    { _tag: "StepIntended", step: "1", turn: 1, kind: "model", name: "driven", input: null, repeatable },
    {
      _tag: "AttemptFailed",
      step: "1",
      attempt: 1,
      startedAt: writer,
      failure: { class: "RunnerLost", message: "its runner died" },
      retryAt,
      nextInput: "original"
    }
  ] as unknown as ReadonlyArray<Entry>
  return State.fold(
    behaviour,
    State.empty(behaviour),
    entries.map((entry) => ({ at: writer, entry }))
  )
}

describe("a runner that takes over", () => {
  // Found by the simulator: it waited for its clock to come there, and ran the same attempt once more.
  it("takes an attempt that was due at once for begun, though its own clock is behind", () => {
    const [entry] = Decide.recover(folded(writer), writer - 70_000, behaviour.policy)
    expect(entry).toMatchObject({ _tag: "AttemptFailed", attempt: 2, failure: { class: "RunnerLost" } })
  })

  // Found by the simulator: it had begun by the writer's clock, was set forward meanwhile, and began again as the same one.
  it("keeps the time of an attempt that is not due yet, and gives it a number of its own", () => {
    const before = folded(writer + 5_000)
    const entries = Decide.recover(before, writer + 1_000, behaviour.policy)
    const after = entries.reduce((state, entry) => State.evolve(behaviour, state, writer + 1_000, entry), before)
    const [waiting] = Object.values(before.open)
    expect(Object.values(after.open)).toMatchObject([{ dueAt: waiting!.dueAt, attempt: waiting!.attempt + 1 }])
  })

  it("leaves an attempt alone that is not due yet and may not be repeated", () => {
    expect(Decide.recover(folded(writer + 5_000, "never"), writer + 1_000, behaviour.policy)).toEqual([])
  })

  it("is in doubt about one that may not be repeated, and has begun by a clock that was ahead", () => {
    const begun = { _tag: "StepProgress", step: "1", attempt: 2 } as unknown as Entry
    const state = State.evolve(behaviour, folded(writer + 5_000, "never"), writer + 5_000, begun)
    const early = { ...state, updatedAt: writer + 1_000 }
    expect(Decide.recover(early, writer + 1_000, behaviour.policy)).toMatchObject([{ _tag: "StepInDoubt", attempt: 2 }])
  })

  it("takes an attempt for begun that was due meanwhile", () => {
    expect(Decide.recover(folded(writer + 5_000), writer + 6_000, behaviour.policy)).toMatchObject([{ attempt: 2 }])
  })
})
