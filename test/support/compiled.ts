/**
 * Programs compiled as the package is, without a loader: from source each start costs seconds of a processor, and the
 * names that a loader gives to every function would be measured as well.
 */
import { cpSync, existsSync, rmSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { buildSync } from "esbuild"

/** Also of what is compiled itself, which lies deeper. */
const rootOf = (path: string): string => (existsSync(join(path, "package-lock.json")) ? path : rootOf(dirname(path)))

const root = rootOf(dirname(fileURLToPath(import.meta.url)))

export interface Compiled {
  /** Where a source file of the project has gone. */
  readonly path: (source: string) => string
  readonly remove: () => void
}

/** Gone with this process at the latest. @param entries source files, from the project's root */
export const compile = (name: string, entries: ReadonlyArray<string>): Compiled => {
  // Packages are found from there.
  const directory = join(root, "node_modules/.cache", `perdure-${name}-${process.pid}`)
  buildSync({
    absWorkingDir: root,
    entryPoints: [...entries],
    outbase: root,
    outdir: directory,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20",
    packages: "external"
  })
  cpSync(join(root, "package.json"), join(directory, "package.json"))
  const remove = () => rmSync(directory, { recursive: true, force: true })
  process.once("exit", remove)
  return { path: (source) => join(directory, source.replace(/\.ts$/, ".js")), remove }
}

const programs = new Map<string, string>()

/** A program of the tests, compiled when it is first asked for. @param source from the project's root */
export const program = (source: string): string => {
  const name = source.replace(/\W+/g, "-")
  const known = programs.get(name) ?? compile(name, [source]).path(source)
  programs.set(name, known)
  return known
}
