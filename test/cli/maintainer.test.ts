/** The main job, as a stranger starts it: in a directory that is no repository, into a pipe, twice in a row. */
import { execFile } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { afterAll, assert, describe, it } from "vitest"
import * as Proof from "../../examples/maintainer/proof.ts"
import { temporary } from "./perdure.ts"

const main = fileURLToPath(new URL("../../examples/maintainer/main.ts", import.meta.url))
const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href
const { done, path: directory } = temporary()
afterAll(done)

/** Without keys: the script speaks. */
const { ANTHROPIC_API_KEY: _, OPENAI_API_KEY: __, ...env } = process.env

const job = (
  ...args: ReadonlyArray<string>
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, ["--import", loader, main, ...args], { cwd: directory, env }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, err })
    )
  })

describe("the main job", { timeout: 180_000 }, () => {
  it("survives kill -9 in the middle of a tool, and proves it", async () => {
    const target = join(directory, "target")
    mkdirSync(target)
    writeFileSync(join(target, "README.md"), "# A small thing\n\nTODO: grow\n")
    symlinkSync("/", join(target, "everything"))
    const { code, err, out } = await job(target)
    assert.strictEqual(code, 0, out + err)
    assert.match(out.split("\n")[0]!, /no ANTHROPIC_API_KEY or OPENAI_API_KEY: a scripted model/)
    assert.match(out, /kill -9 \d+ {2}the runner, in the middle of run_command/)
    assert.match(out, /run_command .* in doubt/)
    assert.include(out, "It holds.")
    assert.notInclude(out, "\u001b")
    assert.strictEqual(out.split("I begin with what is here.").length, 2)
    // What it looked at is as it was.
    assert.sameMembers(readdirSync(target), ["README.md", "everything"])
  })

  it("works again where it has worked before, beside what it left", async () => {
    const { code, err, out } = await job(join(directory, "target"))
    assert.strictEqual(code, 0, out + err)
    assert.strictEqual(readdirSync(join(directory, ".perdure/maintainer/workspaces")).length, 2)
  })

  it("says so where there is no such directory", async () => {
    const { code, err } = await job(join(directory, "nowhere"))
    assert.strictEqual(code, 2)
    assert.match(err, /nowhere is no directory that can be read/)
    assert.isFalse(existsSync(join(directory, "nowhere")))
  })

  it("its proof fails for each thing that it claims", () => {
    const at = (seq: number, entry: object) => ({ seq, epoch: seq < 3 ? 1 : 2, at: seq, hash: "", entry }) as never
    const call = (step: string, name: string, params: object) => ({
      _tag: "StepIntended",
      step,
      turn: 1,
      kind: "tool",
      name,
      input: { callId: step, params },
      repeatable: "never"
    })
    const signed = (step: string) => ({ session: "s", step, tool: "t", attempt: 1, event: "begin", pid: 1 }) as const
    const sound: Proof.Evidence = {
      entries: [
        at(1, call("1", "run_command", {})),
        at(2, { _tag: "StepInDoubt", step: "1", attempt: 1 }),
        at(3, call("2", "write_report", { content: "R" })),
        at(4, { _tag: "StepSucceeded", step: "3", output: { parts: [{ type: "text", text: "said" }] } }),
        at(5, { _tag: "TurnEnded", turn: 1, outcome: { _tag: "Completed", output: "" } })
      ],
      problems: 0,
      witness: [signed("1"), signed("2")],
      printed: new Map([["3", "said"]]),
      killed: "1",
      left: 0,
      report: "R"
    }
    const broken = (change: Partial<Proof.Evidence>) =>
      Proof.find({ ...sound, ...change }).filter(({ holds }) => !holds).length
    assert.strictEqual(broken({}), 0)
    assert.isAbove(broken({ witness: [signed("1"), signed("2"), signed("2")] }), 0, "a call that ran twice")
    assert.isAbove(broken({ witness: [signed("1")] }), 0, "a call that never ran")
    assert.isAbove(broken({ witness: [...sound.witness, signed("9")] }), 0, "a call that is not in the journal")
    assert.isAbove(broken({ printed: new Map([["3", "saidsaid"]]) }), 0, "text that came twice")
    assert.isAbove(broken({ report: "RR" }), 0, "a report that was written twice")
    assert.isAbove(broken({ left: 1 }), 0, "a process that is left")
    assert.isAbove(broken({ problems: 1 }), 0, "a broken chain")
    assert.isAbove(broken({ killed: null }), 0, "no kill")
    assert.isAbove(broken({ entries: sound.entries.slice(0, 4) }), 0, "a turn that is not over")
    assert.isAbove(broken({ entries: sound.entries.filter((_, index) => index !== 1) }), 0, "a gap")
  })
})
