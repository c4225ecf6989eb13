/** The processes of a run, transpiled once: from source, each start would cost seconds of both cores. */
import { cpSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { buildSync } from "esbuild"

const root = fileURLToPath(new URL("../..", import.meta.url))

export interface Programs {
  readonly runner: string
  readonly client: string
  readonly remove: () => void
}

/** Where packages are found from; to be removed. */
export const build = (): Programs => {
  const built = join(root, "node_modules/.cache", `perdure-chaos-${process.pid}`)
  buildSync({
    absWorkingDir: root,
    entryPoints: ["test/chaos/runner.main.ts", "test/chaos/client.main.ts"],
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
  return {
    runner: join(built, "test/chaos/runner.main.js"),
    client: join(built, "test/chaos/client.main.js"),
    remove: () => rmSync(built, { recursive: true, force: true })
  }
}
