/** Runs one tool call: decode, handle, encode. The handler sees the call's {@link ToolContext}. */
import { Tool, type Toolkit } from "@effect/ai"
import { Context, Duration, Effect, ParseResult, Schema, Scope } from "effect"
import { Blobs, Claim } from "../../blob/index.ts"
import type { Repeatable } from "../../domain/Entry.ts"
import { BlobMissing, type StoreUnavailable } from "../../domain/Errors.ts"
import { type FailureClass, StepFailure } from "../../domain/Failure.ts"
import { fromUnknown, type Json } from "../../domain/Json.ts"
import { Processes, type Spawn } from "../../process/index.ts"
import type { OpenStep, StepContext, StepOutput } from "../../session/index.ts"
import { Spans } from "../../telemetry/index.ts"
import type { ToolInput, ToolOutput } from "../Conversation.ts"
import { type Ran, ToolContext } from "../ToolContext.ts"

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

/** How much of a process's output stays in the result; more than that becomes a claim. */
const inlineBytes = 64 * 1024

/** The context of one call. `attached` collects the claims that this call has made itself. */
const contextOf = (
  step: StepContext,
  attached: Set<string>
): Effect.Effect<ToolContext["Type"], never, Processes | Blobs | Scope.Scope> =>
  Effect.gen(function* () {
    const processes = yield* Processes
    const blobs = yield* Blobs
    const scope = yield* Effect.scope
    const { namespace } = step.key

    const attach: ToolContext["Type"]["attach"] = (content) =>
      Effect.map(Claim.write(namespace, content), (claim) => {
        attached.add(claim)
        return claim
      }).pipe(Effect.provideService(Blobs, blobs))

    const run = (spawn: Spawn) =>
      Effect.gen(function* () {
        const channels = {
          stdout: yield* Claim.collector(namespace, inlineBytes),
          stderr: yield* Claim.collector(namespace, inlineBytes)
        }
        const finished = yield* processes.run(spawn, { onOutput: (channel, chunk) => channels[channel].write(chunk) })
        const ran: Ran = { exit: finished.exit, stdout: yield* channels.stdout.end, stderr: yield* channels.stderr.end }
        if (Claim.isClaim(ran.stdout)) attached.add(ran.stdout)
        if (Claim.isClaim(ran.stderr)) attached.add(ran.stderr)
        return ran
      }).pipe(Effect.scoped, Effect.provideService(Blobs, blobs))

    return {
      namespace,
      session: step.key.session,
      turn: step.turn,
      step: step.step,
      attempt: step.attempt,
      idempotencyKey: step.idempotencyKey,
      progress: (text) => step.emit("progress", text.endsWith("\n") ? text : `${text}\n`),
      saved: step.saved,
      save: step.save,
      spawn: (spawn) => processes.start(spawn).pipe(Scope.extend(scope)),
      run,
      attach
    }
  })

/** Performs a tool step. */
export const perform = (
  toolkit: Toolkit.Any,
  timeouts: Readonly<Record<string, Duration.DurationInput>>
): ((step: OpenStep, context: StepContext) => Effect.Effect<StepOutput, StepFailure, Processes | Blobs>) => {
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
      const { params } = step.input as unknown as ToolInput
      const given = yield* Claim.resolve(stepContext.key.namespace, params).pipe(Effect.mapError(storeFailure))
      const decoded = yield* tool
        .decode(given)
        .pipe(Effect.mapError((error) => fail("MalformedToolCall", `the arguments do not fit: ${describe(error)}`)))
      const attached = new Set<string>()
      const context = yield* contextOf(stepContext, attached)

      const timeout = timeouts[step.name]
      const handled = Effect.suspend(() => tool.handler(decoded)).pipe(
        Effect.mapInputContext((mine: Context.Context<never>) =>
          Context.add(Context.merge(tool.context, mine), ToolContext, context)
        ),
        Effect.map((value) => ({ value, isError: false })),
        Effect.catchAll((error) =>
          toolkit.tools[step.name]!.failureMode === "return"
            ? Effect.succeed({ value: error, isError: true })
            : Effect.fail(error instanceof StepFailure ? error : fail("ToolFailed", describe(error)))
        ),
        timeout === undefined
          ? (effect) => effect
          : Effect.timeoutFail({
              duration: timeout,
              onTimeout: () =>
                fail("TimedOut", `"${step.name}" did not end within ${Duration.format(Duration.decode(timeout))}`)
            })
      )
      const { callId } = step.input as unknown as ToolInput
      const { isError, value } = yield* handled.pipe(
        Effect.tap(({ value }) => Spans.content(() => ({ toolArguments: given, toolResult: value }))),
        Spans.toolCall({
          namespace: stepContext.key.namespace,
          session: stepContext.key.session,
          step: step.step,
          attempt: step.attempt,
          tool: step.name,
          callId
        })
      )
      const result = yield* tool
        .encode(value)
        .pipe(
          Effect.mapError((error) =>
            fail("Defect", `"${step.name}" returned what its schema forbids: ${describe(error)}`)
          )
        )
      const output: ToolOutput = { result: fromUnknown(result), isError }
      return { output: output as unknown as Json, claims: attached }
    }).pipe(Effect.scoped)
}

const storeFailure = (error: BlobMissing | StoreUnavailable) =>
  fail(error instanceof BlobMissing ? "BlobMissing" : "Unreachable", error.message)
