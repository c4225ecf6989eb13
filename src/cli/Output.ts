/**
 * Where the program's words go: answers and data to stdout, news and errors to stderr. A reader that goes away (`| head`)
 * ends the program quietly.
 */
import { Effect } from "effect"
import { ReaderGone } from "./CliError.ts"

type Channel = "stdout" | "stderr"

const writeTo = (channel: Channel, text: string): Effect.Effect<void, ReaderGone> =>
  text === ""
    ? Effect.void
    : Effect.async((resume) => {
        // The callback comes when the text is handed over, so that a slow reader slows us down and nothing piles up.
        process[channel].write(text, (error) => resume(error == null ? Effect.void : Effect.fail(new ReaderGone())))
      })

/** Writes to stdout; returns when it is handed over. */
export const out = (text: string): Effect.Effect<void, ReaderGone> => writeTo("stdout", text)

/** Writes to stderr. Nobody there is no reason to stop. */
export const err = (text: string): Effect.Effect<void> => Effect.ignore(writeTo("stderr", text))

/** One JSON object on a line of its own. Lone surrogates and control characters are escaped. */
export const json = (value: unknown): string => `${JSON.stringify(value)}\n`

export const isTerminal = (): boolean => process.stdout.isTTY === true

/** Columns of the terminal; 100 where there is none. */
export const width = (): number => (isTerminal() ? Math.max(40, process.stdout.columns || 80) : 100)

export interface Style {
  readonly dim: (text: string) => string
  readonly bold: (text: string) => string
  readonly green: (text: string) => string
  readonly red: (text: string) => string
  readonly yellow: (text: string) => string
}

const plain = (text: string) => text
const code = (open: number, close: number) => (text: string) => `\u001b[${open}m${text}\u001b[${close}m`

/** Colours, where somebody sees them. */
export const style = (colours: boolean): Style =>
  colours
    ? { dim: code(2, 22), bold: code(1, 22), green: code(32, 39), red: code(31, 39), yellow: code(33, 39) }
    : { dim: plain, bold: plain, green: plain, red: plain, yellow: plain }

/** `text` without what only a terminal understands. */
export const withoutColours = (text: string): string => text.replace(/\u001b\[[0-9;]*m/g, "")
