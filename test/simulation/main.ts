/** `npm run simulate -- --seed 42 [--workload mixed] [--faults '[…]'] [--trace] [--seeds 100]`: runs of a world by hand. */
import { parseArgs } from "node:util"
import { Effect } from "effect"
import { Simulation } from "../../src/testing/index.ts"
import { given, nature } from "./agents.ts"
import * as Fates from "./fates.ts"
import { features, mixed } from "./features.ts"
import { kinds as stormKinds, storm, storming } from "./storm.ts"

const workloads: Readonly<Record<string, Simulation.Workload>> = { mixed, ...features, storm }

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string", default: "1" },
    workload: { type: "string" },
    faults: { type: "string" },
    fates: { type: "string" },
    fair: { type: "boolean", default: false },
    runners: { type: "string" },
    kinds: { type: "string" },
    list: { type: "boolean", default: false },
    trace: { type: "boolean", default: false }
  }
})

const names = values.workload === undefined ? Object.keys(workloads) : [values.workload]
const base = values.seed ?? String(Date.now() % 1_000_000)
const seeds = Number(values.seeds)
/** The processor's time: the machine may be busy with others. */
const cpuMs = (since: NodeJS.CpuUsage): number => {
  const { system, user } = process.cpuUsage(since)
  return (system + user) / 1000
}

const { fates } = values
/** What a run needs besides its seed and its faults to be had again. */
const also = [
  ...(values.fair ? [" --fair"] : []),
  ...(["runners", "kinds", "fates"] as const).flatMap((name) =>
    values[name] === undefined ? [] : [` --${name} '${values[name]}'`]
  )
].join("")
let failures = 0
const begun = process.cpuUsage()
let runs = 0
const sum = { virtualMs: 0, turns: 0, storeCalls: 0, events: 0, faults: 0 }
for (let n = 0; n < seeds; n++) {
  for (const name of names) {
    const seed = seeds === 1 ? base : `${base}/${n}`
    const start = process.cpuUsage()
    const report = await Effect.runPromise(
      Simulation.run({
        // What they are given is theirs.
        ...(name === "storm" ? (storming as unknown as typeof given) : given),
        repeatable: nature,
        workload: workloads[name],
        seed,
        fair: values.fair,
        kinds: (values.kinds?.split(",") ?? (name === "storm" ? stormKinds : undefined)) as
          | ReadonlyArray<Simulation.Fault["_tag"]>
          | undefined,
        runners: values.runners === undefined ? undefined : Number(values.runners),
        ...(fates === undefined ? {} : { crash: Fates.crash(Fates.parse(fates)) }),
        faults: values.faults === undefined ? undefined : (JSON.parse(values.faults) as ReadonlyArray<Simulation.Fault>)
      })
    )
    runs++
    sum.virtualMs += report.virtualMs
    sum.turns += report.run.turns
    sum.storeCalls += report.storeCalls
    sum.events += report.run.finished.events.length
    sum.faults += report.faults.length
    const ms = cpuMs(start).toFixed(0)
    if (values.trace) console.log(report.trace().join("\n"))
    if (seeds === 1 || values.list || report.violations.length > 0) {
      console.log(
        `${name}, seed ${seed}: ${report.hash}, ${report.faults.length} faults, ${(report.virtualMs / 1000).toFixed(1)} s of its time in ${ms} ms, ${report.storeCalls} store calls, ${report.run.turns} turns, ${report.run.finished.events.length} events`
      )
    }
    if (report.violations.length === 0) continue
    failures++
    if (values.trace)
      for (const { invariant, session, what } of report.violations) console.log(invariant, session, what)
    else console.log(Simulation.broken(report, `npm run simulate -- --seed %s --workload ${name}${also}`).message)
  }
}
const seconds = cpuMs(begun) / 1000
console.log(
  `${runs} runs in ${seconds.toFixed(1)} s of CPU, ${(runs / seconds).toFixed(1)} a second: ${failures} failed`
)
const each = Object.entries(sum).map(([what, all]) => `${what} ${(all / runs).toFixed(0)}`)
console.log(`a run has in the mean: ${each.join(", ")}`)
process.exitCode = failures === 0 ? 0 : 1
