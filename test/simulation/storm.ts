/** More calls than a provider allows: what is asked, and who asks. The simulated provider takes what `RateLimits` say. */
import { Layer } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Models } from "../../src/model/index.ts"
import { RateLimits } from "../../src/resilience/index.ts"
import { ScriptedModel, type Simulation } from "../../src/testing/index.ts"
import { obedient } from "./agents.ts"

const Caller = Agent.make("caller", { model: "limited", budget: { wall: "1 hour" }, silence: "10 seconds" })
const Careful = Agent.make("careful", {
  model: "limited",
  fallbacks: ["other"],
  budget: { wall: "1 hour" },
  silence: "10 seconds"
})

const scripted = ScriptedModel.make(obedient, { direct: true })

const allowing = (requests: number) => ({
  agents: [Caller, Careful],
  model: Layer.merge(
    Models.layer({ limited: scripted, other: scripted }),
    RateLimits.layer({ limited: { requests, per: "10 seconds" } })
  ),
  tools: Layer.empty
})

export const storming = allowing(8)

/** Its calls find permits at hand. */
export const roomy = allowing(1_000)

/** Ten sessions that want to call at about the same time, and again. */
export const storm: Simulation.Workload = (chance) => ({
  sessions: Array.from({ length: 10 }, (_, n) => ({
    id: `s${n + 1}`,
    agent: n % 5 === 4 ? "careful" : "caller",
    readers: chance.int(0, 1),
    commands: Array.from({ length: 2 }, (_, i) => ({
      id: `c${i}`,
      at: i * 4_000 + chance.int(0, 2_000),
      kind: "Send" as const,
      text: "[]"
    }))
  }))
})

/**
 * What runners do and what is done to them. A runner that is not heard of goes on under its part of the limit, which may be
 * more than is left: that is for the tests of a lane to measure.
 */
export const kinds = ["Kill", "Leave", "Grow", "Cut", "ClientLost", "Store"] as const satisfies ReadonlyArray<
  Simulation.Fault["_tag"]
>
