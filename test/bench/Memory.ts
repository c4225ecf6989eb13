/** Memory: of a live session at rest, and of a tool's output of 300 MB. Each in a process of its own. */
import * as fs from "node:fs"
import { Tool, Toolkit } from "@effect/ai"
import { Effect, Layer, Option, Schema, Stream } from "effect"
import { Agent, ToolContext } from "../../src/agent/index.ts"
import { Client } from "../../src/client/index.ts"
import { Claim } from "../../src/blob/index.ts"
import type { FeedEvent } from "../../src/feed/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"
import * as Child from "./Child.ts"
import { goal, type Row } from "./Report.ts"
import { now } from "./Stats.ts"
import { type Driver, fresh, type Target } from "./Stores.ts"
import * as Subjects from "./Subjects.ts"

const mebi = 1024 * 1024

const collect = () => {
  for (let i = 0; i < 4; i++) globalThis.gc?.()
}

const settled = Effect.sleep("300 millis").pipe(
  Effect.zipRight(
    Effect.sync(() => {
      collect()
      // What is external includes the array buffers.
      const { external, heapUsed, rss } = process.memoryUsage()
      return { heap: heapUsed + external, rss }
    })
  )
)

// --- Live sessions at rest ---

/** In the child: so many sessions of an agent, each with a turn behind it. */
export const idleTask = (target: Target, count: number) => {
  const subject = Subjects.agent
  const live = (from: number, to: number) =>
    Effect.forEach(
      Array.from({ length: to - from }, (_, i) => `idle-${from + i}`),
      (id) => Effect.flatMap(Subjects.session(subject, id), (session) => Subjects.turn(subject, session, 3)),
      { concurrency: 32, discard: true }
    )
  const warm = 300
  return Effect.gen(function* () {
    yield* live(0, warm)
    const before = yield* settled
    yield* live(warm, warm + count)
    const after = yield* settled
    return { heap: (after.heap - before.heap) / count, rss: (after.rss - before.rss) / count }
  }).pipe(
    Effect.provide(target.runner([subject.behaviour], { idle: "10 minutes" }).pipe(Layer.provide(subject.services)))
  )
}

export const idle = (driver: Driver, quick: boolean) =>
  Effect.gen(function* () {
    const target = yield* fresh(driver)
    const count = quick ? 1_000 : 3_000
    const child = yield* Child.start("idle", [driver, target.where, String(count)])
    const { heap, rss } = (yield* child.next) as { readonly heap: number; readonly rss: number }
    const name = `a live session at rest, of ${count.toLocaleString("en")}`
    const rows: ReadonlyArray<Row> = [
      goal({ name: `${name}: heap`, store: driver, kib: heap / 1024 }, "kib", "<=", 40),
      { name: `${name}: resident`, store: driver, kib: rss / 1024, note: "with what the collector keeps for itself" }
    ]
    return rows
  }).pipe(Effect.scoped)

// --- Large output ---

const Attach = Tool.make("attach", {
  parameters: { mib: Schema.Number },
  success: Schema.String,
  dependencies: [ToolContext]
})
const Run = Tool.make("run", {
  parameters: { mib: Schema.Number },
  success: Schema.String,
  dependencies: [ToolContext]
})
const large = Toolkit.make(Attach, Run)
const writer = Agent.make("bench-writer", { toolkit: large })

const handlers = large.toLayer({
  attach: ({ mib }) =>
    Effect.gen(function* () {
      const context = yield* ToolContext
      const pieces = mib * 16
      const content = Stream.unfold(0, (n) =>
        n === pieces
          ? Option.none()
          : Option.some([new Uint8Array(Buffer.alloc(65_536, `piece ${n}\n`)), n + 1] as const)
      )
      return yield* context.attach(content)
    }).pipe(Effect.orDie),
  run: ({ mib }) =>
    Effect.gen(function* () {
      const context = yield* ToolContext
      const { exit, stdout } = yield* context.run({
        command: "/bin/sh",
        args: ["-c", `seq 1 1000000000 | head -c ${mib * mebi}`]
      })
      return exit.code === 0 ? stdout : `it ended by ${JSON.stringify(exit)}`
    }).pipe(Effect.orDie)
})

/** The highest resident size since the last reset, in bytes, as the kernel saw it; sampled where there is no /proc. */
const peak = () => {
  if (fs.existsSync("/proc/self/clear_refs")) {
    const reset = () => fs.writeFileSync("/proc/self/clear_refs", "5")
    const read = () => Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync("/proc/self/status", "utf8"))![1]) * 1024
    return { reset, read }
  }
  let most = 0
  setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss)
  }, 5).unref()
  return {
    reset: () => {
      most = 0
    },
    read: () => most
  }
}

/** The size that a tool's result claims. */
const bytesIn = (event: FeedEvent): number => {
  const entry = event._tag === "Entry" ? event.recorded.entry : undefined
  const output = entry?._tag === "StepSucceeded" ? (entry.output as { readonly result?: unknown }) : undefined
  return typeof output?.result === "string" ? (Claim.parse(output.result)?.bytes ?? 0) : 0
}

/** In the child: one output of so many MiB, by `attach` or by a process that prints it. */
export const largeTask = (target: Target, tool: "attach" | "run", mib: number) => {
  const model = ScriptedModel.make([
    ScriptedModel.calls(tool, { mib: 1 }),
    ScriptedModel.text("warm"),
    ScriptedModel.calls(tool, { mib }),
    ScriptedModel.text("done")
  ])
  return Effect.gen(function* () {
    const session = yield* Client.session(writer, tool)
    yield* session.ask("warm up")
    const { rss } = yield* settled
    const highest = peak()
    highest.reset()
    const from = now()
    const accepted = yield* session.send("now")
    yield* session.result(accepted)
    const ms = now() - from
    const added = highest.read() - rss
    const written = yield* session.feed().pipe(
      Stream.takeUntil((event) => event._tag === "Entry" && event.recorded.seq > accepted.seq && bytesIn(event) > 0),
      Stream.runFold(0, (most, event) => Math.max(most, bytesIn(event)))
    )
    if (written !== mib * mebi) throw new Error(`of ${mib * mebi} bytes ${written} are in the store`)
    return { ms, added }
  }).pipe(Effect.provide(target.runner([writer.behaviour]).pipe(Layer.provide(Layer.merge(handlers, model)))))
}

const largeBy = (tool: "attach" | "run") => (driver: Driver, quick: boolean) =>
  Effect.gen(function* () {
    const target = yield* fresh(driver)
    const mib = quick ? 100 : 300
    const child = yield* Child.start("large", [driver, target.where, tool, String(mib)])
    const { added, ms } = (yield* child.next) as { readonly ms: number; readonly added: number }
    const how = tool === "attach" ? "attached" : "printed by a process"
    const row: Row = {
      name: `a tool's output of ${mib} MiB, ${how}`,
      store: driver,
      p50_ms: ms,
      mib: added / mebi,
      note: "resident memory added at the peak"
    }
    return [goal(row, "mib", "<=", 200)]
  }).pipe(Effect.scoped)

export const attach = largeBy("attach")
export const run = largeBy("run")
