/** What the terminal shows: text as it comes, a line for each tool, and nothing twice. */
import type { FeedEvent } from "../../src/feed/index.ts"

const colours = process.stdout.isTTY === true && (process.env["NO_COLOR"] ?? "") === ""
const code = (open: number) => (text: string) => (colours ? `\u001b[${open}m${text}\u001b[0m` : text)
export const dim = code(2)
export const bold = code(1)
export const green = code(32)
export const red = code(31)
export const yellow = code(33)

let inLine = false

const write = (text: string): void => {
  process.stdout.write(text)
  inLine = !text.endsWith("\n")
}

export const line = (text = ""): void => write(`${inLine ? "\n" : ""}${text}\n`)

/** Ends a line of text, if one is open. */
const close = (): void => {
  if (inLine) write("\n")
}

const visible = (text: string): string => text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, "·")

const short = (value: unknown): string => {
  const text = visible(typeof value === "string" ? value : (JSON.stringify(value) ?? "")).replace(/\s+/g, " ")
  return text.length > 60 ? `${text.slice(0, 59)}…` : text
}

const summary = (output: unknown): string => {
  const { isError, result } = (output ?? {}) as { readonly isError?: boolean; readonly result?: unknown }
  const lines = String(result)
    .split("\n")
    .filter((text) => text !== "")
  return isError === true || lines.length === 1 ? short(result) : `${lines.length} lines`
}

/** Shows events, and remembers the text that it printed, by step. */
export const make = () => {
  const printed = new Map<string, string>()
  const tools = new Map<string, { readonly label: string; progress: string; shown: boolean }>()

  const show = (event: FeedEvent): void => {
    if (event._tag === "Rewind") {
      const text = printed.get(event.step)
      if (text !== undefined && text.length > event.text) {
        printed.set(event.step, text.slice(0, event.text))
        line(yellow(`  ↶ the last ${text.length - event.text} characters died with their runner: they come anew`))
      }
      return
    }
    if (event._tag === "Delta") {
      if (event.channel === "text") {
        printed.set(event.step, (printed.get(event.step) ?? "") + event.text)
        write(event.text)
      } else if (event.channel === "progress") {
        const tool = tools.get(event.step)
        if (tool === undefined) return
        // A call that takes its time is announced; a quick one is told when it is over.
        if (!tool.shown) line(`  · ${tool.label}`)
        tool.shown = true
        const lines = (tool.progress + event.text).split("\n")
        tool.progress = lines.pop()!
        for (const text of lines) line(dim(`    │ ${short(text)}`))
      }
      return
    }
    const { at, entry } = event.recorded
    const tool = "step" in entry ? tools.get(entry.step) : undefined
    const label = tool?.label ?? "the model"
    switch (entry._tag) {
      case "StepIntended": {
        if (entry.kind !== "tool") break
        const { params } = entry.input as { readonly params?: unknown }
        tools.set(entry.step, { label: `${entry.name} ${dim(short(params))}`, progress: "", shown: false })
        break
      }
      case "StepSucceeded":
        if (tool === undefined) close()
        else line(`  ${green("✓")} ${tool.label}  ${summary(entry.output)}  ${dim(`${at - entry.startedAt} ms`)}`)
        break
      case "StepFailed":
        line(`  ${red("✗")} ${label} ${red(short(`${entry.failure.class}: ${entry.failure.message}`))}`)
        break
      case "AttemptFailed":
        line(yellow(`  ↻ ${label} ${short(`${entry.failure.class}: ${entry.failure.message}`)}: again`))
        break
      case "StepInDoubt":
        line(`  ${yellow("?")} ${label}  ${yellow("in doubt: its runner died while it ran; it is not repeated")}`)
    }
  }

  return { show, printed: printed as ReadonlyMap<string, string> }
}
