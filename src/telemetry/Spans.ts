/**
 * Spans of the runtime. Each function takes what the span is about and returns `effect => effect`.
 *
 * Where no tracer is installed they cost one closure: Effect's own tracer makes span objects that nobody reads, so that
 * it counts as none. Attributes are built only when someone looks.
 */
import { createHash } from "node:crypto"
import { Cause, Context, DefaultServices, Effect, type Fiber, Option, Tracer } from "effect"
import { CaptureContent } from "./Content.ts"
import { Attribute, ContentAttribute, SpanName } from "./Names.ts"

/** Whose work it is: on every span of a turn. */
export interface Subject {
  readonly namespace: string
  readonly session: string
  readonly agent: string
  readonly version: string
  /** 1, 2, 3 … */
  readonly turn: number
  readonly epoch?: number | undefined
}

/** One try of a step. */
export interface Attempt {
  readonly namespace: string
  readonly session: string
  readonly step: string
  /** 1 for the first. */
  readonly attempt: number
}

/** Tokens and cost of one model call, as `domain/Usage` has them. */
export interface Usage {
  readonly inputTokens: number
  readonly outputTokens: number
  readonly reasoningTokens: number
  readonly cacheReadTokens: number
  readonly cacheWriteTokens: number
  /** `null` where the price is unknown. */
  readonly usd: number | null
}

type Same = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
type Attributes = Record<string, unknown>

const native = Context.get(DefaultServices.liveServices, Tracer.Tracer)

const traced = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => fiber.currentTracer !== native

/** Whether spans go anywhere. */
export const enabled: Effect.Effect<boolean> = Effect.withFiberRuntime((fiber) => Effect.succeed(traced(fiber)))

const spanned =
  (make: () => readonly [name: string, attributes: Attributes, options?: Tracer.SpanOptions]): Same =>
  (effect) =>
    Effect.withFiberRuntime((fiber) => {
      if (!traced(fiber)) return effect
      const [name, attributes, options] = make()
      return Effect.withSpan(Effect.tapErrorCause(effect, annotateFailure), name, {
        ...options,
        attributes,
        captureStackTrace: false
        // A `ParentSpan` that the effect asks for is still asked for: the type stays what it was.
      }) as typeof effect
    })

/** The failure's class where it has one, else the error's tag or name. */
const errorType = (cause: Cause.Cause<unknown>): string | undefined => {
  if (Cause.isInterruptedOnly(cause)) return undefined
  const error: unknown = Cause.squash(cause)
  if (typeof error !== "object" || error === null) return "_OTHER"
  if ("failure" in error && typeof error.failure === "object" && error.failure !== null && "class" in error.failure) {
    return String(error.failure.class)
  }
  if ("_tag" in error) return String(error._tag)
  return error instanceof Error ? error.name : "_OTHER"
}

const annotateFailure = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  const type = errorType(cause)
  return type === undefined ? Effect.void : Effect.annotateCurrentSpan(Attribute.errorType, type)
}

/** Puts what is known only at the end on the current span. Nothing is built when nobody looks. */
const annotate = (attributes: () => Attributes): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => (traced(fiber) ? Effect.annotateCurrentSpan(attributes()) : Effect.void))

/**
 * Marks the parent of a turn's span as one that exists only to carry the trace's id: an exporter leaves it out, so that
 * the turn is the root.
 */
export class DerivedParent extends Context.Reference<DerivedParent>()("perdure/telemetry/DerivedParent", {
  defaultValue: () => false
}) {}

/**
 * The ids of a turn's trace, from what names the turn: a runner that takes the session over goes on in the same trace
 * without having been told its id.
 */
export const traceOf = (of: Pick<Subject, "namespace" | "session" | "turn">): Tracer.ExternalSpan => {
  const hex = createHash("sha256").update(`${of.namespace}/${of.session}/${of.turn}`).digest("hex")
  return Tracer.externalSpan({
    traceId: hex.slice(0, 32),
    spanId: hex.slice(32, 48),
    sampled: true,
    context: Context.make(DerivedParent, true)
  })
}

/** `invoke_agent {agent}`: one turn, or what one runner does of it. Linked to the span that it was called in. */
export const turn =
  (of: Subject): Same =>
  (effect) =>
    Effect.withFiberRuntime((fiber) => {
      if (!traced(fiber)) return effect
      const caller = Context.getOption(fiber.currentContext, Tracer.ParentSpan)
      return spanned(() => [
        SpanName.turn(of.agent),
        {
          [Attribute.operation]: "invoke_agent",
          [Attribute.agent]: of.agent,
          [Attribute.agentVersion]: of.version,
          [Attribute.conversation]: of.session,
          [Attribute.namespace]: of.namespace,
          [Attribute.turn]: of.turn,
          ...(of.epoch === undefined ? {} : { [Attribute.epoch]: of.epoch })
        },
        {
          parent: traceOf(of),
          links: Option.match(caller, {
            onNone: () => [],
            onSome: (span) => [{ _tag: "SpanLink", span, attributes: {} }]
          })
        }
      ])(effect)
    })

const ofAttempt = (of: Attempt): Attributes => ({
  [Attribute.conversation]: of.session,
  [Attribute.namespace]: of.namespace,
  [Attribute.step]: of.step,
  [Attribute.attempt]: of.attempt
})

/** `chat {model}`: one attempt of a model step. {@link modelResult} completes it. */
export const modelCall = (
  of: Attempt & { readonly provider?: string | undefined; readonly model?: string | undefined }
): Same =>
  spanned(() => [
    SpanName.modelCall(of.model),
    {
      [Attribute.operation]: "chat",
      [Attribute.provider]: of.provider ?? "_OTHER",
      ...(of.model === undefined ? {} : { [Attribute.requestModel]: of.model }),
      ...ofAttempt(of)
    },
    { kind: "client" }
  ])

/** Puts what the provider answered on the current {@link modelCall} span. */
export const modelResult = (result: {
  readonly model?: string | undefined
  readonly id?: string | undefined
  readonly finishReason?: string | undefined
  readonly usage?: Usage | undefined
}): Effect.Effect<void> =>
  annotate(() => {
    const attributes: Attributes = {}
    if (result.model !== undefined) attributes[Attribute.responseModel] = result.model
    if (result.id !== undefined) attributes[Attribute.responseId] = result.id
    if (result.finishReason !== undefined) attributes[Attribute.finishReasons] = [result.finishReason]
    if (result.usage !== undefined) {
      attributes[Attribute.inputTokens] = result.usage.inputTokens
      attributes[Attribute.outputTokens] = result.usage.outputTokens
      attributes[Attribute.cacheReadTokens] = result.usage.cacheReadTokens
      attributes[Attribute.cacheWriteTokens] = result.usage.cacheWriteTokens
      attributes[Attribute.reasoningTokens] = result.usage.reasoningTokens
      if (result.usage.usd !== null) attributes[Attribute.usd] = result.usage.usd
    }
    return attributes
  })

/** `execute_tool {tool}`: one attempt of a tool step. `callId` is the provider's. */
export const toolCall = (of: Attempt & { readonly tool: string; readonly callId?: string | undefined }): Same =>
  spanned(() => [
    SpanName.toolCall(of.tool),
    {
      [Attribute.operation]: "execute_tool",
      [Attribute.tool]: of.tool,
      [Attribute.toolType]: "function",
      ...(of.callId === undefined ? {} : { [Attribute.toolCall]: of.callId }),
      ...ofAttempt(of)
    }
  ])

/** `perdure.step {name}`: one attempt of a step that is neither model nor tool. */
export const step = (of: Attempt & { readonly name: string }): Same =>
  spanned(() => [SpanName.step(of.name), ofAttempt(of)])

/** `perdure.append`: one flush of the journal, of the groups of many sessions. */
export const append = (of: { readonly sessions: number; readonly entries: number; readonly bytes?: number }): Same =>
  spanned(() => [
    SpanName.append,
    {
      [Attribute.sessions]: of.sessions,
      [Attribute.entries]: of.entries,
      ...(of.bytes === undefined ? {} : { [Attribute.bytes]: of.bytes })
    },
    { kind: "client" }
  ])

/** `perdure.wake`: a session that is loaded. {@link woken} says how many entries were folded. */
export const wake = (of: { readonly namespace: string; readonly session: string }): Same =>
  spanned(() => [SpanName.wake, { [Attribute.conversation]: of.session, [Attribute.namespace]: of.namespace }])

/** Puts how many entries were read after the snapshot on the current {@link wake} span. */
export const woken = (entries: number): Effect.Effect<void> => annotate(() => ({ [Attribute.entries]: entries }))

/**
 * Marks the current span as failed with a failure class or an error's tag, where the failure is a value and not in the
 * error channel. (What fails in the error channel is marked by itself.)
 */
export const failed = (type: string): Effect.Effect<void> => annotate(() => ({ [Attribute.errorType]: type }))

/** How the turn or step of the current span ended: the tag of its outcome. */
export const outcome = (tag: string): Effect.Effect<void> => annotate(() => ({ [Attribute.outcome]: tag }))

/** The longest content of one attribute, in characters. Backends refuse or cut what is much longer. */
export const maxContent = 65_536

/**
 * Puts message content on the current span, if {@link CaptureContent} is on; else `make` is not called. Values that are
 * no strings go as JSON, cut at {@link maxContent}.
 */
export const content = (make: () => { readonly [K in ContentAttribute]?: unknown }): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    if (!traced(fiber) || !fiber.getFiberRef(CaptureContent)) return Effect.void
    const attributes: Attributes = {}
    for (const [key, value] of Object.entries(make())) {
      if (value === undefined) continue
      const text = typeof value === "string" ? value : JSON.stringify(value)
      attributes[ContentAttribute[key as ContentAttribute]] = text.slice(0, maxContent)
    }
    return Effect.annotateCurrentSpan(attributes)
  })
