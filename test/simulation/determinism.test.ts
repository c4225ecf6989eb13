/** The same seed is the same run: everything that the simulator says can be seen again rests on this. */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Simulation } from "../../src/testing/index.ts"
import { given, nature } from "./agents.ts"
import { mixed } from "./features.ts"

const main = fileURLToPath(new URL("./main.ts", import.meta.url))
const base = "same"
const seeds = [0, 1, 2].map((n) => `${base}/${n}`)

/** `mixed, seed same/0: 0123456789abcdef, …` */
const elsewhere = (): ReadonlyArray<string> => {
  const args = ["--workload", "mixed", "--seed", base, "--seeds", String(seeds.length), "--list"]
  const { stdout } = spawnSync(process.execPath, ["--import", "tsx", main, ...args], { encoding: "utf8" })
  return [...stdout.matchAll(/: ([0-9a-f]{16}),/g)].map((match) => match[1]!)
}

describe("determinism", { retry: 0 }, () => {
  it.effect(
    "the same seed gives the same trace in this process, again in it, and in another one",
    () =>
      Effect.gen(function* () {
        const run = (seed: string) => Simulation.run({ ...given, repeatable: nature, workload: mixed, seed })
        const first = yield* Effect.forEach(seeds, run)
        const again = yield* Effect.forEach(seeds, run)
        const hashes = first.map(({ hash }) => hash)
        assert.deepStrictEqual(
          again.map(({ hash }) => hash),
          hashes
        )
        assert.strictEqual(new Set(hashes).size, seeds.length, "other seeds are other runs")
        assert.deepStrictEqual(elsewhere(), hashes)
      }),
    60_000
  )
})
