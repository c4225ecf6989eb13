/** A runner under fire, as a process of its own: prints `up` when it serves, and leaves at SIGTERM. */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { Runner } from "../../src/runner/index.ts"
import { handlers, model, Worker } from "./agent.ts"

const live = Runner.layerCluster({ agents: [Worker] }).pipe(Layer.provide([handlers, model]))

NodeRuntime.runMain(
  Effect.sync(() => process.stdout.write("up\n")).pipe(Effect.zipRight(Effect.never), Effect.provide(live))
)
