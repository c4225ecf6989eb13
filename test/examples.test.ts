import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"

/** Runs an example as a reader would, twice on the same directory: the second run finds what the first has done. */
const run = (name: string) => {
  const directory = mkdtempSync(join(tmpdir(), "perdure-example-"))
  try {
    const once = () =>
      execFileSync(process.execPath, ["--import", "tsx", `examples/${name}.ts`, join(directory, "store")], {
        encoding: "utf8",
        timeout: 30_000
      })
    return [once(), once()]
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const expected: Readonly<Record<string, string>> = {
  "01-hello": "Hello, Ada!\nYou said hello, Ada.\n",
  "02-tools": "Paris has 21C; you are booked on AF7.\ntokens: true\n",
  "03-feed": "Shall I compare thee to a summer's day?\n",
  "04-crash": "killed with -9\nPaid, and measured 42.\npaid 1 time\n"
}

describe("the examples do what they say, and say the same when run again", () => {
  for (const [name, output] of Object.entries(expected)) {
    it(name, () => {
      expect(run(name)).toEqual([output, output])
    })
  }
})
