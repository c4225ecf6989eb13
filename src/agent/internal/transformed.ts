/** What the model sees of a result, where a transform is named for it. */
import { Effect, Option, Schema } from "effect"
import { fromUnknown, type Json } from "../../domain/Json.ts"
import type { ToolOutput } from "../Conversation.ts"
import type * as Transform from "../Transform.ts"

/**
 * The tool has had its effect: a transform that fails must not hide what it returned. The model sees the original then,
 * and the journal says why.
 *
 * @param value what the tool returned, decoded
 * @param original the same, encoded
 */
export const transformed = (transform: Transform.Any, value: unknown, original: Json): Effect.Effect<ToolOutput> =>
  Effect.suspend(() => {
    const made = (transform.apply as (input: unknown) => unknown)(value)
    return Effect.isEffect(made) ? (made as Effect.Effect<unknown, unknown>) : Effect.succeed(made)
  }).pipe(
    Effect.flatMap(Schema.encodeUnknown(transform.output)),
    Effect.map(
      (encoded): ToolOutput => ({
        result: fromUnknown(encoded),
        isError: false,
        transform: { name: transform.name, original }
      })
    ),
    Effect.catchAllCause((cause) => {
      const reason = Option.match(Option.fromNullable(cause), {
        onNone: () => "",
        onSome: (one) => String(one._tag === "Fail" ? one.error : one._tag === "Die" ? one.defect : one).slice(0, 500)
      })
      return Effect.as(
        Effect.logWarning(`the transform "${transform.name}" failed, the model sees the original: ${reason}`),
        { result: original, isError: false, transform: { name: transform.name, failed: reason } }
      )
    })
  )
