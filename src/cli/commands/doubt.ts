/** `perdure settle`, `revive`, `discard`: what became of steps in doubt, and what becomes of those that are parked. */
import { Effect, Option } from "effect"
import type { Verdict } from "../../domain/Entry.ts"
import type { Json } from "../../domain/Json.ts"
import { BadArgument } from "../CliError.ts"
import type * as Where from "../Where.ts"
import { accepted, reach } from "./command.ts"

interface Common extends Where.Options {
  readonly session: string
  readonly id: Option.Option<string>
  readonly json: boolean
}

export interface Settle extends Common {
  readonly step: string
  readonly verdict: Verdict
  readonly result: Option.Option<string>
}

export interface Revive extends Common {
  readonly step: Option.Option<string>
  readonly reason: Option.Option<string>
}

const resultOf = (text: string): Effect.Effect<Json, BadArgument> =>
  Effect.try({
    try: () => JSON.parse(text) as Json,
    catch: () =>
      new BadArgument({ argument: "--result", reason: `it is not JSON: write a text as '"booked"', or an object` })
  })

export const settle = (options: Settle) =>
  Effect.gen(function* () {
    const result = yield* Effect.transposeMapOption(options.result, resultOf)
    const session = yield* reach({ ...options, agent: Option.none() })
    const said = { id: Option.getOrUndefined(options.id), result: Option.getOrUndefined(result) }
    yield* accepted(options, "settle", yield* session.settle(options.step, options.verdict, said))
  }).pipe(Effect.scoped)

const about = (what: "revive" | "discard") => (options: Revive) =>
  Effect.gen(function* () {
    const session = yield* reach({ ...options, agent: Option.none() })
    const said = {
      id: Option.getOrUndefined(options.id),
      step: Option.getOrUndefined(options.step),
      reason: Option.getOrUndefined(options.reason)
    }
    yield* accepted(options, what, yield* session[what](said))
  }).pipe(Effect.scoped)

export const revive = about("revive")
export const discard = about("discard")
