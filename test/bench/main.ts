/**
 * `npm run bench`: what a durable step, a waking, a token and a resting session cost, each beside its base in the same
 * run. Progress goes to standard error, the result to standard output.
 *
 *     npm run bench -- [--quick] [--store sqlite|postgres] [--only NAME]… [--json]
 */
import { parseArgs } from "node:util"
import { Cause, Effect, Exit, Logger, LogLevel } from "effect"
import { start, variable } from "../support/Postgres.ts"
import * as Failover from "./Failover.ts"
import * as FirstToken from "./FirstToken.ts"
import * as Growth from "./Growth.ts"
import * as Memory from "./Memory.ts"
import { json, notMeasured, type Row, table } from "./Report.ts"
import * as Steps from "./Steps.ts"
import type { Driver } from "./Stores.ts"

type Measure = (driver: Driver, quick: boolean) => Effect.Effect<ReadonlyArray<Row>, unknown>

const measures: Readonly<Record<string, Measure>> = {
  steps: Steps.steps,
  agent: Steps.agent,
  decoded: Steps.decoded,
  growth: Growth.steps,
  "growth-agent": Growth.agent,
  token: FirstToken.measure,
  idle: Memory.idle,
  attach: Memory.attach,
  run: Memory.run,
  failover: Failover.measure
}

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    store: { type: "string", multiple: true },
    only: { type: "string", multiple: true },
    help: { type: "boolean", default: false }
  }
})
const fail = (message: string): never => {
  console.error(message)
  process.exit(2)
}
if (values.help) {
  console.log(
    `npm run bench -- [--quick] [--store sqlite|postgres] [--only NAME]... [--json]\n\nNAME: ${Object.keys(measures).join(", ")}`
  )
  process.exit(0)
}
const drivers = (values.store ?? ["sqlite", "postgres"]) as ReadonlyArray<Driver>
for (const driver of drivers) {
  if (driver !== "sqlite" && driver !== "postgres") fail(`there is no store "${driver}": name sqlite or postgres`)
}
const names = values.only ?? Object.keys(measures)
for (const name of names) {
  if (!(name in measures)) fail(`there is no measure "${name}": name one of ${Object.keys(measures).join(", ")}`)
}

const began = performance.now()
const seconds = () => `${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s`
const server = drivers.includes("postgres") && !process.env["PERDURE_TEST_DATABASE_URL"] ? await start() : undefined
if (server !== undefined) process.env[variable] = server.url

const rows: Array<Row> = []
const failures: Array<string> = []
for (const name of names) {
  for (const driver of drivers) {
    process.stderr.write(`${seconds()}  ${name} on ${driver}\n`)
    const exit = await Effect.runPromiseExit(
      measures[name]!(driver, values.quick).pipe(Logger.withMinimumLogLevel(LogLevel.Warning))
    )
    if (Exit.isSuccess(exit)) rows.push(...exit.value)
    else failures.push(`${name} on ${driver}: ${Cause.pretty(exit.cause)}`)
    globalThis.gc?.()
  }
}
await server?.stop()

if (values.json) console.log(json(rows))
else {
  console.log(table(rows))
  console.log(
    "\nThe base is a bare commit of one row through the same driver, measured between our batches, unless a row says"
  )
  console.log("otherwise. Not measured:")
  for (const line of notMeasured) console.log(`- ${line}`)
  console.log(`\n${seconds().trim()} in all.`)
}
for (const failure of failures) console.error(`FAILED ${failure}`)
process.exit(failures.length > 0 ? 1 : 0)
