/**
 * A session without a store, a clock or a fiber: the pure core, driven by whatever happens to it.
 *
 * It does what the actor does (`decide` until nothing follows, start what is open, take outcomes in any order, recover
 * after a crash) as plain data, so that thousands of histories take seconds. States are frozen: the core changes none.
 */
import { FastCheck as fc } from "effect"
import { Agent, Conversation } from "../../src/agent/index.ts"
import type { Entry, WhenBusy } from "../../src/domain/Entry.ts"
import type { FailureClass } from "../../src/domain/Failure.ts"
import type { AgentName, CommandId, StepId, TimerId } from "../../src/domain/Id.ts"
import type { Json } from "../../src/domain/Json.ts"
import type { AssistantPart } from "../../src/domain/Message.ts"
import { type Behaviour, Decide, type OpenStep, type SessionState, State } from "../../src/session/index.ts"
import { entryOf } from "../../src/session/internal/attempt.ts"
import { Draft } from "../../src/session/internal/draft.ts"

/** What a model says: a text, and calls of tools by what may be done with them. */
export interface Saying {
  readonly text: string
  readonly calls: ReadonlyArray<"never" | "idempotent" | "readonly" | "invalid" | "executed">
  readonly tokens: number
  /** Whether all its calls bear one id, as careless providers have it. */
  readonly sameId: boolean
}

export type Happening =
  | { readonly _tag: "Send"; readonly whenBusy: WhenBusy }
  | { readonly _tag: "Interrupt" }
  | { readonly _tag: "Cancel" }
  | { readonly _tag: "Succeed"; readonly which: number; readonly saying: Saying }
  | { readonly _tag: "Fail"; readonly which: number; readonly class: FailureClass; readonly partial: string | null }
  | { readonly _tag: "Save"; readonly which: number; readonly partial: Json }
  | { readonly _tag: "Crash" }
  /** Time passes: timers that are due fire. */
  | { readonly _tag: "Wait"; readonly ms: number }

export const repeatableOf = (tool: string) => (tool === "idempotent" || tool === "readonly" ? tool : "never")

/** Small enough that histories meet them. */
export const limits = { steps: 12, modelCalls: 5, toolCalls: 8, tokens: 400, usd: 1, wallMs: 60_000 }

const agent = Agent.make("driven")
export const behaviour: Behaviour<Conversation.Conversation> = {
  ...agent.behaviour,
  limits,
  decide: Conversation.decide(repeatableOf)
}

export interface Stamped {
  readonly at: number
  readonly entry: Entry
}

export interface Driven {
  readonly entries: ReadonlyArray<Stamped>
  readonly state: SessionState<Conversation.Conversation>
  /** The state after each entry. */
  readonly states: ReadonlyArray<SessionState<Conversation.Conversation>>
  /** Which attempts have begun to run, in order: what a witness outside would see. */
  readonly began: ReadonlyArray<{ readonly step: string; readonly attempt: number }>
}

const freeze = <A>(value: A): A => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) freeze(inner)
  }
  return value
}

export class World {
  readonly entries: Array<Stamped> = []
  readonly states: Array<SessionState<Conversation.Conversation>> = []
  readonly began: Array<{ step: string; attempt: number }> = []
  now = 1_700_000_000_000
  state: SessionState<Conversation.Conversation> = freeze(State.empty(behaviour))
  /** Attempts that run, by step. */
  private running = new Map<string, number>()
  private commands = 0

  constructor(readonly onCommit: (entries: ReadonlyArray<Stamped>) => void = () => {}) {
    this.commit((draft) =>
      draft.push({ _tag: "SessionCreated", agent: "driven" as AgentName, agentVersion: "1", attributes: {} })
    )
  }

  private commit(fill: (draft: Draft) => void): void {
    const draft = new Draft(behaviour, this.now, this.state)
    fill(draft)
    draft.conclude((step: StepId) => this.running.has(step))
    const stamped = draft.entries.map((entry) => freeze({ at: this.now, entry }))
    for (const one of stamped) {
      this.state = freeze(State.evolve(behaviour, this.state, one.at, one.entry))
      this.entries.push(one)
      this.states.push(this.state)
    }
    this.begin()
    if (stamped.length > 0) this.onCommit(stamped)
  }

  private begin(): void {
    if (this.state.turn?.stopping != null) return
    for (const step of this.open) {
      if (this.running.get(step.step) === step.attempt || step.dueAt > this.now) continue
      this.running.set(step.step, step.attempt)
      this.began.push({ step: step.step, attempt: step.attempt })
    }
  }

  get open(): ReadonlyArray<OpenStep> {
    return Object.values(this.state.open)
  }

  /** The steps that run now. */
  get runs(): ReadonlyArray<OpenStep> {
    return this.open.filter(({ step }) => this.running.has(step))
  }

  private pick(which: number): OpenStep | undefined {
    const { runs } = this
    return runs.length === 0 ? undefined : runs[which % runs.length]
  }

  private finish(step: OpenStep, exit: Parameters<typeof entryOf>[5]): void {
    this.running.delete(step.step)
    const stopping = this.state.turn?.stopping != null
    this.commit((draft) => draft.push(entryOf(behaviour, step, stopping, step.dueAt, this.now, exit)))
  }

  happen(happening: Happening): void {
    this.now++
    switch (happening._tag) {
      case "Send":
      case "Interrupt":
      case "Cancel": {
        const command =
          happening._tag === "Send"
            ? ({ _tag: "Send", parts: [{ type: "text", text: "go" }], whenBusy: happening.whenBusy } as const)
            : ({ _tag: happening._tag } as const)
        if (Decide.refuse(this.state, command, 3) !== null || this.state.ended !== null) return
        const id = `c${++this.commands}` as CommandId
        this.commit((draft) => draft.push({ _tag: "CommandAccepted", id, command }))
        return
      }
      case "Succeed": {
        const step = this.pick(happening.which)
        if (step === undefined) return
        // What is being stopped was interrupted, and has no other outcome.
        if (this.state.turn?.stopping != null) {
          this.stop(step)
          return
        }
        this.finish(step, { _tag: "Succeeded", output: outputOf(step, happening.saying) })
        return
      }
      case "Fail": {
        const step = this.pick(happening.which)
        if (step === undefined) return
        if (this.state.turn?.stopping != null) {
          this.stop(step)
          return
        }
        const partial =
          happening.partial === null || step.kind !== "model"
            ? undefined
            : { parts: [{ type: "text", text: `${textOf(step)}${happening.partial}` }] }
        const failure = { class: happening.class, message: "it failed" }
        this.finish(step, { _tag: "Failed", failure, partial, usage: undefined, random: 0.5 })
        return
      }
      case "Save": {
        const step = this.pick(happening.which)
        if (step === undefined || step.kind === "model") return
        const { attempt, step: id } = step
        this.commit((draft) => draft.push({ _tag: "StepProgress", step: id, attempt, partial: happening.partial }))
        return
      }
      case "Crash":
        this.running = new Map()
        this.commit((draft) => {
          for (const entry of Decide.recover(draft.state, this.now, behaviour.policy)) draft.push(entry)
        })
        return
      case "Wait":
        this.now += happening.ms
        this.commit((draft) => {
          for (const [timer, due] of Object.entries(draft.state.timers)) {
            if (due <= this.now) draft.push({ _tag: "TimerFired", timer: timer as TimerId })
          }
        })
        return
    }
  }

  private stop(step: OpenStep): void {
    const failure = { class: "Stopped", message: "stopped before it was done" } as const
    this.finish(step, { _tag: "Failed", failure, partial: undefined, usage: undefined, random: 0 })
  }

  /** Lets all that is open end well, until the session rests. */
  settle(): void {
    for (let i = 0; i < 500; i++) {
      if (this.open.length === 0) return
      if (this.runs.length === 0) {
        const due = Math.min(...this.open.map(({ dueAt }) => dueAt))
        this.happen({ _tag: "Wait", ms: Math.max(0, due - this.now) })
      } else {
        this.happen({ _tag: "Succeed", which: 0, saying: { text: "done", calls: [], tokens: 0, sameId: false } })
      }
    }
    throw new Error("the session never comes to rest")
  }
}

const textOf = (step: OpenStep): string => {
  const parts = (step.partial as { readonly parts?: ReadonlyArray<AssistantPart> } | undefined)?.parts ?? []
  return step.nextInput === "continue" ? parts.map((part) => (part.type === "text" ? part.text : "")).join("") : ""
}

const outputOf = (step: OpenStep, saying: Saying) => {
  if (step.kind === "tool") return { output: { result: `result of ${step.step}`, isError: false } }
  const text = `${textOf(step)}${saying.text}`
  const parts: ReadonlyArray<AssistantPart> = [
    ...(text === "" ? [] : [{ type: "text", text } as const]),
    ...saying.calls.map(
      (name, i): AssistantPart => ({
        type: "tool-call",
        id: saying.sameId ? "same" : `${step.step}.${i}`,
        name,
        params: { i },
        ...(name === "invalid" ? { invalid: "there is no such tool" } : {}),
        ...(name === "executed" ? { providerExecuted: true } : {})
      })
    )
  ]
  const output: Conversation.ModelOutput = { parts, finish: "stop", model: null, provider: null }
  const usage = {
    inputTokens: saying.tokens,
    outputTokens: 0,
    reasoningTokens: 0,
    cacheReadTokens: 0,
    cacheWriteTokens: 0,
    usd: saying.tokens / 1000
  }
  return { output: output as unknown as Json, usage }
}

const which = fc.nat(7)

export const saying: fc.Arbitrary<Saying> = fc.record({
  text: fc.string({ maxLength: 4 }),
  calls: fc.array(
    fc.constantFrom(
      "never" as const,
      "idempotent" as const,
      "readonly" as const,
      "invalid" as const,
      "executed" as const
    ),
    { maxLength: 4 }
  ),
  tokens: fc.nat(120),
  sameId: fc.boolean()
})

export const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      _tag: fc.constant("Send" as const),
      whenBusy: fc.constantFrom("enqueue" as const, "reject" as const, "interrupt" as const)
    })
  },
  { weight: 10, arbitrary: fc.record({ _tag: fc.constant("Succeed" as const), which, saying }) },
  {
    weight: 3,
    arbitrary: fc.record({
      _tag: fc.constant("Fail" as const),
      which,
      class: fc.constantFrom<FailureClass>(
        "RateLimited",
        "Interrupted",
        "Unreachable",
        "ToolFailed",
        "Refused",
        "Defect"
      ),
      partial: fc.option(fc.string({ maxLength: 4 }))
    })
  },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Save" as const), which, partial: fc.string() }) },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Interrupt" as const) }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Crash" as const) }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Wait" as const), ms: fc.integer({ min: 0, max: 20_000 }) }) }
)

/** What happens to a session. A cancel, if there is one, comes at the end: nothing follows it. */
export const happenings: fc.Arbitrary<ReadonlyArray<Happening>> = fc
  .tuple(fc.array(happening, { maxLength: 40 }), fc.boolean())
  .map(([all, cancelled]) => [{ _tag: "Send", whenBusy: "enqueue" }, ...all, ...(cancelled ? [cancel] : [])])

const cancel: Happening = { _tag: "Cancel" }

/** Lets it all happen, and the session come to rest. */
export const drive = (all: ReadonlyArray<Happening>): Driven => {
  const world = new World()
  for (const one of all) world.happen(one)
  world.settle()
  return world
}
