/**
 * What becomes of spans on their way to an exporter: a turn's span is made a root, what nobody asked to see is left out,
 * and errors lose their texts where content is not asked for (I12).
 */
import { Cause, Context, DefaultServices, Exit, Option, Tracer } from "effect"
import { Spans } from "../../telemetry/index.ts"

const unseen = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/**
 * Roots that are housekeeping: statements of heartbeats and of polling, and the feeds' long polls, outside of any
 * session's work. Several a second for ever would bury what matters, and cost money where spans are counted.
 */
const housekeeping = /^sql\.|^perdure\/Session\.client\.Pull$/

/** The cluster puts the entity's id into names: a series a session. It is an attribute (`entity.id`) as well. */
const withoutId = (name: string): string => name.replace(/^(perdure\/\w+)\(.*\)\./, "$1.")

/** An error with the name and the places of another and without its text: texts quote arguments and answers. */
const bare = (error: unknown): Error => {
  const tag = typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : undefined
  const name = tag ?? (error instanceof Error ? error.name : "Error")
  const out = new Error("withheld: PERDURE_TELEMETRY_CONTENT=true shows texts of errors")
  out.name = name
  const places =
    error instanceof Error ? (error.stack ?? "").split("\n").filter((line) => /^ +at .*:\d+:\d+\)?$/.test(line)) : []
  out.stack = [`${name}: ${out.message}`, ...places].join("\n")
  return out
}

const withoutTexts = (exit: Exit.Exit<unknown, unknown>): Exit.Exit<unknown, unknown> =>
  Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause) ? exit : Exit.fail(bare(Cause.squash(exit.cause)))

/** A tracer that makes what `tracer` exports fit to leave the process. */
export const exporting = (tracer: Tracer.Tracer, content: boolean): Tracer.Tracer => {
  const dropped = new WeakSet<object>()
  return Tracer.make({
    context: tracer.context,
    span(name, parent, context, links, startTime, kind, options) {
      if (Option.isSome(parent) ? dropped.has(parent.value) : housekeeping.test(name)) {
        const span = unseen.span(name, parent, context, links, startTime, kind, options)
        dropped.add(span)
        return span
      }
      const span = tracer.span(withoutId(name), parent, context, links, startTime, kind, options)
      if (Option.isSome(parent) && Context.get(parent.value.context, Spans.DerivedParent)) {
        // It has taken the trace's id from the parent, which is no span that anybody has sent.
        Object.assign(span, { parent: Option.none() })
      }
      if (!content) {
        const end = span.end.bind(span)
        span.end = (endTime, exit) => end(endTime, withoutTexts(exit))
        const event = span.event.bind(span)
        // Log lines become events of the span: they are for the log.
        span.event = (name, at, attributes) =>
          attributes?.["effect.logLevel"] === undefined ? event(name, at, attributes) : undefined
      }
      return span
    }
  })
}
