/**
 * B4. Rate limits are kept to by all together, not met by each alone: whatever number of sessions wants to call, the
 * provider gets as many requests as it allows, and a refusal is one wait for all.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Client } from "../../src/client/index.ts"
import { RateLimits } from "../../src/resilience/index.ts"
import { Runner } from "../../src/runner/index.ts"
import * as Anthropic from "../support/FakeAnthropic.ts"
import * as Fake from "../support/FakeProvider.ts"
import * as Limited from "../support/LimitedProvider.ts"
import { directory } from "../support/World.ts"

const Talker = Agent.make("talker", { budget: { wall: "10 minutes" } })

const runner = (home: string, fake: Fake.FakeProvider, limits: RateLimits.Limits = {}) =>
  Runner.layerEmbedded({ agents: [Talker], directory: home }).pipe(
    Layer.provide([Anthropic.layer(fake), RateLimits.layer(limits)])
  )

/** Sends a word to each of so many sessions, and waits for all answers. */
const talk = (sessions: number) =>
  Effect.forEach(
    Array.from({ length: sessions }, (_, n) => `s${n}`),
    (id) =>
      Effect.gen(function* () {
        const session = yield* Client.session(Talker, id)
        return yield* session.result(yield* session.send("Go", { id: "m" }))
      }),
    { concurrency: "unbounded" }
  )

const windowMs = 1_000
const allowed = 50

describe("B4: rate limits", () => {
  it.scopedLive(
    "500 sessions and a server that allows 50 requests in a window: it gets no more than it allows, and all sessions end",
    () =>
      Effect.gen(function* () {
        const fake = yield* Fake.make
        const home = yield* directory
        const server = Limited.keep(fake, { limit: allowed, perMs: windowMs })
        const limits = { default: { requests: allowed, per: windowMs } }
        const outcomes = yield* Effect.provide(talk(500), runner(home, fake, limits))
        expect(outcomes.every(({ _tag }) => _tag === "Completed")).toBe(true)
        expect(server.refused()).toBe(0)
        expect(server.most()).toBeLessThanOrEqual(allowed)
        expect(server.taken()).toBe(500)
        console.log("ms", server.arrivals.at(-1)! - server.arrivals[0]!)
      }),
    120_000
  )
})
