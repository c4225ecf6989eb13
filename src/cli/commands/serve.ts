/** `perdure serve`: hosts a module's agents until it is told to stop; then it drains. */
import { Effect, Option } from "effect"
import { Ending } from "../Ending.ts"
import * as ExitCode from "../ExitCode.ts"
import * as Host from "../Host.ts"
import * as Module from "../Module.ts"
import * as Output from "../Output.ts"
import * as Where from "../Where.ts"

export interface Options extends Where.Options {
  readonly module: string
  readonly json: boolean
}

export const main = (options: Options) =>
  Effect.gen(function* () {
    const where = yield* Where.of(options)
    const module = yield* Module.load(options.module)
    // Being stopped is how it ends.
    yield* (yield* Ending).onSignal(ExitCode.ok)
    let health = Option.none<number>()
    yield* Host.start(where, module, (port) => {
      health = Option.some(port)
    })
    const agents = module.agents.map(({ name }) => name)
    const store = where._tag === "Directory" ? where.directory : "postgres"
    const said = Option.match(health, {
      onNone: () => ({ text: "", json: {} }),
      onSome: (port) => ({ text: `, health on port ${port}`, json: { healthPort: port } })
    })
    yield* options.json
      ? Output.out(Output.json({ type: "serving", agents, store, pid: process.pid, ...said.json }))
      : Output.out(
          `serving ${agents.join(", ")} on ${store} (process ${process.pid}${said.text}); stop it with Ctrl-C\n`
        )
    return yield* Effect.never.pipe(
      Effect.onInterrupt(() => Output.err("draining: what runs is finished or left for the next runner\n"))
    )
  }).pipe(Effect.scoped)
