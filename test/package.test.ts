/**
 * The package as a stranger gets it: packed, installed into an empty project, type-checked under strict settings and run.
 * `test/package/` is that project's code.
 */
import { execFile } from "node:child_process"
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { root } from "./tidy/tree.ts"

interface Ran {
  readonly code: number
  readonly out: string
}

/** Never rejects: what a command says is part of what is asserted. */
const run = (cwd: string, command: string, ...args: ReadonlyArray<string>): Promise<Ran> =>
  new Promise((done) => {
    execFile(command, args, { cwd, maxBuffer: 64 * 2 ** 20 }, (error, stdout, stderr) =>
      done({ code: error === null ? 0 : Number(error.code ?? 1), out: `${stdout}${stderr}` })
    )
  })

const succeed = async (cwd: string, command: string, ...args: ReadonlyArray<string>): Promise<string> => {
  const { code, out } = await run(cwd, command, ...args)
  assert.strictEqual(code, 0, `${command} ${args.join(" ")}\n${out}`)
  return out
}

/** As strict as TypeScript goes; `files` from the project. */
const tsconfig = (resolution: "NodeNext" | "Bundler", files: ReadonlyArray<string>) =>
  JSON.stringify({
    compilerOptions: {
      target: "ES2022",
      lib: ["ES2023", "DOM"],
      module: resolution === "NodeNext" ? "NodeNext" : "ESNext",
      moduleResolution: resolution,
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noPropertyAccessFromIndexSignature: true,
      noImplicitOverride: true,
      noUnusedLocals: true,
      verbatimModuleSyntax: true,
      // The declarations of other packages are not ours to check; ours are checked by the test below.
      skipLibCheck: true,
      types: [],
      rootDir: ".",
      outDir: "out"
    },
    files
  })

const tsc = join(root, "node_modules/typescript/bin/tsc")
let project = ""
let readme = ""
let exported: ReadonlyArray<string> = []

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "perdure-package-"))
  // The last line of `npm pack` is the tarball's name; before it is what the build says.
  const packed = await succeed(root, "npm", "pack", "--pack-destination", project, "--loglevel", "error")
  const tarball = packed.trim().split("\n").at(-1) ?? ""
  await writeFile(join(project, "package.json"), JSON.stringify({ name: "stranger", private: true, type: "module" }))
  readme = await readFile(join(root, "README.md"), "utf8")
  // What the README says to install, with the tarball for what it calls `perdure`.
  const [, others = ""] = /^npm install perdure ([^#\n]*)/m.exec(readme) ?? []
  const packages = [join(project, tarball), ...others.trim().split(" ")]
  await succeed(project, "npm", "install", ...packages, "--prefer-offline", "--no-audit", "--no-fund")
  await cp(join(root, "test/package"), project, { recursive: true })
  const manifest = JSON.parse(await readFile(join(project, "node_modules/perdure/package.json"), "utf8"))
  exported = Object.keys(manifest.exports).filter((path) => path !== "./package.json")
}, 600_000)

afterAll(() => rm(project, { recursive: true, force: true }))

const compile = async (name: string, text: string): Promise<Ran> => {
  await writeFile(join(project, `${name}.json`), text)
  return run(project, process.execPath, tsc, "-p", `${name}.json`)
}

describe("the packed package", { timeout: 300_000 }, () => {
  it("type-checks a hello agent under strict settings, and it runs", async () => {
    const { code, out } = await compile("hello", tsconfig("NodeNext", ["hello.ts"]))
    assert.strictEqual(code, 0, out)
    assert.strictEqual((await succeed(project, process.execPath, "out/hello.js")).trim(), "It is 21C.")
    // The session is in the store: a second run answers the same message from the journal, without a turn.
    assert.strictEqual((await succeed(project, process.execPath, "out/hello.js")).trim(), "It is 21C.")
  })

  it("the README's first program type-checks as printed, with the settings it names, and without a key says so", async () => {
    const [, program = ""] = /```ts\n(.*?)```/s.exec(readme) ?? []
    await writeFile(join(project, "readme.ts"), program)
    const compilerOptions = { strict: true, module: "NodeNext", target: "ES2022", skipLibCheck: true, outDir: "out" }
    const { code, out } = await compile("readme", JSON.stringify({ compilerOptions, files: ["readme.ts"] }))
    assert.strictEqual(code, 0, out)
    const ran = await run(project, process.execPath, "out/readme.js")
    assert.notStrictEqual(ran.code, 0)
    assert.include(ran.out, "Missing data at ANTHROPIC_API_KEY")
  })

  it("type-checks for bundlers too", async () => {
    const { code, out } = await compile("bundler", tsconfig("Bundler", ["hello.ts"]))
    assert.strictEqual(code, 0, out)
  })

  it("refuses what cannot work: a missing handler or model, one id for another", async () => {
    const { code, out } = await compile("types", tsconfig("NodeNext", ["types.ts"]))
    assert.strictEqual(code, 0, out)
  })

  it("its own declarations are sound, without skipLibCheck", async () => {
    const all = exported.map((path, i) => `export * as m${i} from "perdure${path.slice(1)}"`).join("\n")
    await writeFile(join(project, "all.ts"), all)
    const config = JSON.parse(tsconfig("NodeNext", ["all.ts"]))
    config.compilerOptions.skipLibCheck = false
    // Declarations of Node are what a user of Node has.
    config.compilerOptions.types = ["node"]
    config.compilerOptions.typeRoots = [join(root, "node_modules/@types")]
    const { out } = await compile("all", JSON.stringify(config))
    const ours = out.split("\n").filter((line) => line.includes("node_modules/perdure/") || line.startsWith("all.ts"))
    assert.deepStrictEqual(ours, [])
  })

  it("every exported room can be imported", async () => {
    const source = exported.map((path) => `await import("perdure${path.slice(1)}")`).join("\n")
    await writeFile(join(project, "rooms.mjs"), source)
    await succeed(project, process.execPath, "rooms.mjs")
  })

  it("exports every room but the command line, and nothing that is internal", async () => {
    const rooms = (await readdir(join(root, "src"), { withFileTypes: true })).filter((entry) => entry.isDirectory())
    assert.sameMembers(
      exported.filter((path) => path !== "."),
      rooms.flatMap(({ name }) => (name === "cli" ? [] : [`./${name}`]))
    )
    for (const path of ["store/internal/Queries", "store/internal/Queries.js", "store/Store.js", "dist/index.js"]) {
      const source = `import("perdure/${path}").then(() => "imported", (error) => error.code).then(console.log)`
      const out = await succeed(project, process.execPath, "--input-type=module", "--eval", source)
      assert.strictEqual(out.trim(), "ERR_PACKAGE_PATH_NOT_EXPORTED", path)
    }
  })

  it("brings one instance of effect and of each of its packages", async () => {
    const lock = JSON.parse(await readFile(join(project, "node_modules/.package-lock.json"), "utf8"))
    const names = Object.keys(lock.packages)
      .map((path) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length))
      .filter((name) => name === "effect" || name.startsWith("@effect/"))
    assert.include(names, "effect")
    assert.strictEqual(new Set(names).size, names.length, names.join(" "))
  })

  it("holds the program, its sources and its licence, and nothing else", async () => {
    const held = await readdir(join(project, "node_modules/perdure"))
    assert.sameMembers(
      held.filter((name) => name !== "README.md"),
      ["LICENSE", "dist", "package.json", "src"]
    )
  })

  it("its command is there and says what it can", async () => {
    const bin = join(project, "node_modules/.bin/perdure")
    assert.isTrue((await stat(bin)).isFile())
    assert.include(await succeed(project, bin, "--help"), "perdure")
  })
})
