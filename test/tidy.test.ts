/**
 * The house stays in order. Each rule of `test/tidy/rules.ts` is a test with its reason, and first shows on a planted
 * fault that it can fail.
 */
import { assert, describe, it } from "vitest"
import * as Rules from "./tidy/rules.ts"
import { load, parse, type Source } from "./tidy/tree.ts"

const sources = load()

/** Who may read clock, chance and surroundings by itself, and why. Everybody else asks Effect. */
const allowed: Rules.Allowed = {
  "src/client/Client.ts": { randomUUID: "an id of a command is unique over all processes; who replays names its own" },
  "src/process/internal/processes.ts": { randomBytes: "a marker decides what may be killed: nobody must guess it" },
  "src/process/internal/realTime.ts": {
    "performance.now": "OS processes live in real time, whatever clock the program has; this file is the one place",
    setTimeout: "the same"
  },
  "src/process/internal/resolve.ts": { "process.env": "a child's environment is empty but for grants, read here" },
  "src/process/internal/watchdog.ts": { "process.env": "a runner that is itself a child of one carries its marker on" },
  "src/runner/internal/handshake.ts": { randomBytes: "a handshake must not be foreseen; a simulator has no sockets" },
  "src/runner/Settings.ts": { randomBytes: "an incarnation is unique over all machines that ever had the address" },
  "src/testing/internal/sim/ambient.ts": {
    "Date.now": "it is what puts a simulated world's clock and chance in their place, and the machine's back",
    "Math.random": "the same"
  },
  "src/store/internal/turn.ts": {
    setImmediate: "synchronous SQLite starves timers otherwise; this is the one place"
  }
}

/** Files of more than 250 lines. This number only goes down. */
const longFilesMax = 10

const rule = (
  name: string,
  check: (sources: ReadonlyArray<Source>) => ReadonlyArray<string>,
  planted: Readonly<Record<string, string>>
) =>
  it(name, () => {
    const fault = Object.entries(planted).map(([path, text]) => parse(path, text))
    assert.isNotEmpty(check(fault), "the rule does not find its planted fault")
    const found = check(sources)
    if (found.length > 0) assert.fail(`${name}:\n  ${found.join("\n  ")}`)
  })

describe("structure", () => {
  rule("imports go down only, so that a room can be understood from below", Rules.importsGoDown, {
    "src/journal/Journal.ts": 'import { Blobs } from "../blob/Blobs.ts"'
  })
  rule("a room's internal/ is its own, so that it can change without asking", Rules.internalIsPrivate, {
    "src/session/Actor.ts": 'import { flush } from "../journal/internal/flush.ts"'
  })
  rule("no file imports itself by a detour: what is first when all wait for each other?", Rules.noCycles, {
    "src/feed/A.ts": 'import { b } from "./B.ts"',
    "src/feed/B.ts": 'import { a } from "./A.ts"'
  })
  rule("packages that are to be replaceable are one room's business", Rules.packagesHaveOwners, {
    "src/agent/Agent.ts": 'import { Sharding } from "@effect/cluster"'
  })
  rule("drivers of the store are chosen at the doors, nowhere below", Rules.driversAreChosenAtTheDoors, {
    "src/session/Actor.ts": 'import { Sqlite } from "../store/index.ts"'
  })
  rule(
    "models are called in model/ only, where calls are journaled, priced and scrubbed",
    Rules.modelsAreCalledInOneRoom,
    {
      "src/agent/Agent.ts": "LanguageModel.streamText({})"
    }
  )
  rule("every room has a tier, a README and an index: a stranger finds the way in", Rules.roomsAreKnown, {
    "src/shed/Tool.ts": "export const a = 1"
  })
  rule("nothing in src is unreachable: dead code is read, and believed", Rules.everythingIsReachable, {
    "src/feed/Orphan.ts": "export const a = 1"
  })
  rule("what is imported is declared for users, not only for us", Rules.importsAreDeclared, {
    "package.json": '{ "devDependencies": { "vitest": "1" } }',
    "src/testing/Helper.ts": 'import { expect } from "vitest"'
  })
  rule("every room is exported by its name, and nothing else is", Rules.roomsAreExported, {
    "package.json": '{ "exports": { "./*": "./dist/*/index.js" } }',
    "src/feed/A.ts": "export const a = 1"
  })
  rule("a URL of a file of ours survives the build", Rules.urlsSurviveTheBuild, {
    "src/process/Watch.ts": 'new URL("./internal/dog.ts", import.meta.url)'
  })
})

describe("code", () => {
  rule("what switches a check off has its reason beside it", Rules.exceptionsHaveReasons, {
    "src/feed/A.ts": "const a = 1 as any"
  })
  rule("clock, chance and surroundings come from Effect: a simulator replaces them", Rules.ambientIsAllowed(allowed), {
    "src/feed/A.ts": "const now = Date.now()"
  })
  it("an exception that nothing needs any more is removed", () => {
    const stale = Rules.staleAllowances({ "src/feed/A.ts": { "Date.now": "reason" } })
    assert.isNotEmpty(stale(sources))
    assert.deepStrictEqual(Rules.staleAllowances(allowed)(sources), [])
  })
  rule("every exported error has a docstring: an operator looks its name up", Rules.errorsAreDocumented, {
    "src/feed/A.ts": 'export class Lost extends Schema.TaggedError<Lost>()("Lost", {}) {}'
  })
  rule("every span has a docstring: dashboards are built on its name", Rules.spansAreDocumented, {
    "src/telemetry/Names.ts": 'export const SpanName = { append: "perdure.append" }'
  })
  rule("a file is one noun, 400 lines at most", Rules.filesAreShort, {
    "src/feed/A.ts": "\n".repeat(Rules.linesMax)
  })
  it("the number of files over 250 lines only goes down", () => {
    assert.isAtMost(Rules.longFiles(sources).length, longFilesMax, Rules.longFiles(sources).join("\n"))
  })
  rule("a room's README is a page", Rules.readmesAreAPage, { "src/feed/README.md": "\n".repeat(81) })
})

describe("repository", () => {
  rule("the lock works on every platform and with every registry", Rules.lockIsForEverybody, {
    "package-lock.json": '{ "packages": { "node_modules/a": { "optionalDependencies": { "a-linux": "1" } } } }'
  })
  rule("all tests run: none is skipped, none runs alone", Rules.testsAllRun, {
    "test/feed/A.test.ts": 'it.skip("later", () => {})'
  })
  rule("no text names a path of one machine", Rules.noMachinePaths, {
    "README.md": `see ${["", "home", "ada", "perdure"].join("/")}`
  })
})
