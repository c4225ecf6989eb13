/**
 * A runner to be killed: starts the trees it is told to, or the same one over and over, and says what its prefix is.
 *
 *   runner.ts '{"options": {…}, "scripts": ["…"], "mark": "…", "mode": "hold" | "churn" | "run"}'
 */
import { Effect } from "effect"
import { Processes } from "../../src/process/index.ts"

interface Order {
  readonly options: Parameters<typeof Processes.layerWith>[0]
  readonly scripts: ReadonlyArray<string>
  readonly mark: string
  readonly mode: "hold" | "churn" | "run"
}
const order: Order = JSON.parse(process.argv[2]!)

const program = Effect.gen(function* () {
  const processes = yield* Processes
  const spawns = order.scripts.map((script) => ({ command: "sh", args: ["-c", script], env: { MARK: order.mark } }))
  if (order.mode === "run") {
    for (const spawn of spawns) process.stdout.write((yield* processes.run(spawn)).stdout.text)
    return
  }
  const first = yield* processes.start({ command: "sleep", args: ["1000"], env: { MARK: order.mark } })
  process.stdout.write(`${first.marker.split(".")[0]}.\n`)
  if (order.mode === "churn") {
    const once = (spawn: (typeof spawns)[number]) =>
      Effect.scoped(Effect.zipRight(processes.start(spawn), Effect.sleep("30 millis")))
    return yield* Effect.forEach(spawns, (spawn) => Effect.forever(once(spawn)), { concurrency: "unbounded" })
  }
  yield* Effect.forEach(spawns, processes.start, { concurrency: "unbounded" })
  return yield* Effect.never
})

Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(Processes.layerWith(order.options)))).catch((cause) => {
  console.error(cause)
  process.exit(1)
})
