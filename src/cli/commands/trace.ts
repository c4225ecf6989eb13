/** `perdure trace`: what a session did, step by step. Wakes nothing. */
import { Effect, Stream } from "effect"
import { Journal } from "../../journal/index.ts"
import * as Key from "../Key.ts"
import * as TraceView from "../internal/TraceView.ts"
import * as Output from "../Output.ts"
import * as Trace from "../Trace.ts"
import * as Where from "../Where.ts"

export interface Options extends Where.Options {
  readonly session: string
  readonly json: boolean
  readonly colours: boolean
}

export const main = (options: Options) =>
  Effect.gen(function* () {
    const where = yield* Where.of(options)
    const key = yield* Key.of(where, options.session)
    yield* Effect.gen(function* () {
      const info = yield* Key.existing(key)
      const journal = yield* Journal
      const building = Trace.begin()
      yield* Stream.runForEach(journal.read(key, 0), (recorded) => Effect.sync(() => Trace.push(building, recorded)))
      const trace = Trace.done(building)
      if (options.json) {
        return yield* Output.out(Output.json({ session: key.session, status: info.status, ...trace }))
      }
      const lines = TraceView.lines(key.session, trace, Output.width(), Output.style(options.colours))
      return yield* Output.out(`${lines.join("\n")}\n`)
    }).pipe(Effect.provide(Where.reader(where)))
  })
