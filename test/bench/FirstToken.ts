/** Tokens: from the model's giving one to a reader's having it, in this process and in another. */
import { LanguageModel } from "@effect/ai"
import type * as Response from "@effect/ai/Response"
import { ConfigProvider, Effect, Fiber, Layer, Stream } from "effect"
import { Agent } from "../../src/agent/index.ts"
import { Client } from "../../src/client/index.ts"
import { Runner } from "../../src/runner/index.ts"
import * as Child from "./Child.ts"
import { goal, type Row } from "./Report.ts"
import { median, quantile } from "./Stats.ts"
import { type Driver, fresh, type Target } from "./Stores.ts"

const talker = Agent.make("bench-talker")
const id = "talk"
const tokens = 8

/** Milliseconds of a clock that all processes of a machine share. */
const shared = (): number => Number(process.hrtime.bigint()) / 1e6

type Part = Response.StreamPartEncoded

/** Gives tokens with pauses, and notes when. Each token is a number of its own. */
const model = (given: Map<number, number>) => {
  let next = 0
  const token = Effect.sync((): Part => {
    const n = next++
    given.set(n, shared())
    return { type: "text-delta", id: "0", delta: `${n} ` }
  })
  const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 }
  const streamText = () =>
    Stream.make<Array<Part>>({ type: "text-start", id: "0" }).pipe(
      Stream.concat(Stream.repeatEffect(Effect.delay(token, "5 millis")).pipe(Stream.take(tokens))),
      Stream.concat(Stream.make<Array<Part>>({ type: "text-end", id: "0" }, { type: "finish", reason: "stop", usage }))
    )
  return Layer.effect(
    LanguageModel.LanguageModel,
    LanguageModel.make({ streamText, generateText: () => Effect.dieMessage("it is never asked for a whole text") })
  )
}

/** Reads the session until it is told to end; returns when each token came. */
const read = Effect.gen(function* () {
  const session = yield* Client.existing(id)
  const came: Array<readonly [number, number]> = []
  yield* session.feed().pipe(
    Stream.takeUntil((event) => event._tag === "Entry" && event.recorded.entry._tag === "SessionEnded"),
    Stream.runForEach((event) =>
      Effect.sync(() => {
        if (event._tag !== "Delta" || event.channel !== "text") return
        const at = shared()
        for (const n of event.text.trim().split(" ")) came.push([Number(n), at])
      })
    )
  )
  return came
})

/** In the child: a client of the runner in the other process. */
export const readTask = (target: Target) =>
  read.pipe(
    Effect.provide(
      target.driver === "sqlite"
        ? Layer.orDie(Runner.layerLocal({ directory: target.where }))
        : Layer.orDie(Runner.layerClient()).pipe(
            Layer.provide(
              Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["PERDURE_DATABASE_URL", target.where]])))
            )
          )
    )
  )

const rows = (
  driver: Driver,
  where: string,
  given: ReadonlyMap<number, number>,
  came: ReadonlyArray<readonly [number, number]>
): ReadonlyArray<Row> => {
  const all = came.map(([n, at]) => [n, at - given.get(n)!] as const)
  const firsts = all.filter(([n]) => n % tokens === 0).map(([, took]) => took)
  const others = all.filter(([n]) => n % tokens !== 0).map(([, took]) => took)
  const row = (name: string, took: ReadonlyArray<number>): Row =>
    goal(
      { name: `${name} to a reader ${where}`, store: driver, p50_ms: median(took), p95_ms: quantile(took, 0.95) },
      "p50_ms",
      "<=",
      5
    )
  return [row("first token of an answer", firsts), row("token", others)]
}

export const measure = (driver: Driver, quick: boolean) =>
  Effect.gen(function* () {
    const target = yield* fresh(driver)
    const given = new Map<number, number>()
    return yield* Effect.gen(function* () {
      const session = yield* Client.session(talker, id)
      const child = yield* Child.start("read", [driver, target.where])
      const here = yield* Effect.fork(read)
      for (let turn = 0; turn < (quick ? 10 : 40); turn++) yield* session.ask("go on")
      yield* session.cancel
      const outside = (yield* child.next) as ReadonlyArray<readonly [number, number]>
      const inside = yield* Fiber.join(here)
      return [
        ...rows(driver, "in the runner's process", given, inside),
        ...rows(driver, "in another process", given, outside)
      ]
    }).pipe(
      Effect.scoped,
      Effect.orDie,
      Effect.provide(target.runner([talker.behaviour]).pipe(Layer.provide(model(given))))
    )
  }).pipe(Effect.scoped)
