import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { describe, expect, it } from "vitest"

const execute = promisify(execFile)

/** Runs an example as a reader would, twice on the same directory: the second run finds what the first has done. */
const run = async (name: string) => {
  const directory = mkdtempSync(join(tmpdir(), "perdure-example-"))
  const once = async () =>
    (await execute(process.execPath, ["--import", "tsx", `examples/${name}.ts`, join(directory, "store")])).stdout
  try {
    return [await once(), await once()]
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const expected: Readonly<Record<string, string>> = {
  "01-hello": "Hello, Ada!\nYou said hello, Ada.\n",
  "02-tools": "Paris has 21C; you are booked on AF7.\ntokens: true\n",
  "03-feed": "Shall I compare thee to a summer's day?\n",
  "04-crash": "killed with -9\nPaid, and measured 42.\npaid 1 time\n",
  "05-testing": "crashes: 1, bookings: 1\nI do not know whether AF7 is booked.\nin doubt, and told so: 1\n",
  "06-policy": `RateLimited, attempt 1: Retry after 20 ms
RateLimited, attempt 2: Retry after 40 ms
RateLimited, attempt 3: Fallback to guest
Refused, attempt 1: Fallback to guest
Roses are red.
journal: RateLimited → retry, by patient
journal: Refused → fallback, by patient
`,
  "07-budget": "p1 waits, for want of budget\nBread is flour, salt, water and time.\n4 clerks, $1.80 in all\n"
}

describe("the examples do what they say, and say the same when run again", () => {
  for (const [name, output] of Object.entries(expected)) {
    it(name, { timeout: 120_000 }, async () => {
      expect(await run(name)).toEqual([output, output])
    })
  }
})
