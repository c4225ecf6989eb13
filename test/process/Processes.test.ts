/** What a process is given and what comes back from it, on each backend. */
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Fiber, Ref, type Scope, Stream } from "effect"
import { Processes, type RunOptions, type Spawn } from "../../src/process/index.ts"
import { machines } from "./suites.ts"

const directory = mkdtempSync(join(tmpdir(), "perdure-process-"))

setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

/** Bytes that are really held, garbage aside. */
const kept = () => {
  collect()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}

for (const machine of machines) {
  const layer = Processes.layerWith(machine.options)
  const run = (spawn: Spawn, options?: RunOptions) => Effect.flatMap(Processes, (_) => _.run(spawn, options))
  const live = <E>(name: string, body: Effect.Effect<void, E, Processes | Scope.Scope>) =>
    it.live(name, () => body.pipe(Effect.scoped, Effect.provide(layer)))

  describe.skipIf(!machine.supported)(`processes (${machine.name})`, () => {
    live(
      "the code of a command and the signal that ended it are told apart",
      Effect.gen(function* () {
        const sh = (script: string) => run({ command: "sh", args: ["-c", script] })
        expect((yield* sh("exit 0")).exit).toEqual({ code: 0, signal: null })
        expect((yield* sh("exit 7")).exit).toEqual({ code: 7, signal: null })
        expect((yield* sh("exit 137")).exit).toEqual({ code: 137, signal: null })
        expect((yield* sh("kill -KILL $$")).exit).toEqual({ code: null, signal: "SIGKILL" })
        expect((yield* sh("kill -TERM $$")).exit).toEqual({ code: null, signal: "SIGTERM" })
      })
    )

    live(
      "arguments, directory and both outputs arrive as they are",
      Effect.gen(function* () {
        const args = ["-c", 'printf "%s|" "$@"; pwd; printf "\\377" >&2', "sh", "a b", "", "--", "é\n", "-n"]
        const { stderr, stdout } = yield* run({ command: "sh", args, cwd: directory })
        expect(stdout.text).toBe(`a b||--|é\n|-n|${directory}\n`)
        expect([...stderr.head]).toEqual([255])
      })
    )

    live(
      "the user stays who the runner is",
      Effect.gen(function* () {
        const { stdout } = yield* run({ command: "id", args: ["-u"] })
        expect(stdout.text).toBe(`${process.getuid!()}\n`)
      })
    )

    live(
      "I12: the environment is empty but for grants and the marker",
      Effect.gen(function* () {
        process.env["CANARY_API_KEY"] = "canary"
        process.env["GRANTED_BY_NAME"] = "by name"
        const bare = yield* run({ command: "env", inherit: [] })
        expect(bare.stdout.text).toMatch(/^PERDURE_STEP=[^\n]+\n$/)
        const granted = yield* run({ command: "env", env: { A: "1" }, inherit: ["GRANTED_BY_NAME", "NOT_SET"] })
        expect(granted.stdout.text.trim().split("\n").sort()).toEqual([
          "A=1",
          "GRANTED_BY_NAME=by name",
          expect.stringMatching(/^PERDURE_STEP=/)
        ])
        const usual = yield* run({ command: "env" })
        expect(usual.stdout.text).toContain(`PATH=${process.env["PATH"]}\n`)
        expect(usual.stdout.text).not.toContain("canary")
      })
    )

    live(
      "stdin is empty when none is given",
      Effect.gen(function* () {
        const { exit, stdout } = yield* run({ command: "cat", timeout: "5 seconds" })
        expect({ exit, text: stdout.text }).toEqual({ exit: { code: 0, signal: null }, text: "" })
      })
    )

    live(
      "stdin takes text, bytes and streams, and is closed behind them",
      Effect.gen(function* () {
        expect((yield* run({ command: "cat", stdin: "héllo" })).stdout.text).toBe("héllo")
        expect([...(yield* run({ command: "cat", stdin: Uint8Array.of(0, 255) })).stdout.head]).toEqual([0, 255])
        const chunk = new Uint8Array(64 * 1024).fill(7)
        const stdin = Stream.take(Stream.repeatValue(chunk), 80)
        expect((yield* run({ command: "wc", args: ["-c"], stdin })).stdout.text.trim()).toBe(String(80 * 64 * 1024))
      })
    )

    live(
      "a command that does not read its stdin is none the worse for it",
      Effect.gen(function* () {
        const stdin = Stream.repeatValue(new Uint8Array(64 * 1024))
        expect((yield* run({ command: "sh", args: ["-c", "exit 4"], stdin })).exit.code).toBe(4)
      })
    )

    live(
      "a conversation: stdin stays open, is written to and closed, and refuses more",
      Effect.gen(function* () {
        const processes = yield* Processes
        const cat = yield* processes.start({ command: "cat", stdin: "one\n", keepStdinOpen: true })
        const line = Stream.runHead(Stream.decodeText(cat.stdout))
        expect(yield* line).toMatchObject({ value: "one\n" })
        yield* cat.write("two\n")
        expect(yield* line).toMatchObject({ value: "two\n" })
        yield* cat.closeStdin
        yield* cat.closeStdin
        expect(yield* cat.exit).toEqual({ code: 0, signal: null })
        expect(yield* Effect.flip(cat.write("three\n"))).toMatchObject({ _tag: "StdinClosed" })
      })
    )

    live(
      "writing to a process that was given no open stdin is refused",
      Effect.gen(function* () {
        const processes = yield* Processes
        const cat = yield* processes.start({ command: "sleep", args: ["1000"] })
        expect(yield* Effect.flip(cat.write("x"))).toMatchObject({ _tag: "StdinClosed", command: "sleep" })
      })
    )

    live(
      "I11: 50 MB of output pass through in little memory, head and tail are kept",
      Effect.gen(function* () {
        const before = kept()
        let peak = 0
        let chunks = 0
        const seen = yield* Ref.make(0)
        const { stdout } = yield* run(
          { command: "sh", args: ["-c", "echo first; head -c 50000000 /dev/zero; echo last"] },
          {
            maxOutputBytes: 1024,
            onOutput: (_, chunk) => {
              if (++chunks % 100 === 0) peak = Math.max(peak, kept() - before)
              return Ref.update(seen, (n) => n + chunk.length)
            }
          }
        )
        expect(yield* seen).toBe(50_000_011)
        expect(stdout).toMatchObject({ bytes: 50_000_011, truncated: true })
        expect(stdout.head.length + stdout.tail.length).toBe(1024)
        expect(stdout.text).toMatch(/^first\n\0+\n… 49998987 bytes left out …\n\0+last\n$/)
        expect(chunks).toBeGreaterThan(100)
        expect(peak).toBeLessThan(10_000_000)
      })
    )

    live(
      "a slow reader slows the process down",
      Effect.gen(function* () {
        const held = yield* Deferred.make<void>()
        const met = yield* Deferred.make<void>()
        const done = join(directory, `done-${machine.name.replaceAll(/\W/g, "")}`)
        const fiber = yield* Effect.fork(
          run(
            { command: "sh", args: ["-c", 'head -c 5000000 /dev/zero; echo written > "$DONE"'], env: { DONE: done } },
            { onOutput: () => Effect.zipRight(Deferred.succeed(met, undefined), Deferred.await(held)) }
          )
        )
        yield* Deferred.await(met)
        // Far longer than writing 5 MB takes when somebody reads.
        yield* Effect.sleep("300 millis")
        expect((yield* run({ command: "test", args: ["-e", done] })).exit.code).toBe(1)
        yield* Deferred.succeed(held, undefined)
        expect((yield* Fiber.join(fiber)).stdout.bytes).toBe(5_000_000)
        expect((yield* run({ command: "test", args: ["-e", done] })).exit.code).toBe(0)
      })
    )

    live(
      "output that was written before the end is there after it, however late it is read",
      Effect.gen(function* () {
        const processes = yield* Processes
        const running = yield* processes.start({ command: "sh", args: ["-c", "echo out; echo err >&2"] })
        yield* running.exit
        yield* running.stop
        const text = (stream: typeof running.stdout) => Stream.mkString(Stream.decodeText(stream))
        expect([yield* text(running.stdout), yield* text(running.stderr)]).toEqual(["out\n", "err\n"])
      })
    )

    live(
      "a stream that is read in parts goes on where it stopped",
      Effect.gen(function* () {
        const processes = yield* Processes
        const running = yield* processes.start({
          command: "sh",
          args: ["-c", "echo a; read x; echo b"],
          keepStdinOpen: true
        })
        expect(yield* Stream.runHead(Stream.decodeText(running.stdout))).toMatchObject({ value: "a\n" })
        yield* running.write("\n")
        expect(Chunk.toArray(yield* Stream.runCollect(Stream.decodeText(running.stdout))).join("")).toBe("b\n")
      })
    )

    live(
      "an unknown command, and one that is found nowhere on the PATH that was granted",
      Effect.gen(function* () {
        for (const spawn of [
          { command: "no-such-command" },
          { command: "./no/such" },
          { command: "" },
          { command: "env", env: { PATH: "/nowhere" } }
        ]) {
          expect(yield* Effect.flip(run(spawn))).toMatchObject({
            _tag: "NotFound",
            what: "command",
            path: spawn.command
          })
        }
      })
    )

    live(
      "a working directory that is missing, or is a file",
      Effect.gen(function* () {
        const file = join(directory, "file")
        writeFileSync(file, "")
        const missing = yield* Effect.flip(run({ command: "true", cwd: join(directory, "missing") }))
        expect(missing).toMatchObject({ _tag: "NotFound", what: "directory", path: join(directory, "missing") })
        expect(yield* Effect.flip(run({ command: "true", cwd: file }))).toMatchObject({ _tag: "NotPermitted" })
      })
    )

    live(
      "I12: what may not be executed is refused, and no message quotes an argument",
      Effect.gen(function* () {
        writeFileSync(join(directory, "plain"), "", { mode: 0o644 })
        const plain = yield* Effect.flip(run({ command: "./plain", cwd: directory }))
        expect(plain).toMatchObject({ _tag: "NotPermitted", what: "command", path: "./plain" })
        const nul = yield* Effect.flip(run({ command: "echo", args: ["secret\0"] }))
        const long = yield* Effect.flip(run({ command: "echo", args: ["secret".repeat(50_000)] }))
        expect([nul._tag, long._tag]).toEqual(["SpawnFailed", "SpawnFailed"])
        expect(long).toMatchObject({ code: "E2BIG" })
        expect(JSON.stringify([nul, long]) + nul.message + long.message).not.toContain("secret")
      })
    )

    live(
      "many at once each get their own output",
      Effect.gen(function* () {
        const texts = yield* Effect.forEach(
          Array.from({ length: 12 }, (_, i) => i),
          (i) => Effect.map(run({ command: "echo", args: [String(i)] }), ({ stdout }) => stdout.text),
          { concurrency: "unbounded" }
        )
        expect(texts).toEqual(texts.map((_, i) => `${i}\n`))
      })
    )
  })
}
