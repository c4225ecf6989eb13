/**
 * Starts the benchmark as its users run Perdure: compiled. From source, the names that a loader gives to every function
 * would be measured as well.
 */
import { spawn } from "node:child_process"
import { cpSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { buildSync } from "esbuild"

const root = fileURLToPath(new URL("../..", import.meta.url))
const built = join(root, "node_modules/.cache", `perdure-bench-${process.pid}`)

buildSync({
  absWorkingDir: root,
  entryPoints: ["test/bench/main.ts", "test/bench/child.main.ts"],
  outbase: root,
  outdir: built,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external"
})
cpSync(join(root, "package.json"), join(built, "package.json"))
process.once("exit", () => rmSync(built, { recursive: true, force: true }))

const child = spawn(
  process.execPath,
  ["--expose-gc", "--enable-source-maps", join(built, "test/bench/main.js"), ...process.argv.slice(2)],
  { stdio: "inherit" }
)
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal))
child.once("exit", (code) => process.exit(code ?? 1))
