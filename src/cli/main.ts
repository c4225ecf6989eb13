#!/usr/bin/env node
/** The program `perdure`: signals in, an exit code out. Everything else is in `App.ts`. */
import { createRequire } from "node:module"
import { Deferred, Effect, FiberId } from "effect"
import * as App from "./App.ts"
import * as ExitCode from "./ExitCode.ts"

// A reader that goes away is told by the write that meets it (`Output.ts`): it must not end the process.
process.stdout.on("error", () => {})
process.stderr.on("error", () => {})

const { version } = createRequire(import.meta.url)("../../package.json") as { readonly version: string }
const stopped = Deferred.unsafeMake<number>(FiberId.none)

/** The first signal ends it in order; the second at once. */
const listen = (name: NodeJS.Signals, code: number) => {
  let again = false
  process.on(name, () => {
    if (again) process.exit(code)
    again = true
    Deferred.unsafeDone(stopped, Effect.succeed(code))
  })
}
listen("SIGINT", ExitCode.interrupted)
listen("SIGTERM", ExitCode.terminated)

Effect.runFork(App.main(process.argv, version, Deferred.await(stopped))).addObserver((exit) => {
  process.exit(exit._tag === "Success" ? exit.value : ExitCode.bug)
})
