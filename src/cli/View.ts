/**
 * A feed as people and programs read it.
 *
 * - a terminal: text as it comes, tools and their progress in lines of their own;
 * - no terminal: the answers' text to stdout, each when it is final (text that died with a runner is never printed), the
 *   rest as plain lines to stderr;
 * - JSON: one event a line, all to stdout.
 */
import type { Command, Recorded, TurnOutcome } from "../domain/Entry.ts"
import { add, type Usage, zero } from "../domain/Usage.ts"
import type { FeedEvent } from "../feed/index.ts"
import { duration, line, money, visible } from "./internal/Format.ts"
import { end, next } from "./internal/Next.ts"
import * as Waiting from "./internal/Waiting.ts"
import { json, type Style } from "./Output.ts"

export interface Words {
  readonly out: string
  readonly err: string
}

const nothing: Words = { out: "", err: "" }

export interface View {
  readonly event: (event: FeedEvent) => Words
  readonly waits: (waits: Waiting.Waits) => Words
}

/** A feed event as one JSON line: `delta`, `rewind` or `entry`, each with the cursor to go on from. */
export const toJson = (event: FeedEvent): string => {
  switch (event._tag) {
    case "Delta": {
      const { _tag, ...delta } = event
      return json({ type: "delta", ...delta })
    }
    case "Rewind": {
      const { _tag, ...rewind } = event
      return json({ type: "rewind", ...rewind })
    }
    case "Entry":
      return json({ type: "entry", cursor: event.cursor, ...event.recorded })
  }
}

export const jsonView: View = {
  event: (event) => ({ out: toJson(event), err: "" }),
  waits: (waits) => ({ out: json({ type: "waiting", ...waits }), err: "" })
}

interface Seen {
  readonly kind: string
  /** The tool and its arguments, on a line. */
  readonly label: string
  text: string
  progress: string
}

interface Options {
  readonly terminal: boolean
  readonly style: Style
  readonly width: number
}

const endings: Readonly<Record<string, string>> = { LimitReached: "met a limit", Looped: "went in circles" }

const ending = (outcome: TurnOutcome): string =>
  outcome._tag === "Completed" && outcome.cut !== undefined
    ? "completed, but cut off by the model's limit of output"
    : (endings[outcome._tag] ?? outcome._tag.toLowerCase())

const said = (command: Command): string => {
  switch (command._tag) {
    case "Raise":
      return `raise by ${JSON.stringify(command.by)}`
    case "Decide":
      return `decide ${command.pause}: ${command.decision}`
    default:
      return command._tag.toLowerCase()
  }
}

export const make = ({ style, terminal, width }: Options): View => {
  const steps = new Map<string, Seen>()
  let turn = { startedAt: 0, steps: 0, usage: zero as Usage }
  /** What the last line is, while it has no end: text, or a tool that is running. */
  let open: "none" | "text" | "reasoning" | { readonly step: string } = "none"

  const fresh = (): string => {
    const end = open === "none" ? "" : "\n"
    open = "none"
    return end
  }

  /** A line of its own; where a terminal still shows it as running, that line becomes it. */
  const say = (text: string, replaces?: string): Words => {
    if (!terminal) return { out: "", err: `${text}\n` }
    const rewrite = replaces !== undefined && typeof open === "object" && open.step === replaces
    if (rewrite) open = "none"
    return { out: `${rewrite ? "\r\u001b[2K" : fresh()}${text}\n`, err: "" }
  }

  const delta = (event: Extract<FeedEvent, { _tag: "Delta" }>): Words => {
    const seen = steps.get(event.step) ?? { kind: "", label: "", text: "", progress: "" }
    steps.set(event.step, seen)
    if (event.channel === "progress") {
      const gap =
        event.skipped === undefined ? "" : `${seen.progress === "" ? "" : "\n"}… (${event.skipped} characters)\n`
      const lines = (seen.progress + gap + event.text).split("\n")
      seen.progress = lines.pop()!
      return lines.map((text) => say(style.dim(`  │ ${line(text, width - 6)}`))).reduce(join, nothing)
    }
    if (event.channel === "text") seen.text += event.text
    if (!terminal) return nothing
    const before = open === event.channel ? "" : fresh()
    const shown = visible(event.text)
    open = shown.endsWith("\n") ? "none" : event.channel
    return { out: before + (event.channel === "text" ? shown : style.dim(shown)), err: "" }
  }

  const rewind = (event: Extract<FeedEvent, { _tag: "Rewind" }>): Words => {
    const seen = steps.get(event.step)
    const lost = seen === undefined ? 0 : seen.text.length - event.text
    if (seen !== undefined) Object.assign(seen, { text: seen.text.slice(0, event.text), progress: "" })
    return lost > 0 && terminal
      ? say(style.yellow(`↶ the last ${lost} characters are taken back: they come anew`))
      : nothing
  }

  const label = (step: string): string => steps.get(step)?.label ?? `step ${step}`

  const entry = ({ at, entry }: Recorded): Words => {
    switch (entry._tag) {
      case "TurnStarted":
        turn = { startedAt: at, steps: 0, usage: zero }
        steps.clear()
        return nothing
      case "CommandAccepted":
        return entry.command._tag === "Send" ? nothing : say(style.yellow(`■ ${said(entry.command)}`))
      case "StepIntended": {
        turn.steps++
        const params = entry.kind === "tool" ? (entry.input as { readonly params?: unknown }).params : undefined
        const shown =
          params === undefined ? "" : ` ${style.dim(line(JSON.stringify(params), width - entry.name.length - 16))}`
        const seen = { kind: entry.kind, label: `${line(entry.name, 40)}${shown}`, text: "", progress: "" }
        steps.set(entry.step, seen)
        if (entry.kind === "model") {
          const { compact } = (entry.input ?? {}) as { readonly compact?: number }
          return compact === undefined ? nothing : say(style.dim(`· summarises ${compact} messages, to make room`))
        }
        if (!terminal) return say(`· ${seen.label}`)
        const out = `${fresh()}· ${seen.label}`
        open = { step: entry.step }
        return { out, err: "" }
      }
      case "AttemptFailed": {
        if (entry.usage !== undefined) turn.usage = add(turn.usage, entry.usage)
        const why = `${entry.failure.class}: ${line(entry.failure.message, width - 30)}`
        if (entry.nextInput === "reconcile") {
          return say(style.yellow(`? ${label(entry.step)} ${why}; asking what became of it`), entry.step)
        }
        return say(style.yellow(`↻ ${label(entry.step)} ${why}; ${next(entry, at)}`), entry.step)
      }
      case "StepSucceeded": {
        if (entry.usage !== undefined) turn.usage = add(turn.usage, entry.usage)
        const seen = steps.get(entry.step)
        if (seen?.kind !== "tool") {
          if (terminal) return { out: open === "text" || open === "reasoning" ? fresh() : "", err: "" }
          const text = seen?.text ?? ""
          return { out: text === "" || text.endsWith("\n") ? visible(text) : `${visible(text)}\n`, err: "" }
        }
        const failed = (entry.output as { readonly isError?: unknown } | null)?.isError === true
        const found = entry.reconciled === "happened" ? ", found out" : entry.settled === undefined ? "" : ", settled"
        const took = style.dim(`${duration(at - entry.startedAt)}${found}`)
        return say(`${failed ? style.red("✗") : style.green("✓")} ${seen.label}  ${took}`, entry.step)
      }
      case "StepFailed": {
        if (entry.usage !== undefined) turn.usage = add(turn.usage, entry.usage)
        const told = end(entry.decided)
        const why = `${entry.failure.class}: ${line(entry.failure.message, width - 20)}${told === "" ? "" : `; ${told}`}`
        return say(`${style.red("✗")} ${label(entry.step)}  ${style.red(why)}`, entry.step)
      }
      case "StepInDoubt":
        return say(style.yellow(`? ${label(entry.step)}  in doubt: its runner died; it was not repeated`), entry.step)
      case "DoubtSettled":
        return say(style.yellow(`? ${label(entry.step)}  settled: it ${entry.verdict}`))
      case "Noted":
        return say(style.dim(`! ${entry.kind} ${line(JSON.stringify(entry.detail), width - 20)}`))
      case "Paused": {
        const until =
          entry.deadline === undefined ? "" : `, ${entry.atDeadline ?? "end"} in ${duration(entry.deadline - at)}`
        const why = line(JSON.stringify(entry.detail), width - 30)
        return say(style.yellow(`‖ paused (${entry.pause}) for ${entry.kind}: ${why}${until}`))
      }
      case "Resumed":
        return say(
          style.yellow(`▸ ${entry.pause}: ${entry.decision}${entry.command === undefined ? ", by its deadline" : ""}`)
        )
      case "TurnEnded": {
        const { inputTokens, outputTokens, usd } = turn.usage
        const facts = [
          `turn ${entry.turn} ${ending(entry.outcome)}`,
          `${turn.steps} ${turn.steps === 1 ? "step" : "steps"}`,
          ...(turn.startedAt === 0 ? [] : [duration(at - turn.startedAt)]),
          `${inputTokens} → ${outputTokens} tokens`,
          money(usd)
        ]
        return say(style.dim(facts.join(" · ")))
      }
      case "SessionEnded":
        return say(`session ${entry.outcome._tag.toLowerCase()}`)
      default:
        return nothing
    }
  }

  return {
    waits: (waits) => say(style.yellow(`… ${line(waits.name, 40)} ${Waiting.words(waits)}`)),
    event: (event) => {
      switch (event._tag) {
        case "Delta":
          return delta(event)
        case "Rewind":
          return rewind(event)
        case "Entry":
          return entry(event.recorded)
      }
    }
  }
}

const join = (a: Words, b: Words): Words => ({ out: a.out + b.out, err: a.err + b.err })
