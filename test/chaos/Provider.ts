/**
 * The model's provider: an HTTP server outside of the system that does what a message says, counts how often it was asked,
 * and has its bad times.
 */
import { Effect, type Scope } from "effect"
import type { Prng } from "../../src/testing/internal/sim/Prng.ts"
import * as FakeAnthropic from "../support/FakeAnthropic.ts"
import * as FakeProvider from "../support/FakeProvider.ts"
import type { Log } from "./Log.ts"

/** A message: rounds of tool calls, and then an answer of so many words. */
export interface Plan {
  readonly id: string
  readonly rounds: ReadonlyArray<ReadonlyArray<readonly [tool: string, ms: number]>>
  readonly words: number
}

export type Mood = "well" | "limited" | "overloaded" | "failing" | "cutting" | "silent" | "down"

export interface Provider {
  readonly url: string
  mood: Mood
}

interface Message {
  readonly role: string
  readonly content: string | ReadonlyArray<{ readonly type: string; readonly text?: string }>
}

const textsOf = ({ content }: Message): ReadonlyArray<string> =>
  typeof content === "string" ? [content] : content.flatMap((part) => (part.type === "text" ? [part.text ?? ""] : []))

const planOf = (text: string): Plan | null => {
  if (!text.startsWith('{"id":')) return null
  return JSON.parse(text) as Plan
}

/** The running plan, which of its answers is due, and what of that was said before it was cut. */
const due = (messages: ReadonlyArray<Message>) => {
  let plan: Plan | null = null
  let round = 0
  let said = ""
  messages.forEach((message, i) => {
    if (message.role === "assistant") {
      round++
      return
    }
    for (const text of textsOf(message)) {
      const found = planOf(text)
      if (found !== null) {
        plan = found
        round = 0
        said = ""
      } else if (text.startsWith("Your last message was cut off")) {
        said = textsOf(messages[i - 1]!).join("")
        round--
      }
    }
  })
  return { plan: plan as Plan | null, round, said }
}

const words = (plan: Plan, round: number): ReadonlyArray<string> =>
  Array.from({ length: round < plan.rounds.length ? 3 : plan.words }, (_, i) => `[${plan.id}.${round}.${i}]`)

const beats = (body: { readonly messages: ReadonlyArray<Message> }) => {
  const { plan, round, said } = due(body.messages)
  if (plan === null) throw new Error("a request without a plan")
  const pieces = words(plan, round)
  const rest = said === "" ? pieces : [pieces.join("").slice(said.length)].filter((text) => text !== "")
  const calls = (plan.rounds[round] ?? []).map(([tool, ms], i) =>
    FakeAnthropic.tool(`call_${plan.id}_${round}_${i}`, tool, JSON.stringify({ n: round * 10 + i, ms }))
  )
  return FakeAnthropic.message([...(rest.length === 0 ? [] : [FakeAnthropic.text(...rest)]), ...calls])
}

const error = (status: number, type: string, headers = {}) =>
  FakeProvider.status(status, FakeAnthropic.errorBody(type, "the test says so"), headers)

export const make = (log: Log, random: Prng): Effect.Effect<Provider, never, Scope.Scope> =>
  Effect.map(FakeProvider.make, (fake) => {
    const provider: Provider = { url: fake.url, mood: "well" }
    const answer = (request: FakeProvider.Recorded): FakeProvider.Behaviour => {
      const all = FakeProvider.paced(random.int(1, 15), beats(request.body))
      const some = () => random.int(0, all.length - 1)
      switch (provider.mood) {
        case "well":
          return random.chance(0.02) ? FakeProvider.cutAfter(some(), all) : FakeProvider.whole(all)
        case "limited":
          return error(429, "rate_limit_error", { "retry-after": "1" })
        case "overloaded":
          return error(529, "overloaded_error")
        case "failing":
          return error(500, "api_error")
        case "cutting":
          return FakeProvider.cutAfter(some(), all)
        case "silent":
          return FakeProvider.hangAfter(some(), all)
        case "down":
          return { _tag: "Stream", beats: [], end: "cut" }
      }
    }
    fake.script((request, n) => {
      log.record({ _tag: "Asked", call: n })
      const behaviour = answer(request)
      const outcome =
        behaviour._tag === "Stream"
          ? `${provider.mood}, ${behaviour.end}`
          : behaviour._tag === "Status"
            ? String(behaviour.status)
            : "reset"
      log.record({ _tag: "Answered", call: n, tokens: 15, outcome })
      return behaviour
    })
    return provider
  })
