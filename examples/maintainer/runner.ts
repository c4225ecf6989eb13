/** The runner of the maintainer's sessions: a process of its own, so that it can be killed. */
import { Effect, Layer } from "effect"
import { Runner } from "../../src/runner/index.ts"
import { handlers, Maintainer, type Settings } from "./agent.ts"
import * as Model from "./model.ts"

const { directory, ...settings } = JSON.parse(process.env["MAINTAINER_SETTINGS"] ?? "{}") as Settings & {
  readonly directory: string
}

const program = Effect.gen(function* () {
  yield* Layer.build(
    Runner.layerEmbedded({ agents: [Maintainer], directory }).pipe(
      Layer.provide(handlers(settings)),
      Layer.provide(Model.layer(Model.choose()))
    )
  )
  process.stdout.write("up\n")
  return yield* Effect.never
}).pipe(Effect.scoped)

const fiber = Effect.runFork(program)
const stop = () => fiber.unsafeInterruptAsFork(fiber.id())
process.on("SIGTERM", stop)
// The terminal sends it to us, too; whoever started us decides.
process.on("SIGINT", () => {})
// Whoever started us has gone, however: nobody is left to stop us.
process.stdin.on("end", stop).resume()
fiber.addObserver((exit) => {
  if (exit._tag === "Failure" && exit.cause._tag === "Fail") process.stderr.write(`${String(exit.cause.error)}\n`)
  process.exit(exit._tag === "Failure" && exit.cause._tag === "Fail" ? 1 : 0)
})
