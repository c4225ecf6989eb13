/**
 * Clients in a process of their own, which may be killed at any time: `CHAOS_LOG` has what those before it did. It prints
 * `done` when it has been told that it is calm (SIGUSR2) and all is answered.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect } from "effect"
import { Client } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import { shop, type Weather } from "./Customers.ts"
import * as Log from "./Log.ts"

const weather: Weather = { calm: false }
process.on("SIGUSR2", () => {
  weather.calm = true
})

const main = Effect.gen(function* () {
  const api = yield* Client.Client
  const log = Log.file(process.env["CHAOS_LOG"]!)
  process.stdout.write("up\n")
  yield* shop(
    { api, log, client: process.env["CHAOS_PROCESS"]!, weather },
    "away",
    Number(process.env["CHAOS_AT_ONCE"])
  )
  process.stdout.write("done\n")
})

NodeRuntime.runMain(Effect.provide(main, Runner.layerClient()))
