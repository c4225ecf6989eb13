/** Killed with -9 in the middle of a tool, started again: the session goes on, and nothing is done twice. */
import { spawn } from "node:child_process"
import { appendFileSync, readFileSync, rmSync } from "node:fs"
import { Tool, Toolkit } from "@effect/ai"
import { Effect, Layer, Schema } from "effect"
import { Agent, Client, Runner } from "perdure"
import { ScriptedModel } from "perdure/testing"

const directory = process.argv[2] ?? ".perdure/crash"
const witness = `${directory}.log`

const Pay = Tool.make("pay", { parameters: { euros: Schema.Int }, success: Schema.String })
const Measure = Tool.make("measure", { success: Schema.String }).annotate(Tool.Readonly, true)
const tools = Toolkit.make(Pay, Measure)

const Tools = tools.toLayer({
  pay: ({ euros }) =>
    Effect.sync(() => {
      appendFileSync(witness, `paid ${euros}\n`)
      return "paid"
    }),
  // The first time, it never comes back: the process is killed while it runs.
  measure: () =>
    Effect.suspend(() => {
      appendFileSync(witness, "measuring\n")
      return process.argv[3] === "dies" ? Effect.never : Effect.succeed("42")
    })
})

const Clerk = Agent.make("clerk", { toolkit: tools })

const Model = ScriptedModel.make([
  ScriptedModel.calls("pay", { euros: 7 }),
  ScriptedModel.calls("measure", {}),
  ScriptedModel.text("Paid, and measured 42.")
])

const Live = Runner.layerEmbedded({ agents: [Clerk], directory }).pipe(Layer.provide([Tools, Model]))

const work = Effect.gen(function* () {
  const session = yield* Client.session(Clerk, "job")
  // The same id: when it is sent again after the crash, it is the same message and the same turn.
  return yield* session.ask("Pay 7 euros and measure", { id: "m1" })
}).pipe(Effect.provide(Live))

const untilMeasuring = (kill: () => void) => {
  const look = setInterval(() => {
    try {
      if (readFileSync(witness, "utf8").includes("measuring")) {
        clearInterval(look)
        kill()
      }
    } catch {
      // not yet
    }
  }, 10)
}

if (process.argv[3] === "dies") {
  await Effect.runPromise(work)
} else {
  rmSync(directory, { recursive: true, force: true })
  rmSync(witness, { force: true })
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, directory, "dies"], {
    stdio: "inherit"
  })
  untilMeasuring(() => child.kill("SIGKILL"))
  await new Promise((resolve) => child.once("exit", resolve))
  console.log("killed with -9")
  console.log(await Effect.runPromise(work))
  const lines = readFileSync(witness, "utf8").trim().split("\n")
  console.log(`paid ${lines.filter((line) => line === "paid 7").length} time`)
}
