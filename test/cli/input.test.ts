/** What can be wrong with a command line: each a line that says what, why and what to do, and an exit code (I13). */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import Database from "libsql"
import { afterAll, assert, describe, it } from "vitest"
import { fixture, type Options, perdure, type Ran, start, temporary } from "./perdure.ts"

const weather = fixture("cli/weather.ts")
const { done, path: directory } = temporary()
afterAll(done)

const write = (name: string, text: string): string => {
  const file = join(directory, name)
  writeFileSync(file, text)
  return file
}

const at = ["--directory", join(directory, "store")]
const run = (module: string, ...rest: ReadonlyArray<string>) => ["run", module, "-s", "s1", ...rest, ...at]

/** As people see it, and as programs do: one run each way would cost twice, so all of it is asked as JSON. */
const refused = async (args: ReadonlyArray<string>, code: number, error: string, says: RegExp, options?: Options) => {
  const ran: Ran = await perdure([...args, "--json"], options)
  assert.strictEqual(ran.code, code, ran.stderr + ran.stdout)
  const problem = JSON.parse(ran.stderr)
  assert.strictEqual(problem.type, "error")
  assert.strictEqual(problem.exitCode, code)
  assert.strictEqual(problem.error, error)
  assert.match(problem.message, says)
  assert.strictEqual(ran.stdout, "")
}

describe("bad input", { timeout: 120_000 }, () => {
  it("a module that is not there, does not parse, throws, exports no agent or several", async () => {
    const broken = write("broken.ts", "export const a = ;")
    const throws = write("throws.mjs", 'throw new Error("boom")')
    const empty = write("empty.mjs", "export const something = 1")
    const imports = write("imports.mjs", 'import "not-installed-anywhere"')
    await Promise.all([
      refused(run(join(directory, "nope.ts"), "-m", "x"), 2, "ModuleNotFound", /there is no module .*nope\.ts: give/),
      refused(run(broken, "-m", "x"), 2, "ModuleBroken", /does not parse/),
      refused(run(throws, "-m", "x"), 2, "ModuleBroken", /throws when it is loaded: boom/)
    ])
    await Promise.all([
      refused(run(imports, "-m", "x"), 2, "ModuleBroken", /not-installed-anywhere.*install it/),
      refused(run(empty, "-m", "x"), 2, "ModuleWithoutAgent", /exports no agent \(it exports something\)/),
      refused(run(fixture("cli/several.ts"), "-m", "x"), 2, "AgentNotNamed", /name one of them with --agent: one, two/)
    ])
  })

  it("an unknown agent, a layer that lacks something, a key that is not set (I12)", async () => {
    await Promise.all([
      refused(
        run(weather, "-m", "x", "--agent", "wether"),
        2,
        "AgentNotInModule",
        /no agent "wether".*exports weather/
      ),
      refused(
        run(fixture("cli/several.ts"), "-m", "x", "--agent", "one"),
        2,
        "LayerFailed",
        /agent "one" lacks a language model/
      ),
      refused(run(fixture("cli/keyless.ts"), "-m", "x"), 2, "LayerFailed", /NO_SUCH_API_KEY is not set/)
    ])
  })

  it("usage: what is missing or unknown, on stderr, in a line", async () => {
    const [missing, unknown, both] = await Promise.all([
      perdure(["run", weather, "-m", "x", ...at]),
      perdure(["lss", ...at]),
      perdure(run(weather, "-m", "x", "--parts", '"x"'))
    ])
    assert.deepStrictEqual([missing.code, unknown.code, both.code], [2, 2, 2])
    assert.match(missing.stderr, /^perdure: .*--session.*\n$/)
    assert.match(unknown.stderr, /^perdure: .*\n$/)
    assert.include(both.stderr, "not both")
  })

  it("broken JSON, JSON that is no message, an id or namespace that is none, a cursor that is none", async () => {
    await Promise.all([
      refused(run(weather, "--parts", '[{"type":'), 2, "BadArgument", /--parts: it is not JSON/),
      refused(run(weather, "--parts", '{"text":1}'), 2, "BadArgument", /--parts: it is no message/),
      refused(["run", weather, "-s", "a b", "-m", "x", ...at], 2, "InvalidInput", /session id "a b" is not valid/)
    ])
    await Promise.all([
      refused(run(weather, "-m", "x", "--namespace", "UP"), 2, "BadArgument", /--namespace: .*lower-case/),
      refused(["tail", "s1", "--after", "x", ...at], 2, "InvalidCursor", /"x" is not a cursor/),
      refused(run(weather, "-m", ""), 2, "InvalidInput", /message: it is empty/)
    ])
  })

  it("an oversized message is refused, and nothing of it is journaled", async () => {
    const text = "x".repeat(9 * 2 ** 20)
    await refused(run(weather, "-m", "-"), 2, "MessageTooLarge", /the limit is 8388608/, { stdin: text })
    const exported = await perdure(["export", "s1", ...at])
    assert.deepStrictEqual(
      exported.json().map(({ entry }) => entry._tag),
      ["SessionCreated"]
    )
    await refused(["trace", "nobody", ...at], 5, "SessionNotFound", /there is no session default\/nobody/)
    await refused(["run", weather, "-s", "nobody", ...at], 5, "SessionNotFound", /no session default\/nobody/)
  })

  it("a store of a newer version, no store, a file that is none", async () => {
    const newer = join(directory, "newer")
    mkdirSync(newer)
    const made = await perdure(["run", weather, "-s", "s1", "-m", "x", "--directory", newer])
    assert.strictEqual(made.code, 0, made.stderr)
    const database = new Database(join(newer, "perdure.db"))
    database.exec("INSERT INTO perdure_migrations (version, name) VALUES (999, 'from the future')")
    database.close()
    const garbage = join(directory, "garbage")
    mkdirSync(garbage)
    writeFileSync(join(garbage, "perdure.db"), "this is not a database, and long enough to be read as one".repeat(40))
    await Promise.all([
      refused(["run", weather, "-s", "s1", "-m", "x", "--directory", newer], 3, "StoreUnusable", /999/),
      refused(["ls", "--directory", newer], 3, "StoreUnusable", /999/),
      refused(["ls", "--directory", join(directory, "nowhere")], 3, "StoreUnusable", /there is no store in/)
    ])
    const ran = await perdure(["ls", "--directory", garbage])
    assert.strictEqual(ran.code, 3, ran.stderr)
  })

  it("no Postgres, a URL that is none; the password is never shown (I12)", async () => {
    const url = "postgres://somebody:c4n4ry-p4ss@127.0.0.1:9/none"
    await refused(["ls", "--database", url], 3, "StoreUnavailable", /127\.0\.0\.1:9\/none/)
    const ran = await perdure(["run", weather, "-s", "s1", "-m", "x", "--debug"], {
      env: { PERDURE_DATABASE_URL: url }
    })
    assert.strictEqual(ran.code, 3, ran.stderr)
    assert.notInclude(ran.stderr + ran.stdout, "c4n4ry")
    await refused(["ls", "--database", "mysql://c4n4ry@x/y"], 3, "StoreUnusable", /not one of Postgres/)
  })

  it("a setting that is none: its name, what is wrong, and the form that is wanted", async () => {
    await Promise.all([
      refused(run(weather, "-m", "x"), 2, "SettingInvalid", /^PERDURE_POOLS: "heavy" is no pool: write name=slots/, {
        env: { PERDURE_POOLS: "heavy" }
      }),
      refused(run(weather, "-m", "x"), 2, "SettingInvalid", /^PERDURE_TAGS: "a\/b" is no tag: use 1 to 32 letters/, {
        env: { PERDURE_TAGS: "a/b" }
      })
    ])
  })

  it("a directory that another process holds is refused where it cannot be asked", async () => {
    const held = join(directory, "held")
    mkdirSync(held)
    const lock = new Database(join(held, "perdure.lock"))
    lock.exec("BEGIN EXCLUSIVE")
    await refused(["run", weather, "-s", "s1", "-m", "x", "--directory", held], 3, "DirectoryInUse", /is in use/)
    lock.close()
  })

  it("a reader that goes away ends it quietly: export | head", async () => {
    const made = await perdure(["run", fixture("ticker.ts"), "-s", "long", "-m", "120 0 tick", ...at], {
      env: { WITNESS: join(directory, "witness.log") }
    })
    assert.strictEqual(made.code, 0, made.stderr)
    const exported = start(["export", "long", ...at])
    exported.child.stdout!.once("data", () => exported.child.stdout!.destroy())
    const ran = await exported.ended
    assert.strictEqual(ran.code, 0, ran.stderr)
    assert.strictEqual(ran.stderr, "")
  })
})
