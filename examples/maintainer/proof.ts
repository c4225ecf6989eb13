/** What is claimed, held against the journal and against what is outside of it. Pure. */
import { createHash } from "node:crypto"
import type { Entry, Recorded } from "../../src/domain/Entry.ts"
import type { Witness } from "./agent.ts"

export interface Evidence {
  readonly entries: ReadonlyArray<Recorded>
  /** What the walk of the audit chain found wrong. */
  readonly problems: number
  readonly witness: ReadonlyArray<Witness>
  /** The text that the terminal got, by step. */
  readonly printed: ReadonlyMap<string, string>
  /** The step in whose middle the runner was killed. */
  readonly killed: string | null
  /** Processes that were left after the kill, and after the end. */
  readonly left: number
  readonly report: string | null
}

export interface Finding {
  readonly holds: boolean
  readonly says: string
}

type Of<Tag extends Entry["_tag"]> = Extract<Entry, { _tag: Tag }>

const all = <Tag extends Entry["_tag"]>(entries: ReadonlyArray<Recorded>, tag: Tag): ReadonlyArray<Of<Tag>> =>
  entries.flatMap(({ entry }) => (entry._tag === tag ? [entry as Of<Tag>] : []))

const textOf = (output: unknown): string =>
  ((output as { parts?: ReadonlyArray<{ type: string; text?: string }> }).parts ?? [])
    .map((part) => (part.type === "text" ? (part.text ?? "") : ""))
    .join("")

export const find = (evidence: Evidence): ReadonlyArray<Finding> => {
  const { entries, killed, printed, report, witness } = evidence
  const calls = all(entries, "StepIntended").filter(({ kind }) => kind === "tool")
  const begun = (step: string) => witness.filter((line) => line.step === step && line.event === "begin").length
  const doubted = new Set(all(entries, "StepInDoubt").map(({ step }) => step as string))
  const again = calls.filter((call) => begun(call.step) > 1)
  const wrong = calls.filter(
    (call) => begun(call.step) === 0 || (begun(call.step) > 1 && (call.repeatable === "never" || call.step !== killed))
  )
  const strangers = witness.filter((line) => !calls.some((call) => call.step === line.step))

  const answers = all(entries, "StepSucceeded").filter(({ step }) => !calls.some((call) => call.step === step))
  const different = answers.filter(({ output, step }) => (printed.get(step) ?? "") !== textOf(output))
  const characters = answers.reduce((sum, { output }) => sum + textOf(output).length, 0)

  const gapFree = entries.every(({ seq }, index) => seq === index + 1)
  const epochs = new Set(entries.map(({ epoch }) => epoch)).size
  const last = entries.at(-1)?.entry

  const writes = calls.filter(({ name }) => name === "write_report")
  const content = writes
    .map(({ input }) => String((input as { params?: { content?: unknown } }).params?.content))
    .join("")
  const short = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 12)
  const killedCall = calls.find(({ step }) => step === killed)

  return [
    {
      holds: wrong.length === 0 && strangers.length === 0,
      says: `${calls.length} tool calls in the journal, ${calls.length - again.length} of them begun once by the witness log${
        again.length === 0 ? "" : `, ${again.length} again because it only reads`
      }`
    },
    {
      holds: killedCall !== undefined && (doubted.has(killedCall.step) || killedCall.repeatable !== "never"),
      says:
        killedCall === undefined
          ? "no call was killed in its middle: the model ran no command"
          : doubted.has(killedCall.step)
            ? `the killed call, ${killedCall.name}, is in doubt in the journal: it was not repeated, the model was told`
            : `the killed call, ${killedCall.name}, is declared ${killedCall.repeatable}: it was run again and says so`
    },
    {
      holds: report !== null && report === content && writes.length === 1,
      says: `the report is on disk once, as journaled (sha256 ${short(report ?? "")})`
    },
    {
      holds: different.length === 0 && answers.length > 0,
      says: `${characters} characters of text came once: what was printed is what the journal has`
    },
    {
      holds: gapFree && evidence.problems === 0,
      says: `${entries.length} entries without a gap, written by ${epochs} runners in turn; the hash chain holds`
    },
    { holds: last?._tag === "TurnEnded" && last.outcome._tag === "Completed", says: "the turn is completed" },
    { holds: evidence.left === 0, says: `${evidence.left === 0 ? "no" : evidence.left} process left over` }
  ]
}
