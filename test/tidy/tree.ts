/** The repository as the style rules see it: files, parsed once, and who imports whom. */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"

export const root = fileURLToPath(new URL("../..", import.meta.url))

export interface Import {
  /** As written. */
  readonly specifier: string
  /** The file it names, from the root; `undefined` for a package. */
  readonly file: string | undefined
  /** The names that are imported; `*` for all. */
  readonly names: ReadonlyArray<string>
  /** Nothing of it is there when the program runs. */
  readonly typeOnly: boolean
  readonly line: number
}

export interface Source {
  /** From the root, with `/`. */
  readonly path: string
  readonly text: string
  readonly lines: ReadonlyArray<string>
  /** The room of `src/` that it is in; `undefined` elsewhere. */
  readonly room: string | undefined
  readonly imports: ReadonlyArray<Import>
  /** `undefined` for what is no TypeScript. */
  readonly ast: ts.SourceFile | undefined
}

export const lineOf = (ast: ts.SourceFile, node: ts.Node): number =>
  ast.getLineAndCharacterOfPosition(node.getStart(ast)).line + 1

/** Calls `f` with each node of the file, outermost first. */
export const visit = (ast: ts.SourceFile, f: (node: ts.Node) => void): void => {
  const step = (node: ts.Node): void => {
    f(node)
    ts.forEachChild(node, step)
  }
  step(ast)
}

const namesOf = (clause: ts.ImportClause | undefined): ReadonlyArray<string> => {
  const names: Array<string> = []
  if (clause?.name !== undefined) names.push("default")
  const bindings = clause?.namedBindings
  if (bindings !== undefined && ts.isNamespaceImport(bindings)) names.push("*")
  if (bindings !== undefined && ts.isNamedImports(bindings)) {
    for (const element of bindings.elements) names.push((element.propertyName ?? element.name).text)
  }
  return names
}

const importsOf = (path: string, ast: ts.SourceFile): ReadonlyArray<Import> => {
  const imports: Array<Import> = []
  const add = (literal: ts.Expression | undefined, names: ReadonlyArray<string>, typeOnly = false) => {
    if (literal === undefined || !ts.isStringLiteralLike(literal)) return
    const specifier = literal.text
    const file = specifier.startsWith(".") ? normalize(join(dirname(path), specifier)).replaceAll("\\", "/") : undefined
    imports.push({ specifier, file, names, typeOnly, line: lineOf(ast, literal) })
  }
  visit(ast, (node) => {
    if (ts.isImportDeclaration(node)) {
      add(node.moduleSpecifier, namesOf(node.importClause), node.importClause?.isTypeOnly === true)
    }
    if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, ["*"], node.isTypeOnly)
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node.arguments[0], ["*"])
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, ["*"], true)
    // A file that runs as a process or a worker of its own.
    if (ts.isNewExpression(node) && node.expression.getText(ast) === "URL" && node.arguments?.length === 2) {
      add(node.arguments[0], [])
    }
  })
  return imports
}

export const parse = (path: string, text: string): Source => {
  const ast = /\.m?ts$/.test(path) ? ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true) : undefined
  return {
    path,
    text,
    lines: text.split("\n"),
    room: /^src\/([^/]+)\//.exec(path)?.[1],
    imports: ast === undefined ? [] : importsOf(path, ast),
    ast
  }
}

const skipped = new Set(["node_modules", "dist", ".git", ".perdure", "coverage"])

/** All text files of the repository. */
export const load = (): ReadonlyArray<Source> => {
  const files: Array<Source> = []
  const walk = (directory: string): void => {
    for (const entry of readdirSync(join(root, directory), { withFileTypes: true })) {
      const path = directory === "" ? entry.name : `${directory}/${entry.name}`
      if (entry.isDirectory() && !skipped.has(entry.name)) walk(path)
      if (
        entry.isFile() &&
        (/\.(ts|mts|json|md|html|css|sh|yml|yaml|toml|sql)$/.test(entry.name) || path === ".ci/run")
      ) {
        files.push(parse(path, readFileSync(join(root, path), "utf8")))
      }
    }
  }
  walk("")
  return files
}
