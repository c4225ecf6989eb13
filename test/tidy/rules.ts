/**
 * The rules of the house, each a function from files to what is wrong with them. `test/tidy.test.ts` runs them on the
 * repository, and on a planted fault each, so that a rule that can find nothing is found out.
 */
import ts from "typescript"
import { type Import, lineOf, type Source, visit } from "./tree.ts"

/** A room may import from rooms of a lower tier, and of no other. */
export const tiers: Readonly<Record<string, number>> = {
  domain: 0,
  telemetry: 0,
  store: 1,
  privacy: 1,
  journal: 2,
  blob: 2,
  feed: 2,
  resilience: 2,
  session: 3,
  process: 3,
  workspace: 3,
  model: 3,
  agent: 4,
  workflow: 4,
  board: 4,
  client: 5,
  runner: 5,
  testing: 5,
  inspector: 5,
  server: 5,
  cli: 5
}

/** The doors stand side by side, and some open on others: each may import those before it in this list. */
export const doors: ReadonlyArray<string> = ["client", "runner", "testing", "inspector", "server", "cli"]

/** Packages that are one room's business, so that replacing one is that room's business too. Types may be named anywhere. */
export const owners: ReadonlyArray<{
  readonly what: RegExp
  readonly rooms: ReadonlyArray<string>
  readonly why: string
}> = [
  { what: /^@effect\/ai-/, rooms: ["model"], why: "only model/ knows providers" },
  {
    what: /^@effect\/ai(\/|$)/,
    rooms: ["model", "agent", "testing"],
    why: "model/ absorbs what @effect/ai gets wrong"
  },
  { what: /^@effect\/cluster(\/|$)/, rooms: ["session", "runner"], why: "the cluster is to be replaceable" },
  { what: /^@effect\/sql(-pg)?(\/|$)/, rooms: ["store"], why: "the store is a port" },
  { what: /^libsql$/, rooms: ["store"], why: "the store is a port" },
  { what: /^@effect\/opentelemetry(\/|$)/, rooms: ["runner"], why: "exporting is the runner's choice" },
  { what: /^@effect\/cli(\/|$)/, rooms: ["cli"], why: "the command line is one of several doors" },
  {
    what: /^(node:)?child_process$/,
    rooms: ["process"],
    why: "a process that process/ did not start may outlive its step (I7)"
  }
]

/** Only these choose a driver of the store. */
export const driverRooms: ReadonlyArray<string> = ["store", "runner", "testing"]
const driver = /^(Postgres|Sqlite)/

/** Clock, chance and surroundings come from Effect, so that a simulator can be all three. The exceptions, with reasons. */
export type Allowed = Readonly<Record<string, Readonly<Record<string, string>>>>

export const linesMax = 400
export const linesWanted = 250

type Rule = (sources: ReadonlyArray<Source>) => ReadonlyArray<string>

const inSrc = (source: Source): boolean => source.path.startsWith("src/")
const at = (source: Source, line: number): string => `${source.path}:${line}`
const roomOf = (file: string): string | undefined => /^src\/([^/]+)\//.exec(file)?.[1]

const internalImports = (sources: ReadonlyArray<Source>): ReadonlyArray<readonly [Source, Import, string]> =>
  sources.flatMap((source) =>
    source.imports.flatMap((found) => (found.file === undefined ? [] : [[source, found, found.file] as const]))
  )

export const importsGoDown: Rule = (sources) =>
  internalImports(sources.filter(inSrc)).flatMap(([source, found, file]) => {
    const to = roomOf(file)
    if (source.room === undefined || to === source.room) return []
    const here = at(source, found.line)
    if (to === undefined) return [`${here} imports ${file}, which is above all rooms or outside of them`]
    const from = tiers[source.room]
    const target = tiers[to]
    if (from === undefined || target === undefined)
      return [`${here}: ${from === undefined ? source.room : to}/ has no tier`]
    if (target < from) return []
    const door = doors.indexOf(to)
    if (door >= 0 && door < doors.indexOf(source.room)) return []
    return [`${here} imports ${to}/ (tier ${target}) from ${source.room}/ (tier ${from})`]
  })

export const internalIsPrivate: Rule = (sources) =>
  internalImports(sources).flatMap(([source, found, file]) => {
    const room = /^src\/([^/]+)\/internal\//.exec(file)?.[1]
    if (room === undefined || source.room === room || source.path.startsWith("test/")) return []
    return [`${at(source, found.line)} imports ${file}, which is private to ${room}/`]
  })

/** Cycles of what is there when the program runs; a type may look back. */
export const noCycles: Rule = (sources) => {
  const edges = new Map(
    sources
      .filter(inSrc)
      .map((source) => [
        source.path,
        source.imports.flatMap((found) => (found.file === undefined || found.typeOnly ? [] : [found.file]))
      ])
  )
  const done = new Set<string>()
  const cycles = new Set<string>()
  const walk = (file: string, path: ReadonlyArray<string>): void => {
    const start = path.indexOf(file)
    if (start >= 0) {
      cycles.add([...path.slice(start), file].join(" → "))
      return
    }
    if (done.has(file)) return
    for (const next of edges.get(file) ?? []) walk(next, [...path, file])
    done.add(file)
  }
  for (const file of edges.keys()) walk(file, [])
  return [...cycles]
}

export const packagesHaveOwners: Rule = (sources) =>
  sources
    .filter(inSrc)
    .flatMap((source) =>
      source.imports.flatMap((found) =>
        owners.flatMap(({ rooms, what, why }) =>
          found.typeOnly || !what.test(found.specifier) || rooms.includes(source.room ?? "")
            ? []
            : [`${at(source, found.line)} imports ${found.specifier}: ${why}`]
        )
      )
    )

export const driversAreChosenAtTheDoors: Rule = (sources) =>
  internalImports(sources.filter(inSrc)).flatMap(([source, found, file]) => {
    if (roomOf(file) !== "store" || driverRooms.includes(source.room ?? "")) return []
    const named = found.names.some((name) => driver.test(name)) || driver.test(file.slice("src/store/".length))
    return named ? [`${at(source, found.line)} chooses a driver of the store`] : []
  })

/** Calls of the model go through `model/`: anywhere else they are unjournaled, unpriced and unscrubbed. */
export const modelsAreCalledInOneRoom: Rule = (sources) =>
  sources
    .filter((source) => inSrc(source) && source.room !== "model")
    .flatMap(({ ast, ...source }) => {
      const wrong: Array<string> = []
      if (ast === undefined) return wrong
      visit(ast, (node) => {
        if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return
        if (["streamText", "generateText", "generateObject"].includes(node.expression.name.text)) {
          wrong.push(`${at({ ...source, ast }, lineOf(ast, node))} calls ${node.expression.name.text}`)
        }
      })
      return wrong
    })

const isComment = (line: string | undefined): boolean => /^\s*(\/\/|\*|\/\*)/.test(line ?? "")
const words = (text: string): number => text.split(/\s+/).filter((word) => /\w{2,}/.test(word)).length

/** What switches a check off says why, on its line or on the one above. */
export const exceptionsHaveReasons: Rule = (sources) =>
  sources.flatMap((source) => {
    const { ast, lines } = source
    if (ast === undefined) return []
    const wrong: Array<string> = []
    const reasoned = (line: number): boolean => /\/\/|\/\*/.test(lines[line - 1] ?? "") || isComment(lines[line - 2])
    visit(ast, (node) => {
      if (ts.isAsExpression(node) && node.type.kind === ts.SyntaxKind.AnyKeyword) {
        const line = ast.getLineAndCharacterOfPosition(node.type.getStart(ast)).line + 1
        if (!reasoned(line)) wrong.push(`${at(source, line)}: \`as any\` without a reason beside it`)
      }
    })
    lines.forEach((line, index) => {
      const directive =
        /^\s*(?:\/\/|\/\*)\s*(@ts-\w+|biome-ignore(?:-\w+)?(?: [\w/]+)?|@effect-diagnostics(?:-next-line)?(?: [\w/]+:\w+)*)(.*)/.exec(
          line
        )
      if (directive !== null && words(directive[2] ?? "") < 2 && !isComment(lines[index - 1])) {
        wrong.push(`${at(source, index + 1)}: ${directive[1]} without a reason beside it`)
      }
    })
    return wrong
  })

const ambientMembers = new Set([
  "Date.now",
  "Math.random",
  "performance.now",
  "process.env",
  "process.hrtime",
  "crypto.randomUUID",
  "crypto.getRandomValues"
])
const ambientCalls = new Set(["setTimeout", "setInterval", "setImmediate", "randomUUID", "randomBytes", "randomInt"])

/** Where a file reads the machine's clock, chance or environment by itself: `[file, what, line]`. */
export const ambient = (sources: ReadonlyArray<Source>): ReadonlyArray<readonly [Source, string, number]> =>
  sources.filter(inSrc).flatMap((source) => {
    const { ast } = source
    const found: Array<readonly [Source, string, number]> = []
    if (ast === undefined) return found
    visit(ast, (node) => {
      if (ts.isPropertyAccessExpression(node)) {
        const name = node.getText(ast).replace(/^globalThis\./, "")
        if (ambientMembers.has(name)) found.push([source, name, lineOf(ast, node)])
      }
      if (ts.isCallExpression(node)) {
        const name = node.expression.getText(ast).replace(/^globalThis\./, "")
        if (ambientCalls.has(name)) found.push([source, name, lineOf(ast, node)])
      }
      if (ts.isNewExpression(node) && node.expression.getText(ast) === "Date" && node.arguments?.length === 0) {
        found.push([source, "new Date()", lineOf(ast, node)])
      }
    })
    return found
  })

export const ambientIsAllowed =
  (allowed: Allowed): Rule =>
  (sources) =>
    ambient(sources).flatMap(([source, what, line]) =>
      allowed[source.path]?.[what] === undefined ? [`${at(source, line)} uses ${what}`] : []
    )

/** An exception that nothing needs any more. */
export const staleAllowances =
  (allowed: Allowed): Rule =>
  (sources) => {
    const used = new Set(ambient(sources).map(([source, what]) => `${source.path} ${what}`))
    return Object.entries(allowed).flatMap(([path, whats]) =>
      Object.keys(whats).flatMap((what) => (used.has(`${path} ${what}`) ? [] : [`${path} no longer uses ${what}`]))
    )
  }

const documented = (ast: ts.SourceFile, node: ts.Node): boolean =>
  (ts.getLeadingCommentRanges(ast.text, node.getFullStart()) ?? []).some((range) =>
    ast.text.slice(range.pos, range.end).startsWith("/**")
  )

const exported = (node: ts.Node): boolean =>
  ts.canHaveModifiers(node) && (ts.getModifiers(node) ?? []).some((one) => one.kind === ts.SyntaxKind.ExportKeyword)

/** An operator meets an error by its name: the docstring is where its meaning is looked up. */
export const errorsAreDocumented: Rule = (sources) =>
  sources.filter(inSrc).flatMap((source) => {
    const { ast } = source
    const wrong: Array<string> = []
    if (ast === undefined) return wrong
    visit(ast, (node) => {
      if (!ts.isClassDeclaration(node) || !exported(node)) return
      const heritage = (node.heritageClauses ?? []).map((clause) => clause.getText(ast)).join()
      if (/TaggedError|YieldableError/.test(heritage) && !documented(ast, node)) {
        wrong.push(`${at(source, lineOf(ast, node))}: ${node.name?.text ?? "an error"} has no docstring`)
      }
    })
    return wrong
  })

/** Span names are a contract: the table says what each one covers. */
export const spansAreDocumented: Rule = (sources) =>
  sources.flatMap((source) => {
    const { ast } = source
    const wrong: Array<string> = []
    if (ast === undefined || source.path !== "src/telemetry/Names.ts") return wrong
    visit(ast, (node) => {
      if (!ts.isVariableDeclaration(node) || node.name.getText(ast) !== "SpanName") return
      visit(ast, (inner) => {
        const here = inner.pos >= node.pos && inner.end <= node.end
        if (here && ts.isPropertyAssignment(inner) && !documented(ast, inner)) {
          wrong.push(`${at(source, lineOf(ast, inner))}: span ${inner.name.getText(ast)} has no docstring`)
        }
      })
    })
    return wrong
  })

export const roomsAreKnown: Rule = (sources) => {
  const paths = new Set(sources.map((source) => source.path))
  const rooms = new Set(sources.flatMap((source) => (source.room === undefined ? [] : [source.room])))
  return [...rooms].flatMap((room) => [
    ...(tiers[room] === undefined ? [`src/${room}/ is in no tier: name one in test/tidy/rules.ts`] : []),
    ...(paths.has(`src/${room}/README.md`) ? [] : [`src/${room}/ has no README.md`]),
    ...(paths.has(`src/${room}/index.ts`) ? [] : [`src/${room}/ has no index.ts`])
  ])
}

export const readmesAreAPage: Rule = (sources) =>
  sources.flatMap((source) =>
    inSrc(source) && source.path.endsWith("README.md") && source.lines.length > 80
      ? [`${source.path} has ${source.lines.length} lines: a page is 80`]
      : []
  )

export const filesAreShort: Rule = (sources) =>
  sources.flatMap((source) =>
    inSrc(source) && source.ast !== undefined && source.lines.length > linesMax
      ? [`${source.path} has ${source.lines.length} lines: what second noun does it hide?`]
      : []
  )

export const longFiles: Rule = (sources) =>
  sources.flatMap((source) =>
    inSrc(source) && source.ast !== undefined && source.lines.length > linesWanted ? [source.path] : []
  )

export const everythingIsReachable: Rule = (sources) => {
  const byPath = new Map(sources.map((source) => [source.path, source]))
  const seen = new Set<string>()
  const walk = (path: string): void => {
    const source = byPath.get(path)
    if (source === undefined || seen.has(path)) return
    seen.add(path)
    for (const found of source.imports) if (found.file !== undefined) walk(found.file)
  }
  for (const source of sources) {
    if (source.path === "src/cli/main.ts" || /^src\/([^/]+\/)?index\.ts$/.test(source.path)) walk(source.path)
  }
  return sources.flatMap((source) =>
    inSrc(source) && source.ast !== undefined && !seen.has(source.path) ? [`${source.path} is reached by nothing`] : []
  )
}

/** `tsc` writes `.js` for `.ts` in imports, not in URLs: such a file would be missing from the package. */
export const urlsSurviveTheBuild: Rule = (sources) =>
  sources
    .filter(inSrc)
    .flatMap((source) =>
      source.lines.flatMap((line, index) =>
        /new URL\(\s*["'`]\.[^"'`]*\.ts["'`]/.test(line) ? [`${at(source, index + 1)} names a .ts file in a URL`] : []
      )
    )

export const testsAllRun: Rule = (sources) =>
  sources.flatMap((source) => {
    const { ast } = source
    const wrong: Array<string> = []
    if (ast === undefined || !source.path.startsWith("test/")) return wrong
    visit(ast, (node) => {
      if (!ts.isCallExpression(node)) return
      const name = node.expression.getText(ast)
      if (/^(it|test|describe|suite)\b[\w.]*\.(only|skip|todo)$/.test(name)) {
        wrong.push(`${at(source, lineOf(ast, node))}: ${name}`)
      }
    })
    return wrong
  })

const machinePath = new RegExp(`(^|[\\s"'\`(=:,])/(${["home", "Users", "root", "work"].join("|")})/[A-Za-z0-9._-]`)

export const noMachinePaths: Rule = (sources) =>
  sources.flatMap((source) =>
    source.lines.flatMap((line, index) =>
      machinePath.test(line) ? [`${at(source, index + 1)} names a path of one machine`] : []
    )
  )

/** One instance of what is shared in types: an import that the package does not declare works here and nowhere else. */
export const importsAreDeclared: Rule = (sources) => {
  const manifest = sources.find((source) => source.path === "package.json")
  if (manifest === undefined) return []
  const {
    dependencies = {},
    peerDependencies = {},
    peerDependenciesMeta = {}
  } = JSON.parse(manifest.text) as Record<string, Record<string, { optional?: boolean }> | undefined>
  // An optional peer may be missing: only what a user imports beside us may need it.
  const declared = new Set(
    [...Object.keys(dependencies), ...Object.keys(peerDependencies)].filter(
      (name) => peerDependenciesMeta[name]?.optional !== true
    )
  )
  return sources.filter(inSrc).flatMap((source) =>
    source.imports.flatMap((found) => {
      if (found.file !== undefined || found.specifier.startsWith("node:")) return []
      const name = found.specifier
        .split("/")
        .slice(0, found.specifier.startsWith("@") ? 2 : 1)
        .join("/")
      return declared.has(name) ? [] : [`${at(source, found.line)} imports ${name}, which package.json gives no user`]
    })
  )
}

/** Every room but the program has its own entry: a pattern with a star would open `internal/` as well. */
export const roomsAreExported: Rule = (sources) => {
  const manifest = sources.find((source) => source.path === "package.json")
  if (manifest === undefined) return []
  const exported = Object.keys((JSON.parse(manifest.text) as { exports?: object }).exports ?? {})
  const rooms = new Set(sources.flatMap(({ room }) => (room === undefined || room === "cli" ? [] : [`./${room}`])))
  return [
    ...[...rooms].filter((room) => !exported.includes(room)).map((room) => `package.json does not export ${room}`),
    ...exported
      .filter((path) => path !== "." && path !== "./package.json" && !rooms.has(path))
      .map((path) => `package.json exports ${path}, which is no room`)
  ]
}

interface Locked {
  readonly packages: Readonly<
    Record<string, { readonly resolved?: string; readonly optionalDependencies?: Readonly<Record<string, string>> }>
  >
}

/**
 * `npm ci` installs from the lock on every platform and from every registry. npm leaves entries out where the registry at
 * hand did not have some platform's package, and then refuses the lock it wrote; and it writes that registry's address.
 */
export const lockIsForEverybody: Rule = (sources) => {
  const file = sources.find((source) => source.path === "package-lock.json")
  if (file === undefined) return []
  const { packages } = JSON.parse(file.text) as Locked
  const names = new Set(Object.keys(packages).map((path) => path.slice(path.lastIndexOf("node_modules/") + 13)))
  return Object.entries(packages).flatMap(([path, { optionalDependencies = {}, resolved }]) => [
    ...(resolved === undefined || resolved.startsWith("https://registry.npmjs.org/")
      ? []
      : [`package-lock.json takes ${path} from a registry of somebody's own`]),
    ...Object.keys(optionalDependencies)
      .filter((name) => !names.has(name))
      .map((name) => `package-lock.json lacks ${name}: add its entry with version, os, cpu, libc and optional`)
  ])
}
