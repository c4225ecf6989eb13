/**
 * A session over `perdure run`, killed with -9 at twenty random moments and started again each time, on both stores: each
 * call that may not be repeated runs once or is reported in doubt, never twice (I2, I5); seq has no gap (I4), the chain
 * holds. The witness is a log outside of the system.
 *
 * `KILL_SEED` repeats a run's moments, as far as time can be repeated.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Redacted, type Scope } from "effect"
import { SessionKey, type StepId } from "../../src/domain/Id.ts"
import { idempotencyKey } from "../../src/session/internal/attempt.ts"
import { fixture, perdure, type Running, start } from "../cli/perdure.ts"
import type { Line } from "../fixtures/ticker.ts"
import * as Postgres from "../support/Postgres.ts"

const kills = 20
/** More than twenty short lives can do. */
const calls = 160

const seed = Number(process.env["KILL_SEED"] ?? Math.floor(Math.random() * 2 ** 31))

/** mulberry32 */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

const witnessOf = (log: string): ReadonlyArray<Line> => {
  try {
    return readFileSync(log, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Line)
  } catch {
    return []
  }
}

/** Waits until this life has left its first line, or is over. */
const atWork = async (life: Running, log: string): Promise<void> => {
  let over = false
  void life.ended.then(() => {
    over = true
  })
  while (!over && !witnessOf(log).some(({ pid }) => pid === life.child.pid)) await pause(5)
}

const survive = async (name: string, where: ReadonlyArray<string>, env: Record<string, string>, log: string) => {
  const chance = random(seed ^ name.length)
  const module = fixture("ticker.ts")
  const again = ["run", module, "--session", "killed", ...where]
  const task = [...again, "--message", `${calls} 12 tick`, "--id", "task"]
  let early = 0
  for (let life = 0; life < kills; life++) {
    // Sent again with its id, or not sent again: it is the same session, once there is one.
    const running = start(witnessOf(log).length > 0 && chance() < 0.5 ? again : task, { env })
    if (chance() < 0.2) {
      early++
      await pause(chance() * 3000)
    } else {
      await atWork(running, log)
      await pause(chance() * 120)
    }
    running.child.kill("SIGKILL")
    const { code, stderr } = await running.ended
    expect(code, stderr).toBe("SIGKILL")
  }
  const last = await perdure(task, { env })
  expect(last.code, last.stderr).toBe(0)
  expect(last.stdout).toBe(`done after ${calls}\n`)

  const exported = await perdure(["export", "killed", "--verify", ...where], { env })
  expect(exported.code, exported.stderr).toBe(0)
  const rows = exported.json()
  expect(rows.map(({ seq }) => seq)).toEqual(rows.map((_, index) => index + 1))
  const epochs: ReadonlyArray<number> = rows.map(({ epoch }) => epoch)
  expect([...epochs].sort((a, b) => a - b)).toEqual(epochs)

  const key = SessionKey.parse("default/killed")
  const ran = new Map<string, number>()
  for (const line of witnessOf(log)) ran.set(line.key, (ran.get(line.key) ?? 0) + 1)
  const steps = rows.filter(({ entry }) => entry._tag === "StepIntended" && entry.kind === "tool")
  const outcomeOf = new Map(
    rows.flatMap(({ entry }) =>
      ["StepSucceeded", "StepFailed", "StepInDoubt"].includes(entry._tag) ? [[entry.step, entry._tag]] : []
    )
  )
  expect(steps.length).toBe(calls)
  let inDoubt = 0
  for (const { entry } of steps) {
    const times = ran.get(idempotencyKey(key, entry.step as StepId)) ?? 0
    if (outcomeOf.get(entry.step) === "StepInDoubt") {
      inDoubt++
      expect(times, `step ${entry.step}, in doubt`).toBeLessThanOrEqual(1)
    } else {
      expect(outcomeOf.get(entry.step), `step ${entry.step}`).toBe("StepSucceeded")
      expect(times, `step ${entry.step}`).toBe(1)
    }
    ran.delete(idempotencyKey(key, entry.step as StepId))
  }
  expect([...ran], "calls that the journal does not know").toEqual([])
  const lives = new Set(epochs).size
  console.log(
    `${name}, seed ${seed}: ${kills} kills (${early} while starting), ${inDoubt} calls in doubt, ${lives} lives wrote`
  )
  // It did die in the middle of work, or nothing was shown.
  expect(lives).toBeGreaterThan(kills / 3)
}

const directory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "perdure-kill-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

describe.concurrent("a session that is killed with -9 at twenty random moments", () => {
  it.scopedLive(
    "on the embedded store: each call ran once or is in doubt, none twice",
    () =>
      Effect.gen(function* () {
        const path = yield* directory
        const log = join(path, "witness.jsonl")
        yield* Effect.promise(() => survive("embedded", ["--directory", join(path, "store")], { WITNESS: log }, log))
      }),
    600_000
  )

  it.scopedLive(
    "on Postgres: each call ran once or is in doubt, none twice",
    () =>
      Effect.gen(function* () {
        const log = join(yield* directory, "witness.jsonl")
        const database = yield* Postgres.database
        const env = { WITNESS: log, PERDURE_DATABASE_URL: Redacted.value(database) }
        yield* Effect.promise(() => survive("Postgres", [], env, log))
      }),
    600_000
  )
})
