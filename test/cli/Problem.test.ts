/** What is said of an error that is not our own. */
import { Config, ConfigProvider, Effect } from "effect"
import { expect, it } from "@effect/vitest"
import { explain } from "../../src/cli/Problem.ts"

const environment = ConfigProvider.fromMap(new Map([["WANTED", "c4n4ry"]]))

it.effect("configuration that is not valid: its name and the form that is wanted, never its value (I12)", () =>
  Effect.gen(function* () {
    const said = <A>(config: Config.Config<A>) =>
      Effect.map(Effect.flip(Effect.withConfigProvider(config, environment)), explain)
    expect(yield* said(Config.integer("WANTED"))).toBe("WANTED is not valid: it has to be an integer value")
    expect(yield* said(Config.duration("WANTED"))).toBe(
      'WANTED is not valid: it has to be a duration, e.g. "500 millis" or "5 seconds"'
    )
    expect(yield* said(Config.literal("on", "off")("WANTED"))).toMatch(/it has to be one of \("?on"?, "?off"?\)$/)
    expect(yield* said(Config.redacted(Config.number("WANTED")))).toBe("WANTED is not valid")
    expect(
      yield* said(Config.validate(Config.string("WANTED"), { message: "no c4n4ry", validation: () => false }))
    ).toBe("WANTED is not valid")
    expect(yield* said(Config.string("MISSING"))).toBe("MISSING is not set")
  })
)
