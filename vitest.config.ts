import { defineConfig } from "vitest/config"

/** Tests of how long something takes in real time: they run one after the other, when nothing else does. */
const alone = [
  "test/acceptance/cluster.test.ts",
  "test/acceptance/moving.test.ts",
  "test/acceptance/outage.test.ts",
  "test/acceptance/processes.test.ts",
  "test/chaos/**/*.test.ts",
  "test/process/**/*.test.ts",
  "test/runner/Watchdog.test.ts",
  "test/patterns/a02-*.test.ts",
  "test/patterns/a10-*.test.ts",
  "test/patterns/b02-*.test.ts"
]

export default defineConfig({
  test: {
    globalSetup: ["test/support/globalSetup.ts"],
    // A process each: tests open databases, hold locks and end processes.
    pool: "forks",
    // A simulated run leaves much behind that nobody needs: with more room for the young, little of it grows old.
    poolOptions: { forks: { execArgv: ["--max-semi-space-size=64"] } },
    minWorkers: 1,
    maxWorkers: 2,
    // Machines are shared and noisy, and many tests are about real processes: what fails twice has failed.
    retry: 1,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    projects: [
      { extends: true, test: { name: "together", include: ["test/**/*.test.ts"], exclude: alone } },
      {
        extends: true,
        test: {
          name: "alone",
          include: alone,
          sequence: { groupOrder: 1 },
          poolOptions: { forks: { singleFork: true } }
        }
      }
    ]
  }
})
