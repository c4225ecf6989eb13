/**
 * What the runtime offers to a model that was shown a part of something: reading on.
 *
 * Only what this conversation was shown the head and tail of can be read, and only in pieces that stand in a conversation.
 */
import { Tool, Toolkit } from "@effect/ai"
import { Effect, Either, Schema } from "effect"
import { Blobs } from "../../blob/index.ts"
import { parse } from "../../domain/Claim.ts"
import { StepFailure } from "../../domain/Failure.ts"
import type { Json } from "../../domain/Json.ts"
import type { OpenStep, StepContext, StepOutput } from "../../session/index.ts"
import type { ToolInput, ToolOutput } from "../Conversation.ts"

export const name = "read_more"

/** By hash: how many bytes there are. */
export type Refs = Readonly<Record<string, number>>

/** Bytes that are read unless told, and at most: what stands in a conversation without being cut. */
const usualBytes = 16 * 1024
const mostBytes = 32 * 1024
/** Of how many results a conversation can be read on: the last ones. */
const mostRefs = 1_000
/** How much of a hash a model is told. */
const refLength = 16

const Params = Schema.Struct({
  ref: Schema.String.annotations({ description: "What stands as `ref` where something was left out" }),
  from: Schema.optional(
    Schema.NonNegativeInt.annotations({ description: "The first byte to read, counted from 0; 0 unless told" })
  ),
  bytes: Schema.optional(
    Schema.Int.pipe(Schema.positive()).annotations({
      description: `How many bytes to read; ${usualBytes} unless told, at most ${mostBytes}`
    })
  )
})

const ReadMore = Tool.make(name, {
  description: "Reads on in a tool's result of which only the beginning and the end were shown.",
  parameters: Params.fields,
  success: Schema.String
})

export const toolkit: Toolkit.Any = Toolkit.make(ReadMore)

/** An agent's tools and this one. */
export const offered = (own: Toolkit.Any): Toolkit.Any =>
  Toolkit.merge(own as unknown as typeof Toolkit.empty, Toolkit.make(ReadMore))

/** What stands for bytes that are not shown. */
export const gap = (hash: string, from: number, hidden: number): string =>
  `[… ${hidden} bytes more; go on with ${name} {"ref":"${hash.slice(0, refLength)}","from":${from}} …]`

const claimsIn = (json: Json, found: Record<string, number>): void => {
  if (typeof json === "string") {
    const claim = parse(json)
    if (claim !== null) found[claim.hash] = claim.bytes
  } else if (typeof json === "object" && json !== null) {
    for (const inner of Object.values(json)) claimsIn(inner as Json, found)
  }
}

/** What can be read on of, with one more result in the conversation; the same where that is shown whole. Pure. */
export const withResult = (refs: Refs, result: Json): Refs => {
  const found: Record<string, number> = {}
  claimsIn(result, found)
  const fresh = Object.entries(found)
  if (fresh.length === 0) return refs
  const all = [...Object.entries(refs).filter(([hash]) => found[hash] === undefined), ...fresh]
  return Object.fromEntries(all.slice(-mostRefs))
}

const answer = (result: string, isError = false): StepOutput => {
  const output: ToolOutput = { result, isError }
  return { output: output as unknown as Json }
}

const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80

/** Where a piece that begins and ends anywhere has whole characters: at most three bytes less on either side. */
const whole = (bytes: Uint8Array, isFirst: boolean, isLast: boolean): readonly [begin: number, end: number] => {
  let begin = 0
  if (!isFirst) while (begin < Math.min(3, bytes.length) && isContinuation(bytes[begin])) begin++
  let end = bytes.length
  if (!isLast) {
    let lead = end - 1
    while (lead > end - 4 && lead > begin && isContinuation(bytes[lead])) lead--
    const byte = bytes[lead] ?? 0
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    if (lead + length > end && lead > begin) end = lead
  }
  return [begin, end]
}

/** Reads on, for the model. What cannot be read is told to it. */
export const perform = (
  { input }: OpenStep,
  refs: Refs,
  { key }: StepContext
): Effect.Effect<StepOutput, StepFailure, Blobs> =>
  Effect.gen(function* () {
    const params = Schema.decodeUnknownEither(Params)((input as unknown as ToolInput).params)
    if (Either.isLeft(params)) return answer(`The arguments do not fit: ${params.left.message}`, true)
    const { bytes = usualBytes, from = 0, ref } = params.right
    const matches = ref.length < 8 ? [] : Object.keys(refs).filter((hash) => hash.startsWith(ref))
    const [hash] = matches
    if (hash === undefined || matches.length > 1) {
      return answer(`Nothing in this conversation has the ref ${JSON.stringify(ref.slice(0, 80))}.`, true)
    }
    const all = refs[hash]!
    if (from >= all) return answer(`There are ${all} bytes, and none from ${from} on.`, true)
    const blobs = yield* Blobs
    const slice = yield* blobs.slice(key.namespace, hash, from, Math.min(bytes, mostBytes))
    const [begin, end] = whole(slice, from === 0, from + slice.length >= all)
    const text = new TextDecoder().decode(slice.subarray(begin, end))
    const until = from + end
    const rest = until >= all ? "the end" : `go on from ${until}`
    return answer(`[bytes ${from + begin} to ${until} of ${all}; ${rest}]\n${text}`)
  }).pipe(
    Effect.catchTags({
      BlobMissing: (error) => Effect.succeed(answer(`It is gone: ${error.message}`, true)),
      StoreUnavailable: (error) => new StepFailure({ failure: { class: "Unreachable", message: error.message } })
    })
  )
