import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/globalSetup.ts"],
    // A process each: tests open databases, hold locks and end processes.
    pool: "forks",
    // A simulated run leaves much behind that nobody needs: with more room for the young, little of it grows old.
    poolOptions: { forks: { execArgv: ["--max-semi-space-size=64"] } },
    // Machines are shared and noisy, and many tests are about real processes: what fails twice has failed.
    retry: 1,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000
  }
})
