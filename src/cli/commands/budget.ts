/** `perdure raise`, `decide`: what a session may use, and what it waits for. */
import { Duration, Effect, Option } from "effect"
import type { Decision } from "../../domain/Entry.ts"
import { BadArgument } from "../CliError.ts"
import type * as Where from "../Where.ts"
import { accepted, reach } from "./command.ts"

interface Common extends Where.Options {
  readonly session: string
  readonly id: Option.Option<string>
  readonly reason: Option.Option<string>
  readonly json: boolean
}

type Amount = Option.Option<number>

export interface Raise extends Common {
  readonly usd: Amount
  readonly tokens: Amount
  readonly modelCalls: Amount
  readonly toolCalls: Amount
  readonly steps: Amount
  readonly wall: Option.Option<string>
}

export interface Decide extends Common {
  readonly pause: string
  readonly decision: Decision
}

const saidWith = ({ id, reason }: Common) => ({
  id: Option.getOrUndefined(id),
  reason: Option.getOrUndefined(reason)
})

const wallOf = (text: string) =>
  Option.match(Duration.decodeUnknown(text), {
    onNone: () =>
      new BadArgument({ argument: "--wall", reason: `write "10 minutes" or "2 hours", not ${JSON.stringify(text)}` }),
    onSome: (wall) => Effect.succeed(wall)
  })

export const raise = (options: Raise) =>
  Effect.gen(function* () {
    const wall = yield* Effect.transposeMapOption(options.wall, wallOf)
    const session = yield* reach({ ...options, agent: Option.none() })
    const by = {
      usd: Option.getOrUndefined(options.usd),
      tokens: Option.getOrUndefined(options.tokens),
      modelCalls: Option.getOrUndefined(options.modelCalls),
      toolCalls: Option.getOrUndefined(options.toolCalls),
      steps: Option.getOrUndefined(options.steps),
      wall: Option.getOrUndefined(wall)
    }
    yield* accepted(options, "raise", yield* session.raise(by, saidWith(options)))
  }).pipe(Effect.scoped)

export const decide = (options: Decide) =>
  Effect.gen(function* () {
    const session = yield* reach({ ...options, agent: Option.none() })
    yield* accepted(options, "decide", yield* session.decide(options.pause, options.decision, saidWith(options)))
  }).pipe(Effect.scoped)
