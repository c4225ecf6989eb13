/** Budgets and pauses over the command line. */
import { afterAll, assert, describe, it } from "vitest"
import { fixture, perdure, start, temporary } from "./perdure.ts"

const { done, path: directory } = temporary()
afterAll(done)

describe("a session that has used up its budget, over the command line", () => {
  it("is listed as paused, goes on when it is raised or let, and a pause is decided once (I9)", async () => {
    const at = ["-d", directory]
    const module = fixture("cli/frugal.ts")
    const run = start(["run", module, "-s", "s", "-m", "Go", ...at])
    await run.says("paused (p1) for budget")
    const listed = await perdure(["ls", "--status", "paused", "--json", ...at])
    assert.deepStrictEqual(
      listed.json().map(({ session, status }) => [session, status]),
      [["s", "paused"]]
    )
    assert.include((await perdure(["trace", "s", ...at])).stdout, "paused")

    const nothing = await perdure(["raise", "s", ...at])
    assert.strictEqual(nothing.code, 2)
    assert.include(nothing.stderr, "they allow nothing")
    const less = await perdure(["raise", "s", "--usd", "-5", ...at])
    assert.strictEqual(less.code, 2)
    assert.include(less.stderr, "usd is to be a number from 0 on, not -5: a budget can only be raised")
    assert.notInclude(less.stderr, "Expected")
    const raised = await perdure(["raise", "s", "--model-calls", "1", "--id", "r1", "--json", ...at])
    assert.strictEqual(raised.code, 0, raised.stderr)
    await run.says("paused (p2) for budget")
    const late = await perdure(["decide", "s", "p1", "end", ...at])
    assert.strictEqual(late.code, 2)
    assert.include(late.stderr, "nothing to decide")
    const decided = await perdure(["decide", "s", "p2", "proceed", ...at])
    assert.strictEqual(decided.code, 0, decided.stderr)
    const { code, stdout } = await run.ended
    assert.strictEqual(code, 0)
    assert.strictEqual(stdout, "Seen.\n")
  }, 120_000)
})
