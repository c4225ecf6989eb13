/** `perdure export`: a session's journal as JSON lines, in order; with `--verify`, whether it is as it was written. */
import { Chunk, Effect, Stream } from "effect"
import { Journal } from "../../journal/index.ts"
import { ChainBroken } from "../CliError.ts"
import * as Key from "../Key.ts"
import * as Output from "../Output.ts"
import * as Where from "../Where.ts"

export interface Options extends Where.Options {
  readonly session: string
  readonly verify: boolean
  readonly json: boolean
}

export const main = (options: Options) =>
  Effect.gen(function* () {
    const where = yield* Where.of(options)
    const key = yield* Key.of(where, options.session)
    yield* Effect.gen(function* () {
      yield* Key.existing(key)
      const journal = yield* Journal
      const write = journal
        .read(key, 0)
        .pipe(Stream.runForEachChunk((entries) => Output.out(Chunk.map(entries, Output.json).pipe(Chunk.join("")))))
      if (!options.verify) return yield* write
      // The verdict comes also where an entry cannot be read: that is when it is wanted.
      const written = yield* Effect.exit(write)
      const { entries, problems, redacted } = yield* journal.verify(key)
      yield* options.json
        ? Output.err(Output.json({ type: "verdict", valid: problems.length === 0, entries, redacted, problems }))
        : Output.err(
            problems.length === 0
              ? `the chain of ${entries} entries is whole${redacted === 0 ? "" : `, ${redacted} of them redacted`}\n`
              : problems.map(({ problem, seq }) => `entry ${seq}: ${problem}\n`).join("")
          )
      if (problems.length > 0) return yield* new ChainBroken({ session: key.session, problems: problems.length })
      return yield* written
    }).pipe(Effect.provide(Where.reader(where)))
  })
