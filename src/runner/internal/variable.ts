/**
 * Variables of the environment, read so that what is wrong with one is said: `Config`'s own complaints name neither the form
 * that is wanted nor, where there are alternatives, the one that was meant. A variable that is empty is not set.
 */
import { Config, type ConfigError, Duration, Effect, Either, Option } from "effect"
import { SettingInvalid } from "../SettingInvalid.ts"

/** A value, or what is wrong with the text and the form that is wanted. */
export type Reading<A> = Either.Either<A, string>

/** What was found, for a message. Not for secrets. */
const quoted = (text: string): string => JSON.stringify(text.slice(0, 80))

export const text = (found: string): Reading<string> => Either.right(found)

const unit = /^\d+(\.\d+)?\s+(nano|micro|milli|second|minute|hour|day|week)s?$/

export const durationForm = `write a number and a unit, e.g. "500 millis" or "5 seconds"`

export const duration = (found: string): Reading<Duration.Duration> =>
  unit.test(found)
    ? Either.right(Duration.decode(found as Duration.DurationInput))
    : Either.left(`${quoted(found)} is no duration: ${durationForm}`)

export const whole = (found: string): Reading<number> =>
  /^-?\d+$/.test(found) ? Either.right(Number(found)) : Either.left(`${quoted(found)} is no whole number`)

export const number = (found: string): Reading<number> =>
  /^-?\d+(\.\d+)?$/.test(found)
    ? Either.right(Number(found))
    : Either.left(`${quoted(found)} is no number: write e.g. 1 or 0.5`)

/** One of the words, or a duration. */
export const wordOrDuration =
  <const Word extends string>(...words: ReadonlyArray<Word>) =>
  (found: string): Reading<Word | Duration.Duration> => {
    const word = words.find((word) => word === found)
    return word === undefined
      ? Either.mapLeft(
          duration(found),
          () => `${quoted(found)} is neither ${words.join(" nor ")} nor a duration: ${durationForm}`
        )
      : Either.right(word)
  }

/** The variable's value where it is set. */
export const variable = <A>(
  name: string,
  read: (text: string) => Reading<A>
): Effect.Effect<Option.Option<A>, SettingInvalid | ConfigError.ConfigError> =>
  Effect.flatMap(Config.option(Config.string(name)), (found) => {
    const text = Option.getOrElse(found, () => "").trim()
    if (text === "") return Effect.succeedNone
    return Either.match(read(text), {
      onLeft: (reason) => new SettingInvalid({ setting: name, reason }),
      onRight: Effect.succeedSome
    })
  })
