/** Runs one tool call: decode, handle, encode. The handler sees the call's {@link ToolContext}. */
import { Tool, type Toolkit } from "@effect/ai"
import { Context, Effect, Either, ParseResult, Schema } from "effect"
import { type Blobs, Claim } from "../../blob/index.ts"
import type { Repeatable } from "../../domain/Entry.ts"
import { BlobMissing, type StoreUnavailable } from "../../domain/Errors.ts"
import { type FailureClass, StepFailure } from "../../domain/Failure.ts"
import type { Namespace } from "../../domain/Id.ts"
import { fromUnknown, type Json } from "../../domain/Json.ts"
import type { Processes } from "../../process/index.ts"
import type { OpenStep, Settled, StepContext, StepOutput } from "../../session/index.ts"
import { Spans } from "../../telemetry/index.ts"
import type { ToolInput, ToolOutput } from "../Conversation.ts"
import type { Reconciled } from "../Reconcile.ts"
import { ToolContext } from "../ToolContext.ts"
import { type Resolved, unbounded } from "../ToolOptions.ts"
import { bounded, Pulse } from "./bounded.ts"
import * as CallContext from "./toolContext.ts"
import { transformed } from "./transformed.ts"

/** What the tool's annotations say of repeating it (I5). Silence means: never. */
export const repeatableOf = (tool: Tool.Any): Repeatable =>
  Context.get(tool.annotations, Tool.Readonly)
    ? "readonly"
    : Context.get(tool.annotations, Tool.Idempotent)
      ? "idempotent"
      : "never"

const fail = (failureClass: FailureClass, message: string) =>
  new StepFailure({ failure: { class: failureClass, message: message.slice(0, 8_000) } })

const describe = (error: unknown): string => {
  if (ParseResult.isParseError(error)) return ParseResult.TreeFormatter.formatErrorSync(error)
  if (error instanceof Error) return error.message === "" ? error.name : error.message
  return typeof error === "string" ? error : JSON.stringify(fromUnknown(error))
}

interface Prepared {
  readonly handler: (params: unknown) => Effect.Effect<unknown, unknown>
  readonly context: Context.Context<never>
  readonly decode: (params: unknown) => Effect.Effect<unknown, ParseResult.ParseError>
  readonly encode: (result: unknown) => Effect.Effect<unknown, ParseResult.ParseError>
}

/** A tool's handler and codecs, made once for each toolkit and context. */
const prepare = (tool: Tool.Any, context: Context.Context<never>): Prepared | null => {
  const found = context.unsafeMap.get(tool.id) as Tool.Handler<string> | undefined
  if (found === undefined) return null
  // The toolkit's types are checked where it is made; here they are whatever the agent has.
  const unknown = (schema: unknown) => schema as Schema.Schema<unknown, unknown>
  return {
    handler: found.handler,
    context: found.context,
    decode: Schema.decodeUnknown(unknown(tool.parametersSchema)),
    encode: Schema.encodeUnknown(Schema.Union(unknown(tool.successSchema), unknown(tool.failureSchema)))
  }
}

type Performed = Effect.Effect<StepOutput, StepFailure, Processes | Blobs>

/** Performs a tool step: runs the call, or asks what became of it. */
export const perform = (
  toolkit: Toolkit.Any,
  options: Pick<Resolved, "of" | "boundsOf" | "transformOf">
): ((step: OpenStep, context: StepContext) => Performed) => {
  const prepared = new WeakMap<Context.Context<never>["unsafeMap"], Map<string, Prepared | null>>()

  const find = (name: string, context: Context.Context<never>): Prepared | null => {
    const known = prepared.get(context.unsafeMap) ?? new Map<string, Prepared | null>()
    prepared.set(context.unsafeMap, known)
    const found = known.get(name)
    if (found !== undefined) return found
    const tool = toolkit.tools[name]
    const one = tool === undefined ? null : prepare(tool, context)
    known.set(name, one)
    return one
  }

  return (step, stepContext) =>
    Effect.gen(function* () {
      const tool = find(step.name, yield* Effect.context<never>())
      if (tool === null) {
        return yield* fail("MalformedToolCall", `this agent has no tool "${step.name}" any more`)
      }
      const { namespace, session } = stepContext.key
      const { callId, params } = step.input as unknown as ToolInput
      const given = yield* Claim.resolve(namespace, params).pipe(Effect.mapError(storeFailure))
      const decoded = yield* tool
        .decode(given)
        .pipe(Effect.mapError((error) => fail("MalformedToolCall", `the arguments do not fit: ${describe(error)}`)))
      const clock = yield* Effect.clock
      const pulse = new Pulse(clock)
      const attached = new Set<string>()
      const context = yield* CallContext.make(stepContext, attached, pulse)
      const { classify, output: inlineBytes, reconcile } = options.of(step.name)
      const asks = step.nextInput === "reconcile"
      const { timeoutMs, ...others } = options.boundsOf(step.name)
      // To ask is another thing than to do: it has the time of an attempt, and whatever was used up before.
      const bounds = asks ? { ...unbounded, timeoutMs } : { timeoutMs, ...others }

      const failed = (error: unknown): StepFailure => {
        if (error instanceof StepFailure) return error
        const known = asks ? undefined : classify?.(error)
        return known === undefined ? fail("ToolFailed", describe(error)) : new StepFailure({ failure: known })
      }
      const handle: Effect.Effect<Outcome, StepFailure> = Effect.suspend(() => tool.handler(decoded)).pipe(
        Effect.map((value) => ({ value, isError: false })),
        Effect.catchAll((error) =>
          toolkit.tools[step.name]!.failureMode === "return"
            ? Effect.succeed({ value: error, isError: true })
            : Effect.fail(failed(error))
        )
      )
      const ask: Effect.Effect<Outcome, StepFailure> = Effect.suspend(
        (): Effect.Effect<Reconciled<unknown>, unknown> =>
          reconcile?.({ params: decoded as never, idempotencyKey: stepContext.idempotencyKey }) ??
          Effect.succeed({ _tag: "Unknown" })
      ).pipe(
        Effect.map((found) => (found._tag === "Happened" ? { value: found.result, isError: false } : found._tag)),
        Effect.mapError(failed)
      )
      const outcome = yield* (asks ? ask : handle).pipe(
        Effect.mapInputContext((mine: Context.Context<never>) =>
          Context.add(Context.merge(tool.context, mine), ToolContext, context)
        ),
        (effect) => bounded(step.name, bounds, step.since ?? step.dueAt, pulse, clock, effect),
        Effect.tap((found) =>
          Spans.content(() => ({
            toolArguments: given,
            toolResult: typeof found === "string" ? null : found.value
          }))
        ),
        Spans.toolCall({ namespace, session, step: step.step, attempt: step.attempt, tool: step.name, callId })
      )
      if (typeof outcome === "string") {
        return { output: null, reconciled: outcome === "Unknown" ? "unknown" : "did not happen" } as const
      }
      const { isError, value } = outcome
      const encoded = yield* tool
        .encode(value)
        .pipe(
          Effect.mapError((error) =>
            fail("Defect", `"${step.name}" returned what its schema forbids: ${describe(error)}`)
          )
        )
      const original = fromUnknown(encoded)
      const transform = isError ? undefined : options.transformOf(step.name)
      const made: ToolOutput =
        transform === undefined ? { result: original, isError } : yield* transformed(transform, value, original)
      const output = inlineBytes === undefined ? made : yield* cut(namespace, made, inlineBytes, attached)
      const happened = asks ? ({ reconciled: "happened" } as const) : {}
      return { output: output as unknown as Json, claims: attached, ...happened }
    }).pipe(Effect.scoped)
}

/** What a call came to; or that it has no outcome that could be found out. */
type Outcome = { readonly value: unknown; readonly isError: boolean } | "DidNotHappen" | "Unknown"

/** The result, where it is longer than that, as a claim on it. */
const cut = (namespace: Namespace, output: ToolOutput, threshold: number, attached: Set<string>) =>
  Effect.map(Claim.check(namespace, output.result, { threshold, own: attached }), (result): ToolOutput => {
    for (const claim of Claim.claimsIn(result)) attached.add(claim)
    return { ...output, result }
  }).pipe(Effect.mapError(storeFailure))

/** What somebody says that a call returned, as its output; `wrong` where the tool never returns that. */
export const settled = (toolkit: Toolkit.Any, name: string, result: Json): Settled => {
  const tool = toolkit.tools[name]
  const output: ToolOutput = { result, isError: false }
  if (tool === undefined) return { output: output as unknown as Json }
  const decoded = ParseResult.decodeUnknownEither(tool.successSchema as Schema.Schema<unknown, unknown>)(result)
  // A schema that has to ask somebody cannot be asked here.
  return Either.isRight(decoded) || decoded.left._tag === "Forbidden"
    ? { output: output as unknown as Json }
    : { wrong: `"${name}" never returns that: ${ParseResult.TreeFormatter.formatIssueSync(decoded.left)}` }
}

const storeFailure = (error: BlobMissing | StoreUnavailable) =>
  fail(error instanceof BlobMissing ? "BlobMissing" : "Unreachable", error.message)
