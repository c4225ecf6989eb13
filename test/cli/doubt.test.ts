/** Steps in doubt over the command line (I5). */
import { afterAll, assert, describe, it } from "vitest"
import { fixture, perdure, start, temporary } from "./perdure.ts"

const { done, path: directory } = temporary()
afterAll(done)

const often = { ms: 100, times: 300 }

/** Asks until the answer holds the text. */
const until = async (text: string, ...args: ReadonlyArray<string>) => {
  for (let i = 0; i < often.times; i++) {
    const { stdout } = await perdure(args)
    if (stdout.includes(text)) return stdout
    await new Promise((resolve) => setTimeout(resolve, often.ms))
  }
  return assert.fail(`${args.join(" ")} never says ${text}`)
}

describe("a call in doubt, over the command line", () => {
  it("is listed as paused, shown by trace, and settled once", async () => {
    const at = ["-d", directory]
    const module = fixture("cli/careful.ts")
    const first = start(["serve", module, ...at])
    await first.says("serving")
    const sent = await perdure(["send", "s", "-m", "Book it.", "--agent", "careful", ...at])
    assert.strictEqual(sent.code, 0, sent.stderr)
    await until("book", "trace", "s", ...at)
    first.child.kill("SIGKILL")
    await first.ended

    const second = start(["serve", module, ...at])
    await second.says("serving")
    await until("paused", "ls", "--status", "paused", ...at)
    const traced = await until("doubt", "trace", "s", ...at)
    assert.match(traced, /Settle it: happened/)
    assert.match(traced, /attempt 2 +waits for somebody: perdure settle s 2 /)
    assert.notInclude(traced, "due ")
    const nothing = await perdure(["discard", "s", "--step", "9", ...at])
    assert.strictEqual(nothing.code, 2)
    assert.include(nothing.stderr, "nothing to decide")
    const wrong = await perdure(["settle", "s", "2", "happened", "--result", "{nonsense", ...at])
    assert.strictEqual(wrong.code, 2)
    const other = await perdure(["settle", "s", "2", "happened", "--result", "42", ...at])
    assert.strictEqual(other.code, 2)
    assert.include(other.stderr, "never returns that")
    const settled = await perdure(["settle", "s", "2", "happened", "--result", '"b-17"', ...at])
    assert.strictEqual(settled.code, 0, settled.stderr)
    assert.include(await until("completed", "trace", "s", ...at), "settled: it happened")
    assert.include((await perdure(["tail", "s", "--no-follow", ...at])).stdout, "b-17")
    const late = await perdure(["settle", "s", "2", "retry", ...at])
    assert.strictEqual(late.code, 2)
    assert.include(late.stderr, "not in doubt")
    const revived = await perdure(["revive", "s", "--json", ...at])
    assert.strictEqual(revived.code, 0, revived.stderr)
    second.child.kill("SIGTERM")
    await second.ended
  }, 180_000)
})
