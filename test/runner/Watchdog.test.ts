import { spawn } from "node:child_process"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { RunnerSettings, Watchdog } from "../../src/runner/index.ts"
import { program } from "../support/compiled.ts"

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}

/** @param up what to do when the process says that it is up */
const run = (how: string, forMs: number, hangMs: number, up?: (pid: number) => void): Effect.Effect<Ended> =>
  Effect.async<Ended>((resume) => {
    const child = spawn(process.execPath, [program("test/fixtures/hung.ts")], {
      env: { ...process.env, HOW: how, FOR_MS: String(forMs), HANG_MS: String(hangMs) },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let out = ""
    let err = ""
    child.stdout.on("data", (data) => {
      const first = out === ""
      out += data
      if (first) up?.(child.pid!)
    })
    child.stderr.on("data", (data) => (err += data))
    child.once("close", (code, signal) => resume(Effect.succeed({ code, signal, out, err })))
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

const hangOf = (environment: Record<string, string>) => {
  const provider = ConfigProvider.fromMap(new Map(Object.entries(environment)), { pathDelim: "_" })
  const settings = RunnerSettings.layerConfig().pipe(Layer.provide(Layer.setConfigProvider(provider)))
  return Effect.map(RunnerSettings, Watchdog.hangMsOf).pipe(Effect.provide(settings))
}

describe("the watchdog", () => {
  it.live("ends a runner whose loop computes for too long, and says where", () =>
    Effect.gen(function* () {
      const ended = yield* run("computing", 60_000, 1000)
      expect(ended.code).toBe(Watchdog.exitCode)
      expect(ended.err).toMatch(/main loop .* has not turned for 1\.\d s \(in computesForTooLong \S*hung\.js:\d+/)
      expect(ended.out).toBe("up\n")
    })
  )

  it.live("kills one whose loop is blocked in a system call", () =>
    Effect.gen(function* () {
      const ended = yield* run("native", 20_000, 1000)
      expect([ended.code, ended.signal]).toEqual([null, "SIGKILL"])
      expect(ended.err).toContain("(in native code)")
    })
  )

  it.live("waits for one that is blocked for less, and keeps no process alive", () =>
    Effect.gen(function* () {
      const ended = yield* run("computing", 1000, 4000)
      expect(ended).toEqual({ code: 0, signal: null, out: "up\nwent on\n", err: "" })
    })
  )

  it.live("does not take a process that was stopped for one that hangs", () =>
    Effect.gen(function* () {
      const ended = yield* run("nothing", 0, 1000, (pid) => {
        process.kill(pid, "SIGSTOP")
        setTimeout(() => process.kill(pid, "SIGCONT"), 3000)
      })
      expect(ended).toEqual({ code: 0, signal: null, out: "up\nwent on\n", err: "" })
    })
  )

  it.effect("ends it a heartbeat before the others would take it for dead, unless told otherwise", () =>
    Effect.gen(function* () {
      expect(yield* hangOf({})).toBe(4500)
      expect(yield* hangOf({ PERDURE_HEARTBEAT: "1 second", PERDURE_HEARTBEAT_EXPIRY: "10 seconds" })).toBe(9000)
      expect(yield* hangOf({ PERDURE_HANG: "auto" })).toBe(4500)
      expect(yield* hangOf({ PERDURE_HANG: "off" })).toBe(null)
      expect(yield* hangOf({ PERDURE_HANG: "30 seconds" })).toBe(30_000)
      expect((yield* Effect.flip(hangOf({ PERDURE_HANG: "soon" }))).message).toBe(
        'PERDURE_HANG: "soon" is neither auto nor off nor a duration: write a number and a unit, e.g. "500 millis" or "5 seconds"'
      )
    })
  )
})
