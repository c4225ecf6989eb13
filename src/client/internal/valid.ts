/** What callers may say, checked before anything is asked (I13). */
import { Effect, Schema } from "effect"
import { Amounts } from "../../domain/Entry.ts"
import * as Errors from "../../domain/Errors.ts"
import { defaultNamespace, explain, Namespace, SessionId, SessionKey } from "../../domain/Id.ts"
import { Text } from "../../domain/Json.ts"
import { UserPart } from "../../domain/Message.ts"
import type { StopOptions } from "../Session.ts"

export const valid =
  <A, I>(schema: Schema.Schema<A, I>, what: string) =>
  (value: unknown): Effect.Effect<A, Errors.InvalidInput> =>
    Schema.decodeUnknown(schema)(value).pipe(
      Effect.mapError((error) => new Errors.InvalidInput({ what, reason: explain(error) }))
    )

const validMessage = valid(
  Schema.NonEmptyArray(UserPart).annotations({ message: () => "it needs at least one part" }),
  "message"
)

const notAnAmount = (by: object) =>
  Object.entries(by).find(([, amount]) => amount !== undefined && !(Number.isFinite(amount) && amount >= 0))

/** Whoever raises a budget by nothing has forgotten something. */
export const validAmounts = (by: object) =>
  Effect.suspend(() => {
    const [name, amount] = notAnAmount(by) ?? []
    if (name === undefined) return valid(Amounts, "amounts")(by)
    const reason = `${name} is to be a number from 0 on, not ${String(amount)}: a budget can only be raised`
    return Effect.fail(new Errors.InvalidInput({ what: "amounts", reason }))
  }).pipe(
    Effect.filterOrFail(
      (by) => Object.values(by).some((amount = 0) => amount > 0),
      () => new Errors.InvalidInput({ what: "amounts", reason: "they allow nothing: name a limit, e.g. { usd: 0.5 }" })
    )
  )

export const because = (options: StopOptions | undefined) =>
  options?.reason === undefined ? {} : { reason: options.reason }

export const partsOf = (
  message: string | ReadonlyArray<UserPart>
): Effect.Effect<ReadonlyArray<UserPart>, Errors.InvalidInput> =>
  typeof message === "string"
    ? message === ""
      ? new Errors.InvalidInput({ what: "message", reason: "it is empty" })
      : Effect.succeed([{ type: "text", text: message }])
    : validMessage(message)

export const keyOf = (id: string, namespace: string | undefined) =>
  Effect.all({
    session: valid(SessionId, "session id")(id),
    namespace: namespace === undefined ? Effect.succeed(defaultNamespace) : valid(Namespace, "namespace")(namespace)
  }).pipe(Effect.map((key) => SessionKey.make(key)))

/**
 * What a request can carry, in bytes of JSON. The wire closes the connection at 16 MiB (`@effect/rpc`), which would look
 * like a runner that is gone. What the runner takes is less, and its own to say.
 */
export const carriedBytes = 15 * 1024 * 1024

/** Attributes are columns to search by: what is long does not belong there. */
const attributesBytes = 64 * 1024

export const validAttributes = (attributes: Readonly<Record<string, string>>) =>
  valid(
    Schema.Record({ key: Schema.String, value: Text }),
    "attributes"
  )(attributes).pipe(
    Effect.filterOrFail(
      (attributes) => Buffer.byteLength(JSON.stringify(attributes)) <= attributesBytes,
      () =>
        new Errors.InvalidInput({
          what: "attributes",
          reason: `they have more than ${attributesBytes} bytes: send what is long as a message`
        })
    )
  )
