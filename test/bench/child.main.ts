/** What `Child.start` runs: one task, its result as a line of JSON. */
import { Effect, Logger, LogLevel } from "effect"
import * as FirstToken from "./FirstToken.ts"
import * as Memory from "./Memory.ts"
import { type Driver, open } from "./Stores.ts"

const [task, driver, where, ...args] = process.argv.slice(2) as [string, Driver, string, ...Array<string>]
const target = open(driver, where)

const tasks: Readonly<Record<string, () => Effect.Effect<unknown, unknown>>> = {
  idle: () => Memory.idleTask(target, Number(args[0])),
  large: () => Memory.largeTask(target, args[0] as "attach" | "run", Number(args[1])),
  read: () => FirstToken.readTask(target)
}

const print = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`)

print("ready")
Effect.runPromise(tasks[task]!().pipe(Logger.withMinimumLogLevel(LogLevel.Warning))).then(
  (result) => {
    print(result)
    process.exit(0)
  },
  (error) => {
    console.error(error)
    process.exit(1)
  }
)
