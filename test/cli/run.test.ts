/** One session over the command line, from its first message to its export: the processes are real. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { fixture, perdure, sourceFixture, start, temporary } from "./perdure.ts"

const module = fixture("cli/weather.ts")
const typescript = sourceFixture("cli/weather.ts")
const { done, path: directory } = temporary()
const witness = join(directory, "witness.log")
const env = { WITNESS: witness }
const at = ["--directory", join(directory, "store")]

afterAll(done)

const calls = (): number => readFileSync(witness, "utf8").trim().split("\n").length

describe("a session over the command line", { timeout: 120_000 }, () => {
  it("runs: the answer is on stdout and nothing else is, tools are on stderr", async () => {
    const args = ["run", typescript, "--session", "user-42", "--message", "Paris?", "--id", "m1", ...at]
    const ran = await perdure(args, { env, source: true })
    assert.strictEqual(ran.code, 0, ran.stderr)
    assert.strictEqual(ran.stdout, "Let me look.\nIt is 21C in Paris.\n")
    assert.match(ran.stderr, /get_weather \{"city":"Paris"\}[\s\S]*turn 1 completed · 3 steps/)
    assert.strictEqual(calls(), 1)
  })

  it("the same --id again shows the same turn and does nothing (I1)", async () => {
    const ran = await perdure(["run", typescript, "-s", "user-42", "-m", "Paris?", "--id", "m1", "--json", ...at], {
      env
    })
    assert.strictEqual(ran.code, 0, ran.stderr)
    const events = ran.json()
    assert.strictEqual(calls(), 1)
    const text = events.filter(({ type }) => type === "delta").map((event) => event.text)
    assert.deepStrictEqual(text, ["Let me look.", "It is 21C in Paris."])
    const entries = events.filter(({ type }) => type === "entry")
    assert.strictEqual(entries[0].entry._tag, "CommandAccepted")
    assert.strictEqual(entries.at(-1).entry._tag, "TurnEnded")
    for (const entry of entries) {
      assert.containsAllKeys(entry, ["cursor", "seq", "epoch", "at", "hash", "entry"])
    }
    const { cursor, outcome, session, turn, type } = events.at(-1)
    assert.deepStrictEqual([type, session, turn, outcome._tag], ["result", "user-42", 1, "Completed"])
    assert.strictEqual(cursor, entries.at(-1).cursor)
  })

  it("the same --id with another message is refused", async () => {
    const ran = await perdure(["run", module, "-s", "user-42", "-m", "Rome?", "--id", "m1", "--json", ...at])
    assert.strictEqual(ran.code, 2)
    assert.strictEqual(JSON.parse(ran.stderr).error, "CommandConflict")
  })

  it("without a message it says that there is nothing to go on with", async () => {
    const ran = await perdure(["run", module, "-s", "user-42", ...at])
    assert.strictEqual(ran.code, 0, ran.stderr)
    assert.include(ran.stderr, "rests after 1 turn")
    assert.strictEqual(ran.stdout, "")
  })

  it("killed with -9 in a tool, it goes on without a message: in doubt, not repeated (I5)", async () => {
    const first = start(["run", module, "-s", "killed", "-m", "Paris?", ...at], { env: { ...env, TOOL_MS: "60000" } })
    await first.says("looking at the sky")
    first.child.kill("SIGKILL")
    await first.ended
    const before = calls()
    const ran = await perdure(["run", module, "-s", "killed", ...at], { env })
    assert.strictEqual(ran.code, 0, ran.stderr)
    assert.include(ran.stderr, "in doubt")
    assert.strictEqual(ran.stdout, "Let me look.\nIt is 21C in Paris.\n")
    assert.strictEqual(calls(), before)
    const trace = await perdure(["trace", "killed", ...at])
    assert.match(trace.stdout, /tool +get_weather +in doubt[\s\S]*its runner died/)
  })

  it("says what it waits for, once, and that the answer was cut off", async () => {
    const patient = fixture("cli/patient.ts")
    const [plain, json] = await Promise.all([
      perdure(["run", patient, "-s", "p", "-m", "Go", "--directory", join(directory, "patient")]),
      perdure(["run", patient, "-s", "p", "-m", "Go", "--json", "--directory", join(directory, "patient-json")])
    ])
    assert.strictEqual(plain.code, 0, plain.stderr)
    assert.strictEqual(plain.stdout, "Once upon a\n")
    const said = plain.stderr.split("\n").filter((line) => line.includes("waits for"))
    assert.deepStrictEqual(said, [
      '… patient waits for the model "default": as many calls as its provider allows are out'
    ])
    assert.include(plain.stderr, "the answer was cut off: the model reached its limit of output. Allow it more")
    const events = json.json()
    const waiting = events.filter(({ type }) => type === "waiting")
    assert.deepStrictEqual(
      waiting.map(({ name, provider }) => [name, provider.reason]),
      [["patient", "limit"]]
    )
    assert.deepStrictEqual(events.at(-1).outcome, { _tag: "Completed", output: "Once upon a", cut: "length" })
    assert.strictEqual(json.stderr, "")
  })

  it("Ctrl-C stops in order, and says how to go on", async () => {
    const first = start(["run", module, "-s", "stopped", "-m", "Paris?", ...at], { env: { ...env, TOOL_MS: "60000" } })
    await first.says("looking at the sky")
    first.child.kill("SIGINT")
    const ran = await first.ended
    assert.strictEqual(ran.code, 130, ran.stderr)
    assert.include(ran.stderr, `goes on with: perdure run ${module} --session stopped`)
    const again = await perdure(["run", module, "-s", "stopped", "--json", ...at], { env })
    assert.strictEqual(again.code, 0, again.stderr)
    assert.strictEqual(again.json().at(-1).outcome._tag, "Completed")
  })

  it("ls, trace, tail and export read it without a runner", async () => {
    const [ls, filtered, trace, tail, from, exported] = await Promise.all([
      perdure(["ls", "--json", ...at]),
      perdure(["ls", "--json", "--status", "active", ...at]),
      perdure(["trace", "user-42", "--json", ...at]),
      perdure(["tail", "user-42", "--no-follow", ...at]),
      perdure(["tail", "user-42", "--no-follow", "--after", "9~3:6.0.0", "--json", ...at]),
      perdure(["export", "user-42", "--verify", ...at])
    ])
    const listed = ls.json().find(({ session }) => session === "user-42")
    const { agent, agentVersion, status, steps, turns, usd } = listed
    assert.deepStrictEqual([agent, agentVersion, status, steps, turns, usd], ["weather", "2", "resting", 3, 1, 0])
    assert.deepStrictEqual(filtered.json(), [])

    const [{ turns: traced, usage }] = trace.json()
    assert.deepStrictEqual(
      traced[0].steps.map((step: any) => [step.kind, step.name, step.outcome, step.attempts.length]),
      [
        ["model", "weather", "succeeded", 1],
        ["tool", "get_weather", "succeeded", 1],
        ["model", "weather", "succeeded", 1]
      ]
    )
    assert.isAtLeast(usage.outputTokens, 1)

    assert.strictEqual(tail.stdout, "Let me look.\nIt is 21C in Paris.\n")
    // A cursor in the middle of a text: the rest of it, once (I6).
    assert.strictEqual(from.json()[0].text, "21C in Paris.")

    assert.strictEqual(exported.code, 0, exported.stderr)
    assert.include(exported.stderr, "is whole")
    const rows = exported.json()
    assert.deepStrictEqual(
      rows.map(({ seq }) => seq),
      rows.map((_, index) => index + 1)
    )
    assert.containsAllKeys(rows[0], ["seq", "epoch", "at", "hash", "entry"])
  })

  it("NUL and lone surrogates go in by --parts and come out of export unharmed (I13)", async () => {
    const text = "a\u0000b\ud800c"
    const parts = JSON.stringify([{ type: "text", text }])
    const ran = await perdure(["run", module, "-s", "hostile", "--parts", "-", ...at], { env, stdin: parts })
    assert.strictEqual(ran.code, 0, ran.stderr)
    const exported = (await perdure(["export", "hostile", "--verify", ...at])).json()
    assert.strictEqual(exported[1].entry.command.parts[0].text, text)
  })

  it("serve hosts until SIGTERM; send, tail and interrupt reach it", async () => {
    const served = start(["serve", module, ...at], { env: { ...env, TOOL_MS: "60000" } })
    await served.says("serving weather")
    const sent = await perdure(["send", "remote", "--agent", "weather", "-m", "Paris?", "--id", "r1", "--json", ...at])
    assert.strictEqual(sent.code, 0, sent.stderr)
    assert.strictEqual(sent.json()[0].id, "r1")
    const tail = start(["tail", "remote", ...at])
    // Live: progress is nowhere but in the runner's memory.
    await tail.says("looking at the sky")
    // A second runner is not possible: the one that is up does the work.
    const run = start(["run", module, "-s", "remote", "-m", "Paris?", "--id", "r1", "--json", ...at])
    await run.says('"name":"get_weather"')
    const interrupted = await perdure(["interrupt", "remote", "--reason", "enough", ...at])
    assert.strictEqual(interrupted.code, 0, interrupted.stderr)
    const ran = await run.ended
    assert.strictEqual(ran.code, 1, ran.stderr)
    assert.deepStrictEqual(ran.json().at(-1).outcome, { _tag: "Interrupted", reason: "enough" })
    const cancelled = await perdure(["cancel", "remote", ...at])
    assert.strictEqual(cancelled.code, 0, cancelled.stderr)
    assert.strictEqual((await tail.ended).code, 0)
    served.child.kill("SIGTERM")
    assert.strictEqual((await served.ended).code, 0)
    const none = await perdure(["send", "remote", "-m", "hello", "--json", ...at])
    assert.strictEqual(none.code, 4)
    assert.include(JSON.parse(none.stderr).message, "perdure serve MODULE")
  })
})
