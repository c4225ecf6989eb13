/** Starts the benchmark as its users run Perdure: compiled. */
import { spawn } from "node:child_process"
import { compile } from "../support/compiled.ts"

/** As the README says of runners: with more room for the young, little of what a step leaves behind grows old. */
const roomy = "--max-semi-space-size=64"

const compiled = compile("bench", ["test/bench/main.ts", "test/bench/child.main.ts"])

const child = spawn(
  process.execPath,
  ["--expose-gc", roomy, "--enable-source-maps", compiled.path("test/bench/main.ts"), ...process.argv.slice(2)],
  { stdio: "inherit" }
)
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal))
child.once("exit", (code) => process.exit(code ?? 1))
