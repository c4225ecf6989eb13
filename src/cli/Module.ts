/**
 * MODULE: a TypeScript or JavaScript file that exports agents and what they need.
 *
 * ```ts
 * export const Weather = Agent.make("weather", { toolkit })           // every exported agent is found
 * export const layer = toolkit.toLayer({ … }).pipe(Layer.provideMerge(model))   // the model and the tools' handlers
 * ```
 *
 * or `export default { agents: [Weather], layer }`.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import { Effect, Layer } from "effect"
import { Agent } from "../agent/index.ts"
import { AgentNotInModule, ModuleBroken, ModuleNotFound, ModuleWithoutAgent } from "./CliError.ts"

export interface Loaded {
  /** As it was named. */
  readonly path: string
  readonly agents: ReadonlyArray<Agent.Any>
  /** What the module provides. Its types are gone: what is missing is found when the agents' needs are looked up. */
  readonly layer: Layer.Layer<never, unknown>
}

const isTypeScript = (file: string): boolean => /\.([cm]?ts|tsx|jsx)$/.test(file)

/** Whether this program itself runs from TypeScript: whoever loads it loads the module too. */
const fromSource = import.meta.url.endsWith(".ts")

let registered = false

const importModule = async (file: string): Promise<Record<string, unknown>> => {
  if (isTypeScript(file) && !fromSource && !registered) {
    // Both: without a package.json that says otherwise, Node takes a .ts file for CommonJS.
    const [esm, cjs] = await Promise.all([import("tsx/esm/api"), import("tsx/cjs/api")])
    cjs.register()
    esm.register()
    registered = true
  }
  return import(pathToFileURL(file).href)
}

/** Why an import failed, in a few lines that a person can act on. */
const reasonOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return `it throws ${String(cause)} when it is loaded`
  const code = "code" in cause ? String(cause.code) : ""
  const message = cause.message.split("\n").slice(0, 4).join("\n")
  if (code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND") {
    return `${message}: install it beside the module, or correct the import`
  }
  if (code === "ERR_UNKNOWN_FILE_EXTENSION") return "it is neither TypeScript nor JavaScript"
  if (cause instanceof SyntaxError || cause.name === "TransformError" || cause.name === "SyntaxError") {
    return `it does not parse: ${message}`
  }
  return `it throws when it is loaded: ${message}`
}

interface Found {
  readonly agents: Map<string, Agent.Any>
  readonly twice: Set<string>
}

const collect = (found: Found, value: unknown): void => {
  if (!Agent.isAgent(value)) return
  const known = found.agents.get(value.name)
  if (known !== undefined && known !== value) found.twice.add(value.name)
  found.agents.set(value.name, value)
}

/** Loads a module and finds its agents and their layer. */
export const load = (name: string): Effect.Effect<Loaded, ModuleNotFound | ModuleBroken | ModuleWithoutAgent> =>
  Effect.gen(function* () {
    const file = path.resolve(name)
    if (!fs.existsSync(file) || !fs.statSync(file).isFile()) return yield* new ModuleNotFound({ path: name })
    const exports = yield* Effect.tryPromise({
      try: () => importModule(file),
      catch: (cause) => new ModuleBroken({ path: name, reason: reasonOf(cause) })
    })
    const standard = (typeof exports["default"] === "object" ? (exports["default"] ?? {}) : {}) as {
      readonly agents?: unknown
      readonly layer?: unknown
    }
    const found: Found = { agents: new Map(), twice: new Set() }
    for (const value of Object.values(exports)) collect(found, value)
    if (Array.isArray(standard.agents)) for (const value of standard.agents) collect(found, value)
    if (found.twice.size > 0) {
      const reason = `it exports two different agents with the name ${[...found.twice].join(", ")}: give each its own`
      return yield* new ModuleBroken({ path: name, reason })
    }
    if (found.agents.size === 0) {
      return yield* new ModuleWithoutAgent({ path: name, exports: Object.keys(exports) })
    }
    const layer = [exports["layer"], standard.layer, exports["default"]].find(Layer.isLayer)
    const given = exports["layer"] ?? standard.layer
    if (layer === undefined && given !== undefined) {
      return yield* new ModuleBroken({ path: name, reason: "what it exports as `layer` is no Layer" })
    }
    return {
      path: name,
      agents: [...found.agents.values()],
      layer: (layer ?? Layer.empty) as Layer.Layer<never, unknown>
    }
  })

/** The agent that is meant; `null` when several are there and none is named. */
export const pick = (module: Loaded, name: string | undefined): Effect.Effect<Agent.Any | null, AgentNotInModule> => {
  if (name === undefined) return Effect.succeed(module.agents.length === 1 ? module.agents[0]! : null)
  const found = module.agents.find((agent) => agent.name === name)
  return found === undefined
    ? new AgentNotInModule({ path: module.path, agent: name, known: module.agents.map((agent) => agent.name) })
    : Effect.succeed(found)
}
