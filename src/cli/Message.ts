/** The message of a command: a text, a text from stdin, or parts as JSON (which can say what no argument can: NUL, lone surrogates, files). */
import { Effect, Option, Schema } from "effect"
import { explain } from "../domain/Id.ts"
import { UserPart } from "../domain/Message.ts"
import { BadArgument } from "./CliError.ts"

export interface Options {
  readonly message: Option.Option<string>
  readonly parts: Option.Option<string>
}

export type Message = string | ReadonlyArray<UserPart>

const readStdin: Effect.Effect<string> = Effect.promise(async () => {
  const chunks: Array<Buffer> = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString("utf8")
})

const orStdin = (text: string): Effect.Effect<string> => (text === "-" ? readStdin : Effect.succeed(text))

const Parts = Schema.Union(Schema.String, Schema.NonEmptyArray(UserPart))

const parse = (text: string): Effect.Effect<Message, BadArgument> =>
  Effect.try({
    try: () => JSON.parse(text) as unknown,
    catch: () =>
      new BadArgument({
        argument: "--parts",
        reason: `it is not JSON; write a JSON text, or an array such as '[{"type":"text","text":"…"}]'`
      })
  }).pipe(
    Effect.flatMap((json) =>
      Schema.decodeUnknown(Parts)(json).pipe(
        Effect.mapError(
          (error) =>
            new BadArgument({ argument: "--parts", reason: `it is no message: ${explain(error).slice(0, 300)}` })
        )
      )
    )
  )

/** The message, if one was given. */
export const read = (options: Options): Effect.Effect<Message | null, BadArgument> => {
  const { message, parts } = options
  if (Option.isSome(message) && Option.isSome(parts)) {
    return new BadArgument({ argument: "--parts", reason: "give it or --message, not both" })
  }
  if (Option.isSome(parts)) return Effect.flatMap(orStdin(parts.value), parse)
  return Option.isSome(message) ? orStdin(message.value) : Effect.succeed(null)
}
